#!/usr/bin/env python3
"""Runs a task's command on a node and keeps what it says: the one program that Flow puts on nodes.

`$FLOW_HOME` (default /opt/flow) holds everything it knows, so that a reboot, a preemption or a kill at any moment
loses nothing but the attempt:

    task.json      what to run; comes with the node script
    delivery.json  what exists only after allocation: rank, addresses, variables; numbered, each number newer
    state.json     the phase of the attempt, replaced as a whole
    env.json       the variables that Flow set for the command, for shells that want to see what it sees
    log            every byte the command wrote, in the order read
    log.index      24 bytes a stretch of the log: offset, length, stream (0 out, 1 err, 2 note), unix time
    notice.json    there while a notice stands; the command finds its path in FLOW_NOTICE_FILE
    lock           held for as long as `run` lives; names its process
    stop           there once the command was ended for good

Verbs: run · deliver · report · log OFFSET LIMIT · notice [clear] · stop.

Two decisions worth knowing. What outlives the command (a background process that keeps the pipes open) is read for
DRAIN_S more and then left alone: it ends with the node, and what it writes later is not kept. And a command that ends
while the node is being stopped counts as interrupted, whatever its exit code: a checkpoint taken on TERM is not an end.

Python 3.8, standard library only. No f-strings: Flow squeezes this file by its tokens, and those of f-strings lose
their text in some versions.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from typing import Any, Callable

HOME = os.environ.get("FLOW_HOME", "/opt/flow")
ENTRY = struct.Struct("<QIId")
STREAMS = ("out", "err", "note")
DRAIN_S = 2
MERGE_S = 0.05  # stretches of one stream closer than this are one, so that a chatty command has a small index
WAKE_S = 5  # a signal wakes a wait; this is for a signal that got lost


def run() -> int:
    """Run the command to its end, or until the node is stopped; return 0 at once where another `run` lives."""
    lock = hold_lock()
    if lock is None:
        return 0
    state = load("state.json")
    if state.get("phase") == "exited":
        return 0
    wake = watch_signals()
    log = Log()
    state["attempt"] = state.get("attempt", -1) + 1
    state["wants_delivery"] = False
    task = load("task.json")
    delivery = wait_for_delivery(task, state, log, wake)
    if delivery is None:
        return finish(state, log, 143, True)
    rank = delivery.get("rank", 0)
    env = variables(task, delivery, state["attempt"])
    save("env.json", env)
    state.update(
        phase="running", waiting_for="", wants_delivery=False, used=delivery.get("number", 0)
    )
    state.update(began_at=time.time(), ended_at=None)
    save("state.json", state)
    if state["attempt"]:
        log.note("attempt %d begins" % (state["attempt"] + 1))
    if rank and task["run_on"] == "first-node":
        log.note("node %d stays up while node 0 runs the command" % rank)
        while not told_to_stop(wake, WAKE_S):
            pass
        return finish(state, log, 143, True)
    try:
        child = start(task, env)
    except OSError as error:
        code, reason = why_not(error)
        log.note(reason)
        return finish(state, log, code, False)
    return finish(state, log, *attend(child, log, wake))


def wait_for_delivery(
    task: dict[str, Any], state: dict[str, Any], log: Log, wake: int
) -> dict[str, Any] | None:
    """Return the delivery to run with ({} if none is needed), or None when told to stop first."""
    used = state.get("used", 0)
    many = task["num_nodes"] > 1
    needed = many or (task["wants_delivery"] and not used)
    while not os.path.exists(path("stop")):
        delivery: dict[str, Any] = load("delivery.json")
        if not needed or delivery.get("number", 0) > used:
            return delivery
        if not state["wants_delivery"]:
            what = (
                "the addresses of all %d nodes" % task["num_nodes"]
                if many
                else "its files and variables"
            )
            state.update(phase="waiting", wants_delivery=True, waiting_for=what)
            save("state.json", state)
            log.note("waiting for " + what)
        if told_to_stop(wake, WAKE_S):
            break
    return None


def variables(task: dict[str, Any], delivery: dict[str, Any], attempt: int) -> dict[str, str]:
    """Return the variables of the command: ours, then the user's over them."""
    nodes = sorted(
        delivery.get("nodes") or [{"rank": 0, "host": "127.0.0.1"}], key=lambda node: node["rank"]
    )
    hosts = [node["host"] for node in nodes]
    rank = str(delivery.get("rank", 0))
    count = str(task["num_nodes"])
    port = str(delivery.get("port") or free_port())
    env = {
        "FLOW_HOME": HOME,
        "FLOW_TASK": task["name"],
        "FLOW_NODE_RANK": rank,
        "FLOW_NUM_NODES": count,
        "FLOW_NODES": " ".join(hosts),
        "FLOW_GPUS": str(task["gpus"]),
        "FLOW_RESTART_COUNT": str(attempt),
        "FLOW_NOTICE_FILE": path("notice.json"),
        "RANK": rank,
        "WORLD_SIZE": count,
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    for prefix in ("", "PET_"):
        env[prefix + "NNODES"] = count
        env[prefix + "NODE_RANK"] = rank
        env[prefix + "MASTER_ADDR"] = hosts[0]
        env[prefix + "MASTER_PORT"] = port
    env.update(task["env"])
    env.update(delivery.get("env") or {})
    return env


def free_port() -> int:
    """Return a port that nobody listens on now; a node alone needs no fellow to know it."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(task: dict[str, Any], env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own: a line by bash or sh, arguments as they are."""
    workspace = os.environ.get("FLOW_WORKSPACE", task["workspace"])
    os.makedirs(workspace, exist_ok=True)
    folder = os.path.join(workspace, task["working_dir"] or "")
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder on this node", folder)
    command = task["command"]
    environ = dict(os.environ, **env)
    environ.pop("FLOW_FOREGROUND", None)

    def begin(arguments: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            arguments,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )

    if isinstance(command, list):
        return begin(command)
    try:
        return begin(["bash", "-c", command])
    except FileNotFoundError:
        return begin(["sh", "-c", command])


def why_not(error: OSError) -> tuple[int, str]:
    """Return the exit code and the sentence for a command that could not start."""
    if isinstance(error, FileNotFoundError):
        return 127, "%s: command not found" % error.filename
    return 127 if error.errno == errno.ENOTDIR else 126, "%s: %s" % (error.filename, error.strerror)


def attend(child: subprocess.Popen[bytes], log: Log, wake: int) -> tuple[int, bool]:
    """Keep what the command writes until it has ended; return its exit code and whether the node's stop ended it."""
    assert child.stdout
    assert child.stderr
    pipes = {child.stdout.fileno(): 0, child.stderr.fileno(): 1}
    killed = False
    stopping: float | None = None
    ended: float | None = None
    while True:
        ready = select.select([wake, *pipes], [], [], 0.1 if stopping or ended else WAKE_S)[0]
        for pipe in ready:
            data = os.read(pipe, 65536)
            if pipe == wake:
                if child.poll() is None and not stopping and signal.SIGTERM in data:
                    stopping = time.monotonic()
                    tell(child, signal.SIGTERM)
            elif data:
                log.add(pipes[pipe], data)
            else:
                del pipes[pipe]
        now = time.monotonic()
        if stopping and not killed and now - stopping > float(os.environ.get("FLOW_GRACE_S", "10")):
            killed = tell(child, signal.SIGKILL)
        if child.poll() is None:
            continue
        ended = ended or now
        if stopping and not killed and tell(child, 0):
            continue
        if not pipes or now - ended > DRAIN_S:
            code = child.returncode
            return code if code >= 0 else 128 - code, bool(stopping)


def tell(child: subprocess.Popen[bytes], number: int) -> bool:
    """Signal the command's whole group; return whether anyone was there."""
    try:
        os.killpg(child.pid, number)
    except OSError:
        return False
    return True


def finish(state: dict[str, Any], log: Log, code: int, stopped: bool) -> int:
    """Write down how the attempt ended; one that the node's stop cut short will run again."""
    if stopped and not os.path.exists(path("stop")):
        state.update(phase="interrupted")
    else:
        state.update(phase="exited", exit_code=code)
    state.update(ended_at=time.time(), waiting_for="", wants_delivery=False, log_bytes=log.size)
    save("state.json", state)
    return 0


class Log:
    """The log and its index, written at known places so that a full disk or a crash leaves them consistent."""

    def __init__(self) -> None:
        self.file, self.index = (
            os.open(path(name), os.O_RDWR | os.O_CREAT, 0o600) for name in ("log", "log.index")
        )
        self.count = os.fstat(self.index).st_size // ENTRY.size
        self.last = entry(self.index, self.count - 1) if self.count else (0, 0, None, 0)
        self.size = self.last[0] + self.last[1]

    def add(self, stream: int, data: bytes) -> None:
        """Append bytes of one stream; a full disk costs log, never the command."""
        while data:
            try:
                written = os.pwrite(self.file, data, self.size)
                now = time.time()
                begin, length, kind, at = self.last
                if kind == stream and 0 <= now - at < MERGE_S:
                    merged = (begin, length + written, kind, at)
                    place = self.count - 1
                else:
                    merged = (self.size, written, stream, now)
                    place = self.count
                os.pwrite(self.index, ENTRY.pack(*merged), place * ENTRY.size)
            except OSError:
                return
            self.last = merged
            self.count = place + 1
            self.size += written
            data = data[written:]

    def note(self, text: str) -> None:
        """Append a line of our own."""
        self.add(2, ("flow: %s\n" % text).encode("utf-8", "replace"))


def deliver() -> int:
    """Take a delivery from stdin; exit 3 if a newer one came before."""
    new = json.load(sys.stdin)
    number = load("delivery.json").get("number", 0)
    if new["number"] < number:
        print("delivery %d came before this one, %d" % (number, new["number"]), file=sys.stderr)
        return 3
    if new["number"] > number:
        save("delivery.json", new)
    kick(signal.SIGHUP)
    return 0


def report() -> int:
    """Print the state as JSON, {} before the first word."""
    alive = kick(0)
    state = load("state.json")
    if not alive and state.get("phase") in ("waiting", "running"):
        state.update(phase="interrupted", wants_delivery=False, waiting_for="")
    if state:
        state["log_bytes"] = Log().size
    print(json.dumps(state))
    return 0


def read_log(offset: int, limit: int) -> int:
    """Print a line that describes the stretch from `offset`, then its bytes."""
    over = load("state.json").get("phase") == "exited"
    log = Log()
    low, high = 0, log.count
    while low < high:
        middle = (low + high) // 2
        begin, length = entry(log.index, middle)[:2]
        if begin + length > offset:
            high = middle
        else:
            low = middle + 1
    pieces = []
    end = offset
    while low < log.count and end < offset + limit:
        begin, length, stream, at = entry(log.index, low)
        piece = min(begin + length, offset + limit) - end
        pieces.append([STREAMS[stream], piece, at])
        end += piece
        low += 1
    head = {
        "offset": offset,
        "next_offset": end,
        "pieces": pieces,
        "is_last": over and end >= log.size,
    }
    sys.stdout.buffer.write(
        json.dumps(head).encode() + b"\n" + os.pread(log.file, end - offset, offset)
    )
    return 0


def notice(clear: str | None = None) -> int:
    """Put the notice on stdin where the command looks for it, or take it away."""
    if clear is None:
        save("notice.json", json.load(sys.stdin))
    elif os.path.exists(path("notice.json")):
        os.remove(path("notice.json"))
    return 0


def stop() -> int:
    """End the command for good: TERM, then KILL; return when it has ended."""
    os.close(os.open(path("stop"), os.O_WRONLY | os.O_CREAT, 0o600))
    kick(signal.SIGTERM)
    lock = os.open(path("lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    state = load("state.json")
    return 0 if state.get("phase") == "exited" else finish(state, Log(), 143, True)


def hold_lock() -> int | None:
    """Return the held lock, or None where another process keeps it; a mere look at it is waited out."""
    lock = os.open(path("lock"), os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(5):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)
        else:
            os.pwrite(lock, b"%-20d" % os.getpid(), 0)
            return lock
    return None


def kick(number: int) -> bool:
    """Signal the living `run`; return whether there is one."""
    lock = os.open(path("lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        os.kill(int(os.pread(lock, 20, 0) or os.getpid()), number)
        return True
    finally:
        os.close(lock)


def watch_signals() -> int:
    """Return a descriptor that turns readable, with the signals' numbers, when one has come."""
    wake, told = os.pipe()
    for end in (wake, told):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return wake


def told_to_stop(wake: int, seconds: float) -> bool:
    """Wait for a signal; return whether it says that the node stops."""
    return bool(select.select([wake], [], [], seconds)[0]) and signal.SIGTERM in os.read(wake, 4096)


def entry(index: int, number: int) -> Any:
    """Return one entry of the index: offset, length, stream, time."""
    return ENTRY.unpack(os.pread(index, ENTRY.size, number * ENTRY.size))


def path(name: str) -> str:
    """Return where a file of ours lies."""
    return os.path.join(HOME, name)


def load(name: str) -> Any:
    """Return what a file of ours holds, {} where there is none."""
    try:
        with open(path(name)) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def save(name: str, value: Any) -> None:
    """Replace a file of ours as a whole; a full disk is waited out, for what was not written is not known."""
    new = path("%s.%d" % (name, os.getpid()))
    while True:
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            os.rename(new, path(name))
            return
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            time.sleep(1)


VERBS: dict[str, Callable[..., int]] = {
    "run": run,
    "deliver": deliver,
    "report": report,
    "notice": notice,
    "stop": stop,
}

if __name__ == "__main__":
    if sys.argv[1] == "log":
        sys.exit(read_log(int(sys.argv[2]), int(sys.argv[3])))
    sys.exit(VERBS[sys.argv[1]](*sys.argv[2:]))
