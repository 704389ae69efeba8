"""Starts the tasks of steps on one node for srun, which may run on another, and sends back what they write.

An agent listens on the node's own port; srun connects, once a step and node. The agent says a nonce; srun answers
with a line that holds its request and an HMAC of nonce and request under the task's key, which never travels. After
that each side sends JSON lines: the agent `out` (base64) and `exit`, srun `in` (base64) and `signal`. A connection that
ends early ends its tasks. Nothing is encrypted: nodes of a task share a private network, as with torch's rendezvous.

Python 3.8, standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import queue
import secrets
import signal
import socket
import subprocess
import threading
from typing import Any, Dict, List

#: Variables that are each node's own, whatever the caller's are.
_OWN = ("HOME", "TMPDIR", "HOSTNAME", "SLURM_TMPDIR")
GRACE_S = 5


def proof(key: str, nonce: str, request: str) -> str:
    """Return what shows that a request comes from someone who has the task's key."""
    return hmac.new(key.encode(), (nonce + "\n" + request).encode(), hashlib.sha256).hexdigest()


def port_of(rank: int, env: Dict[str, str]) -> int:
    """Return where the agent of a node listens: nodes may share a host, so each has a port of its own."""
    return int(env["FLOW_SLURM_PORT"]) + 1 + rank


class Agent:
    """Serves one node until `stop` is asked for by someone with the key."""

    def __init__(self, rank: int, env: Dict[str, str], *, host: str = "") -> None:
        self.env = env
        self.key = env["FLOW_SLURM_KEY"]
        self.stopped = threading.Event()
        self.ending = False
        self.lock = threading.Lock()
        self.steps: List[Step] = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port_of(rank, env)))
        self.listener.listen(128)

    def serve(self) -> None:
        """Answer until stopped, or until every task has ended where they were told to."""
        self.listener.settimeout(0.2)
        told = False
        while not self.stopped.is_set() and (not self.ending or self.is_busy()):
            if self.ending and not told:
                told = True
                with self.lock:
                    steps = list(self.steps)
                for step in steps:
                    step.tell(signal.SIGTERM)
            try:
                connection, _ = self.listener.accept()
            except socket.timeout:
                continue
            connection.settimeout(None)
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()
        self.listener.close()

    def end(self) -> None:
        """Have every task told that the node stops; they have as long as the node gives them.

        May be called by a signal's handler: `serve` does the telling, which may have to wait for tasks that start.
        """
        self.ending = True

    def is_busy(self) -> bool:
        """Whether a step still has something to say: its tasks may have ended before their last words are sent."""
        with self.lock:
            return bool(self.steps)

    def answer(self, connection: socket.socket) -> None:
        """Hear one request, once it is known to come from a fellow."""
        nonce = secrets.token_hex(16)
        with connection, connection.makefile("rwb") as stream:
            stream.write(nonce.encode() + b"\n")
            stream.flush()
            try:
                told = json.loads(stream.readline(10_000_000) or b"{}")
                request = told["request"]
                if not hmac.compare_digest(proof(self.key, nonce, request), told["proof"]):
                    return
                asked = json.loads(request)
            except (ValueError, KeyError, TypeError):
                return
            if asked.get("stop"):
                self.stopped.set()
                return
            step = Step(stream, asked, self.env)
            with self.lock:
                if self.ending:
                    return  # to srun this node is gone, as it will be
                self.steps.append(step)
            try:
                step.run()
            finally:
                with self.lock:
                    self.steps.remove(step)


class Step:
    """The tasks of one step on this node."""

    def __init__(self, stream: Any, asked: Dict[str, Any], own: Dict[str, str]) -> None:
        self.stream = stream
        self.asked = asked
        self.own = own
        self.lock = threading.Lock()
        #: Set once every task has been started: one that runs may have its node stopped before we know its number.
        self.started = threading.Event()
        self.heard: queue.Queue = queue.Queue()  # type: ignore[type-arg]
        self.children: Dict[int, subprocess.Popen] = {}  # type: ignore[type-arg]

    def run(self) -> None:
        """Start every task, and go on until srun has gone or all have ended."""
        waiting: List[threading.Thread] = []
        for task in self.asked["tasks"]:
            try:
                child = self.start(task)
            except OSError as error:
                code = 127 if isinstance(error, FileNotFoundError) else 126
                text = "srun: error: %s: %s\n" % (self.asked["argv"][0], error.strerror)
                self.out(task["id"], 2, text.encode())
                self.say({"exit": task["id"], "code": code})
                continue
            self.children[task["id"]] = child
            waiting.append(
                threading.Thread(target=self.attend, args=(task["id"], child), daemon=True)
            )
        self.started.set()
        for thread in waiting:
            thread.start()
        for act in (self.hear, self.feed):
            threading.Thread(target=act, daemon=True).start()
        for thread in waiting:
            thread.join()
        self.say({"over": True})

    def start(self, task: Dict[str, Any]) -> Any:
        """Start one task in a session of its own."""
        env = dict(self.asked["env"], **task["env"])
        for name in list(env):
            if name.startswith("FLOW_") or name in _OWN:
                env.pop(name)
        for name, value in self.own.items():
            if name.startswith("FLOW_") or name in _OWN:
                env[name] = value
        if self.own.get("FLOW_SLURM_BIN"):
            env["PATH"] = self.own["FLOW_SLURM_BIN"] + os.pathsep + env.get("PATH", os.defpath)
        hears = subprocess.PIPE if task.get("stdin") else subprocess.DEVNULL
        return subprocess.Popen(
            self.asked["argv"], cwd=self.folder(self.asked["cwd"]), env=env, stdin=hears,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, bufsize=0,
        )  # fmt: skip

    def folder(self, asked: str) -> str:
        """Return the caller's folder as it is here: below the workspace it is below our own."""
        theirs, ours = self.asked["workspace"], self.own.get("FLOW_SLURM_WORKSPACE", os.getcwd())
        if asked == theirs or asked.startswith(theirs + "/"):
            return ours + asked[len(theirs) :]
        return asked

    def attend(self, number: int, child: Any) -> None:
        """Pass on what a task writes, then how it ended."""
        pumps = [
            threading.Thread(target=self.pump, args=(number, fd, pipe), daemon=True)
            for fd, pipe in ((1, child.stdout), (2, child.stderr))
        ]
        for pump in pumps:
            pump.start()
        code = child.wait()
        for pump in pumps:
            pump.join(2)
        self.say({"exit": number, "code": code if code >= 0 else 128 - code})

    def pump(self, number: int, fd: int, pipe: Any) -> None:
        """Pass on one stream of a task."""
        with pipe:
            data = os.read(pipe.fileno(), 65536)
            while data:
                self.out(number, fd, data)
                data = os.read(pipe.fileno(), 65536)

    def out(self, number: int, fd: int, data: bytes) -> None:
        """Say what a task wrote."""
        self.say({"out": number, "fd": fd, "data": base64.b64encode(data).decode()})

    def say(self, message: Dict[str, Any]) -> None:
        """Send one line; where nobody listens any more, the tasks end by `hear`."""
        try:
            with self.lock:
                self.stream.write(json.dumps(message).encode() + b"\n")
                self.stream.flush()
        except OSError:
            pass

    def hear(self) -> None:
        """Do what srun asks for while tasks run; when it has gone, end them."""
        try:
            for line in self.stream:
                message = json.loads(line)
                if "in" in message:
                    self.heard.put(base64.b64decode(message["in"]))
                else:
                    self.tell(int(message["signal"]))
        except (OSError, ValueError, KeyError):
            pass
        self.heard.put(b"")
        self.tell(signal.SIGKILL)

    def feed(self) -> None:
        """Give tasks that hear what srun reads, to its end, at the pace of the slowest; signals don't wait for that."""
        self.started.wait()
        hearing = [child.stdin for child in self.children.values() if child.stdin is not None]
        data = b"" if not hearing else self.heard.get()
        while data:
            for ear in hearing:
                try:
                    ear.write(data)
                except OSError:
                    pass  # it has ended, or closed its ear
            data = self.heard.get()
        for ear in hearing:
            ear.close()

    def tell(self, number: int) -> None:
        """Signal every task that still runs, and what it started; those that are being started too."""
        self.started.wait()
        for child in self.children.values():
            if child.poll() is None:
                try:
                    os.killpg(child.pid, number)
                except OSError:
                    pass
