"""srun on nodes without Slurm: one process a task, over the nodes of the task, with Slurm's variables and exit codes.

Ends with the highest exit code of its tasks; a task that signal N ended counts as 128+N.

Python 3.8, standard library only.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import queue
import signal
import socket
import sys
import threading
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Tuple

from flow_core.node.slurm.agent import GRACE_S, port_of, proof
from flow_core.node.slurm.layout import (
    Share,
    Wrong,
    expanded,
    gpus_of_a_task,
    read_words,
    seconds_of,
    shares,
    task_env,
)

CONNECT_S = 60
#: Which task hears what comes in, where it is not one of them.
EVERYBODY, NOBODY = -1, -2
#: Signals that steps are told.
PASSED_ON = tuple(
    number
    for number in sorted(signal.valid_signals())
    if number
    not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGTSTP, signal.SIGTTIN,
            signal.SIGTTOU, signal.SIGWINCH, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
)  # fmt: skip


def main(words: List[str]) -> int:
    """Run one step."""
    env = dict(os.environ)
    try:
        options, argv = read_words(words)
        if "multi-prog" in options:
            raise Wrong("--multi-prog is not known here")
        found = shares(options, env, env["FLOW_NODES"].split())
        return Running(options, argv, found, env).run()
    except Wrong as wrong:
        sys.stderr.write("srun: error: %s\n" % wrong)
        return 1


class Running:
    """A step that runs: its connections, where output goes, and how its tasks ended."""

    def __init__(
        self, options: Dict[str, str], argv: List[str], found: List[Share], env: Dict[str, str]
    ) -> None:
        self.options, self.argv, self.found, self.env = options, argv, found, env
        self.step = next_step(env)
        self.events: queue.Queue = queue.Queue()  # type: ignore[type-arg]
        self.streams: List[Any] = []
        self.codes: Dict[int, int] = {}
        self.files: Dict[str, Any] = {}
        self.rest: Dict[Tuple[int, int], bytes] = {}
        self.lock = threading.Lock()
        self.hearing = hearers(options)
        self.killing = False

    def run(self) -> int:
        """Start it everywhere and follow it to its end."""
        for name in ("container-image", "container-mounts"):
            if name in self.options:
                sys.stderr.write(
                    "srun: note: --%s is not heard; tasks run where the script runs\n" % name
                )
        for number in PASSED_ON:
            signal.signal(number, lambda got, _: self.events.put(("signal", got)))
        limit_s = seconds_of(self.options.get("time", ""))
        if limit_s:
            self.after(limit_s, ("late", limit_s))
        for place, share in enumerate(self.found):
            stream = self.connect(place, share)
            self.streams.append(stream)
            threading.Thread(target=self.listen, args=(place, stream), daemon=True).start()
        if self.hearing != NOBODY:
            threading.Thread(target=self.feed, daemon=True).start()
        left = len(self.found)
        with noted(self.env):
            self.follow(left)
        for (task, fd), data in sorted(self.rest.items()):
            self.write_line(task, fd, data + b"\n" if data else b"")
        return max(self.codes.values(), default=0)

    def follow(self, left: int) -> None:
        """Do what events ask for until every node has said its last word."""
        while left:
            what, value = self.events.get()
            if what == "signal":
                self.tell(value)
            elif what == "late":
                sys.stderr.write("srun: error: step %d: its time limit is over\n" % self.step)
                self.end()
            elif what == "lost":
                left -= 1
                for task in self.found[value].tasks:
                    if task not in self.codes:
                        self.ended(task, 1, "its node is gone")
            elif "out" in value:
                self.write(value["out"], value["fd"], base64.b64decode(value["data"]))
            elif "exit" in value:
                self.ended(value["exit"], value["code"])

    def feed(self) -> None:
        """Pass on what comes in, to the end."""
        name = self.options.get("input", "")
        path = name if name and name != "all" and not name.isdigit() else ""
        try:
            source = os.open(path, os.O_RDONLY) if path else 0
            data = os.read(source, 65536)
            while data:
                self.send({"in": base64.b64encode(data).decode()})
                data = os.read(source, 65536)
        except OSError as error:
            sys.stderr.write("srun: error: its input: %s\n" % error)
        self.send({"in": ""})

    def after(self, seconds: float, event: Tuple[str, Any]) -> None:
        """Have an event happen later, unless the step ends before."""
        timer = threading.Timer(seconds, self.events.put, [event])
        timer.daemon = True
        timer.start()

    def connect(self, place: int, share: Share) -> Any:
        """Ask one node's agent for its share."""
        each = gpus_of_a_task(self.options, self.env)
        workspace = self.env.get("SLURM_SUBMIT_DIR", os.getcwd())
        env = dict(self.env, SLURM_LAUNCH_NODE_IPADDR=self.env["FLOW_NODES"].split()[0])
        if "cpus-per-task" in self.options:
            env["SLURM_CPUS_PER_TASK"] = self.options["cpus-per-task"]
        for word in self.options.get("export", "").split(","):
            name, equals, value = word.partition("=")
            if equals:
                env[name] = value
        request = json.dumps(
            {
                "argv": self.argv,
                "env": env,
                "cwd": self.options.get("chdir") or os.getcwd(),
                "workspace": workspace,
                "tasks": [
                    {
                        "id": task,
                        "env": task_env(self.found, place, local, self.step, each),
                        "stdin": self.hearing in (EVERYBODY, task),
                    }
                    for local, task in enumerate(share.tasks)
                ],
            }
        )
        return ask(share.rank, share.host, self.env, request)

    def listen(self, place: int, stream: Any) -> None:
        """Pass on what an agent says until it is over."""
        try:
            for line in stream:
                message = json.loads(line)
                if message.get("over"):
                    break
                self.events.put(("message", message))
        except (OSError, ValueError):
            pass
        self.events.put(("lost", place))

    def ended(self, task: int, code: int, why: str = "") -> None:
        """Write down how a task ended; a bad end may end the others."""
        self.codes[task] = code
        if code:
            told = why or ("signal %d" % (code - 128) if code > 128 else "exit code %d" % code)
            sys.stderr.write("srun: error: task %d: %s\n" % (task, told))
        bad = self.options.get("kill-on-bad-exit", "0")
        if code and bad != "0" and not self.killing:
            self.killing = True
            self.end()

    def end(self) -> None:
        """End every task: TERM, and KILL for those that go on."""
        self.tell(signal.SIGTERM)
        self.after(GRACE_S, ("signal", signal.SIGKILL))

    def tell(self, number: int) -> None:
        """Pass a signal on to every node."""
        self.send({"signal": int(number)})

    def send(self, message: Dict[str, Any]) -> None:
        """Say one line to every node; those that are gone hear nothing."""
        line = json.dumps(message).encode() + b"\n"
        with self.lock:
            for stream in self.streams:
                try:
                    stream.write(line)
                    stream.flush()
                except (OSError, ValueError):
                    pass

    def write(self, task: int, fd: int, data: bytes) -> None:
        """Put out what a task wrote: with a label line by line, else as it comes."""
        if "label" not in self.options:
            self.write_line(task, fd, data)
            return
        *lines, rest = (self.rest.get((task, fd), b"") + data).split(b"\n")
        for line in lines:
            self.write_line(task, fd, line + b"\n")
        self.rest[(task, fd)] = rest

    def write_line(self, task: int, fd: int, data: bytes) -> None:
        """Put out bytes where that task's stream goes."""
        if not data:
            return
        if "label" in self.options:
            width = len(str(sum(len(each.tasks) for each in self.found) - 1))
            data = str(task).rjust(width).encode() + b": " + data
        target = self.target(task, fd)
        target.write(data)
        target.flush()

    def target(self, task: int, fd: int) -> Any:
        """Return where a task's stream goes: a file that was named, or our own."""
        pattern = self.options.get("output")
        if fd == 2:
            pattern = self.options.get("error", pattern)
        if not pattern:
            return sys.stdout.buffer if fd == 1 else sys.stderr.buffer
        job = self.env.get("SLURM_JOB_ID", "0")
        [place] = [place for place, each in enumerate(self.found) if task in each.tasks]
        name = expanded(
            pattern,
            {"j": job, "t": task, "s": self.step, "J": "%s.%d" % (job, self.step), "n": place,
             "N": self.found[place].host, "x": self.env.get("SLURM_JOB_NAME", ""), "u": self.env.get("USER", ""),
             "A": self.env.get("SLURM_ARRAY_JOB_ID", job), "a": self.env.get("SLURM_ARRAY_TASK_ID", "0")},
        )  # fmt: skip
        if name not in self.files:
            os.makedirs(os.path.dirname(os.path.abspath(name)), exist_ok=True)
            mode = "ab" if self.options.get("open-mode", "").startswith("a") else "wb"
            self.files[name] = open(name, mode)  # noqa: SIM115  (open as long as the step runs)
        return self.files[name]


def ask(
    rank: int, host: str, env: Dict[str, str], request: str, patience_s: float = CONNECT_S
) -> Any:
    """Return a stream on which a node's agent has been given `request`."""
    stream = connected(rank, host, env, patience_s).makefile("rwb")
    nonce = stream.readline().decode().strip()
    told = {"request": request, "proof": proof(env["FLOW_SLURM_KEY"], nonce, request)}
    stream.write(json.dumps(told).encode() + b"\n")
    stream.flush()
    return stream


def connected(rank: int, host: str, env: Dict[str, str], patience_s: float) -> socket.socket:
    """Return a connection to a node's agent, which may still be starting."""
    pause = threading.Event()
    problem = ""
    for _ in range(max(1, int(patience_s / 0.2))):
        try:
            connection = socket.create_connection((host, port_of(rank, env)), timeout=10)
        except OSError as error:
            problem = str(error)
            pause.wait(0.2)
        else:
            connection.settimeout(None)
            return connection
    raise Wrong("node %d (%s) does not answer: %s" % (rank, host, problem))


def hearers(options: Dict[str, str]) -> int:
    """Return which task hears srun's standard input: all, one, or none where it is empty anyway."""
    told = options.get("input", "all")
    if told == "none":
        return NOBODY
    if told.isdigit():
        return int(told)
    if told == "all":
        try:
            here, nothing = os.fstat(0), os.stat(os.devnull)
        except OSError:
            return NOBODY
        return NOBODY if here.st_rdev == nothing.st_rdev else EVERYBODY
    return EVERYBODY


@contextmanager
def noted(env: Dict[str, str]) -> Iterator[None]:
    """While entered, the script's parent knows that this step runs, and can signal it."""
    folder = os.path.join(os.path.dirname(env["SLURM_TMPDIR"]), "steps")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, str(os.getpid()))
    with open(path, "w"):
        pass
    try:
        yield
    finally:
        os.unlink(path)


def next_step(env: Dict[str, str]) -> int:
    """Return the number of a new step; several may begin at once."""
    with open(os.path.join(env["SLURM_TMPDIR"], ".steps"), "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        number = int(file.read() or "0")
        file.seek(0)
        file.truncate()
        file.write(str(number + 1))
    return number
