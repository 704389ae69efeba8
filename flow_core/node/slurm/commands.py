"""What a batch script may call besides srun, and the two ends of a node: the script's parent, and its fellows' agent.

Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Any, Callable, Dict, List, Tuple

from flow_core.node.slurm import queueing, srun, tee
from flow_core.node.slurm.agent import Agent
from flow_core.node.slurm.layout import Wrong, hostnames

#: How long what a script left behind may go on holding its output.
LAST_WORDS_S = 2.0
#: Signals that the script's parent passes on to it.
PASSED_ON = (
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGCONT,
    signal.SIGALRM,
)
#: How long a script that is to start again has to end.
REQUEUE_S = 10.0
_QUEUE = {"sbatch": queueing.sbatch, "squeue": queueing.squeue, "scancel": queueing.scancel}


def main() -> None:
    """Be the command that the first argument names."""
    name, *words = sys.argv[1:]
    if name == "srun":
        sys.exit(srun.main(words))
    if name == "scontrol":
        sys.exit(scontrol(words))
    if name == "sinfo":
        sys.exit(sinfo())
    if name in ("module", "ml"):
        sys.stderr.write(
            "flow: module %s does nothing here; the image has what it has\n" % " ".join(words)
        )
        sys.exit(0)
    if name == "batch":
        sys.exit(batch(words))
    if name == "agent":
        sys.exit(agent(int(words[0])))
    if name in _QUEUE:
        sys.exit(told(name, lambda: _QUEUE[name](words)))
    sys.stderr.write(
        "%s: there is no Slurm here; `flow status TASK` on your own machine tells\n" % name
    )
    sys.exit(1)


def told(name: str, act: Callable[[], int]) -> int:
    """Return what `act` does; where it can't be done, say so and return 1."""
    try:
        return act()
    except Wrong as wrong:
        sys.stderr.write("%s: error: %s\n" % (name, wrong))
        return 1


def scontrol(words: List[str]) -> int:
    """Show the hosts of a list, this task's unless one is named; nothing else is known."""
    if len(words) >= 2 and "show".startswith(words[0]) and words[1].startswith("hostname"):
        text = words[2] if len(words) > 2 else os.environ.get("SLURM_JOB_NODELIST", "")
        try:
            names = hostnames(text)
        except ValueError:
            sys.stderr.write("scontrol: %r is no list of hosts\n" % text)
            return 1
        sys.stdout.write("".join(name + "\n" for name in names))
        return 0
    if len(words) >= 2 and "show".startswith(words[0]) and words[1].startswith("hostlist"):
        sys.stdout.write(",".join(words[2:]) + "\n")
        return 0
    if words and words[0] == "requeue":
        return told("scontrol", lambda: queueing.requeue(words[1:], dict(os.environ)))
    sys.stderr.write(
        "scontrol: only `show hostnames` and `requeue` are known here; there is no Slurm\n"
    )
    return 1


def sinfo() -> int:
    """Show this task's nodes as Slurm would a partition: there are no others to see from here."""
    env = os.environ
    nodes = env.get("SLURM_JOB_NODELIST", "")
    line = "%-9s %5s %10s %5s %6s %s\n"
    sys.stdout.write(line % ("PARTITION", "AVAIL", "TIMELIMIT", "NODES", "STATE", "NODELIST"))
    sys.stdout.write(
        line % ("flow*", "up", "infinite", env.get("SLURM_JOB_NUM_NODES", "1"), "alloc", nodes)
    )
    return 0


def agent(rank: int) -> int:
    """Serve the other nodes' steps until the script has ended."""
    try:
        here = Agent(rank, own_env())
    except OSError as error:
        sys.stderr.write("flow: srun can't reach this node: %s\n" % error)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: here.end())
    here.serve()
    return 0


def batch(words: List[str]) -> int:
    """Run the script with an agent beside it; afterwards let the other nodes go."""
    env = own_env()
    try:
        threading.Thread(target=Agent(0, env).serve, daemon=True).start()
    except OSError as error:
        sys.stderr.write("flow: srun can't run tasks on this node: %s\n" % error)
    script = Script(words, env)
    for number in PASSED_ON:
        signal.signal(number, lambda got, _: script.tell(got))
    # TERM comes to the whole group, the script included; the parent outlives it to end the steps.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(queueing.REQUEUE, lambda *_: script.again())
    code = script.run()
    for rank, host in enumerate(env["FLOW_NODES"].split()):
        if rank:
            try:
                srun.ask(rank, host, env, '{"stop": true}', patience_s=5).close()
            except (Wrong, OSError) as error:
                sys.stderr.write("flow: %s\n" % error)
    return code if code >= 0 else 128 - code


class Script:
    """The script, which may be started again."""

    def __init__(self, words: List[str], env: Dict[str, str]) -> None:
        self.words, self.env = words, dict(env, FLOW_SLURM_PARENT=str(os.getpid()))
        self.child: Any = None
        self.wants_again = False

    def run(self) -> int:
        """Run it to its end, from its top as often as it is asked for; return how it ended last."""
        while True:
            code = self.once()
            if not self.wants_again:
                return code
            self.wants_again = False
            count = int(self.env.get("SLURM_RESTART_COUNT") or "0") + 1
            self.env.update(SLURM_RESTART_COUNT=str(count))
            sys.stderr.write("flow: requeued; it starts again from its top\n")
            sys.stderr.flush()

    def once(self) -> int:
        """Run it once."""
        out, err = tee.files_of(self.env)
        pipe = subprocess.PIPE
        self.child = child = subprocess.Popen(
            self.words,
            env=self.env,
            stdout=pipe if out is not None else None,
            stderr=pipe if err is not None else None,
        )
        copies = [
            tee.copying(source, target, file)
            for source, target, file in (
                (child.stdout, sys.stdout.buffer, out),
                (child.stderr, sys.stderr.buffer, err),
            )
            if source is not None
        ]
        code = int(child.wait())
        for copy in copies:
            copy.join(LAST_WORDS_S)
        return code

    def tell(self, number: int) -> None:
        """Pass a signal on to it."""
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(number)

    def again(self) -> None:
        """End it and all that it started, by TERM and then KILL, so that `run` starts it anew."""
        self.wants_again = True
        if self.child is None:
            return
        started = descendants(self.child.pid)
        kill_all(started, signal.SIGTERM)
        timer = threading.Timer(REQUEUE_S, kill_all, [started, signal.SIGKILL])
        timer.daemon = True
        timer.start()


def descendants(first: int) -> List[Tuple[int, str]]:
    """Return a process and all that it has started, each with when it began."""
    children: Dict[int, List[int]] = {}
    began: Dict[int, str] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(name))
            began[int(name)] = fields[19]
    found: List[Tuple[int, str]] = []
    left = [first] if first in began else []
    while left:
        number = left.pop()
        found.append((number, began[number]))
        left += children.get(number, [])
    return found


def kill_all(processes: List[Tuple[int, str]], number: int) -> None:
    """Signal those that still are what they were."""
    for process, began in processes:
        try:
            with open("/proc/%d/stat" % process) as file:
                if file.read().rpartition(")")[2].split()[19] == began:
                    os.kill(process, number)
        except OSError:
            pass


def own_env() -> Dict[str, str]:
    """Return this node's environment, with where its workspace is."""
    return dict(os.environ, FLOW_SLURM_WORKSPACE=os.getcwd())


if __name__ == "__main__":
    main()
