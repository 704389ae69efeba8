"""What a batch script may call besides srun, and the two ends of a node: the script's parent, and its fellows' agent.

Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Any, Dict, List

from flow_core.node.slurm import srun, tee
from flow_core.node.slurm.agent import Agent
from flow_core.node.slurm.layout import Wrong, hostnames

#: How long what a script left behind may go on holding its output.
LAST_WORDS_S = 2.0
_ELSEWHERE = {
    "sbatch": "submit from your own machine with `flow submit`",
    "squeue": "`flow status` on your own machine lists tasks",
    "scancel": "`flow cancel TASK` on your own machine ends one",
    "sacct": "`flow status TASK` on your own machine has its history",
}


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
    sys.stderr.write("%s: there is no Slurm here; %s\n" % (name, _ELSEWHERE.get(name, "ask Flow")))
    sys.exit(1)


def scontrol(words: List[str]) -> int:
    """Show the hosts of a list, this task's unless one is named; nothing else is known."""
    if len(words) >= 2 and "show".startswith(words[0]) and words[1].startswith("hostname"):
        told = words[2] if len(words) > 2 else os.environ.get("SLURM_JOB_NODELIST", "")
        try:
            names = hostnames(told)
        except ValueError:
            sys.stderr.write("scontrol: %r is no list of hosts\n" % told)
            return 1
        sys.stdout.write("".join(name + "\n" for name in names))
        return 0
    if len(words) >= 2 and "show".startswith(words[0]) and words[1].startswith("hostlist"):
        sys.stdout.write(",".join(words[2:]) + "\n")
        return 0
    sys.stderr.write("scontrol: only `show hostnames` is known here; there is no Slurm\n")
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
    out, err = tee.files_of(env)
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        words, stdout=pipe if out is not None else None, stderr=pipe if err is not None else None
    )

    def pass_on(number: int, _: Any) -> None:
        if child.poll() is None:
            child.send_signal(number)

    for number in (
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGCONT,
        signal.SIGALRM,
    ):
        signal.signal(number, pass_on)
    # TERM comes to the whole group, the script included; the parent outlives it to end the steps.
    signal.signal(signal.SIGTERM, lambda *_: None)
    copies = [
        tee.copying(source, target, file)
        for source, target, file in (
            (child.stdout, sys.stdout.buffer, out),
            (child.stderr, sys.stderr.buffer, err),
        )
        if source is not None
    ]
    code = child.wait()
    for copy in copies:
        copy.join(LAST_WORDS_S)
    for rank, host in enumerate(env["FLOW_NODES"].split()):
        if rank:
            try:
                srun.ask(rank, host, env, '{"stop": true}', patience_s=5).close()
            except (Wrong, OSError) as error:
                sys.stderr.write("flow: %s\n" % error)
    return code if code >= 0 else 128 - code


def own_env() -> Dict[str, str]:
    """Return this node's environment, with where its workspace is."""
    return dict(os.environ, FLOW_SLURM_WORKSPACE=os.getcwd())


if __name__ == "__main__":
    main()
