#!/usr/bin/env python3
"""Runs a task's command on a node and keeps what it says: the one program that Flow puts on nodes.

`$FLOW_HOME` (default /opt/flow) holds all it knows, so that a kill or a reboot at any moment costs only the attempt:
task.json (what to run), delivery.json (what exists only after allocation: rank, addresses, variables; numbered),
state.json (the phase), env.json (the variables set for the command), log (every byte it wrote, in the order read),
log.index (24 bytes a stretch: offset, length, stream, unix time), notice.json (there while a notice stands), lock
(held while `run` lives), stop (there once the command was ended for good).

Verbs: run · deliver · report · log OFFSET LIMIT · notice [clear] · stop.

Two decisions worth knowing. What outlives the command (a background process that keeps the pipes open) is read for
DRAIN_S more and then left alone: it ends with the node, and what it writes later is not kept. And a command that ends
while the node is being stopped counts as interrupted, whatever its exit code: a checkpoint taken on TERM is no end.

Python 3.8, standard library only; no f-strings and no look at names, for it is squeezed on its way to the node.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Any

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
    wake, log = watch_signals(), Log()
    state.update(attempt=state.get("attempt", -1) + 1, wants_delivery=False, ended_at=None)
    task = load("task.json")
    delivery = wait_for_delivery(task, state, log, wake)
    if delivery is None:
        return finish(state, log, 143, True)
    env = variables(task, delivery, state["attempt"])
    save("env.json", env)
    state.update(phase="running", waiting_for="", wants_delivery=False, began_at=time.time())
    state.update(used=delivery.get("number", 0))
    save("state.json", state)
    if state["attempt"]:
        log.note("attempt %d begins" % (state["attempt"] + 1))
    if delivery.get("rank") and task["run_on"] == "first-node":
        log.note("stays up while node 0 runs the command")
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
            what = "all %d nodes" % task["num_nodes"] if many else "its files and variables"
            state.update(phase="waiting", wants_delivery=True, waiting_for=what)
            save("state.json", state)
            log.note("waiting for " + what)
        if told_to_stop(wake, WAKE_S):
            break
    return None


def variables(task: dict[str, Any], delivery: dict[str, Any], attempt: int) -> dict[str, str]:
    """Return the variables of the command: ours, then the user's over them."""
    nodes = {node["rank"]: node["host"] for node in delivery.get("nodes", [])} or {0: "127.0.0.1"}
    hosts = [nodes[each] for each in sorted(nodes)]
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
        "PYTHONUNBUFFERED": "1",
    }
    env.update({"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"})
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
    environ = dict(os.environ, **env)
    environ.pop("FLOW_FOREGROUND", None)
    command = task["command"]
    if isinstance(command, str):
        places = [os.path.join(each, "bash") for each in os.get_exec_path(environ)]
        command = ["bash" if any(map(os.path.exists, places)) else "sh", "-c", command]
    pipe = subprocess.PIPE
    streams: Any = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "bufsize": 0}
    return subprocess.Popen(command, cwd=folder, env=environ, start_new_session=True, **streams)


def why_not(error: OSError) -> tuple[int, str]:
    """Return the exit code and the sentence for a command that could not start."""
    if isinstance(error, FileNotFoundError):
        return 127, "%s: command not found" % error.filename
    return 127 if error.errno == errno.ENOTDIR else 126, "%s: %s" % (error.filename, error.strerror)


def attend(child: subprocess.Popen[bytes], log: Log, wake: int) -> tuple[int, bool]:
    """Keep what the command writes until it has ended; return its exit code and whether the node's stop ended it."""
    streams: Any = (child.stdout, child.stderr)
    pipes = {stream.fileno(): number for number, stream in enumerate(streams)}
    killed = False
    stopping = ended = 0.0
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
        return True
    except OSError:
        return False


def finish(state: dict[str, Any], log: Log, code: int, stopped: bool) -> int:
    """Write down how the attempt ended; one that the node's stop cut short will run again."""
    over = not stopped or os.path.exists(path("stop"))
    state.update({"phase": "exited", "exit_code": code} if over else {"phase": "interrupted"})
    state.update(ended_at=time.time(), waiting_for="", wants_delivery=False, log_bytes=log.size)
    save("state.json", state)
    return 0


class Log:
    """The log and its index, written at known places so that a full disk or a crash leaves them consistent."""

    def __init__(self) -> None:
        self.file, self.index = opened("log"), opened("log.index")
        self.count = os.fstat(self.index).st_size // ENTRY.size
        self.last = entry(self.index, self.count - 1) if self.count else (0, 0, None, 0)
        self.size = self.last[0] + self.last[1]

    def add(self, stream: int, data: bytes) -> None:
        """Append bytes of one stream; a full disk costs log, never the command."""
        while data:
            now = time.time()
            begin, length, kind, at = self.last
            try:
                written = os.pwrite(self.file, data, self.size)
                merged, place = (self.size, written, stream, now), self.count
                if kind == stream and 0 <= now - at < MERGE_S:
                    merged, place = (begin, length + written, kind, at), place - 1
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
    head = {"offset": offset, "next_offset": end, "pieces": pieces}
    head["is_last"] = over and end >= log.size
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    sys.stdout.buffer.write(os.pread(log.file, end - offset, offset))
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
    os.close(opened("stop"))
    kick(signal.SIGTERM)
    lock = opened("lock")
    fcntl.flock(lock, fcntl.LOCK_EX)
    state = load("state.json")
    return 0 if state.get("phase") == "exited" else finish(state, Log(), 143, True)


def hold_lock() -> int | None:
    """Return the held lock, or None where another process keeps it; a mere look at it is waited out."""
    lock = opened("lock")
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
    lock = opened("lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.kill(int(os.pread(lock, 20, 0) or os.getpid()), number)
        return True
    os.close(lock)
    return False


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


def opened(name: str) -> int:
    """Open a file of ours, made if need be."""
    return os.open(path(name), os.O_RDWR | os.O_CREAT, 0o600)


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
    new = "%s.%d" % (name, os.getpid())
    while True:
        try:
            with open(opened(new), "w") as file:
                file.truncate()
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            os.rename(path(new), path(name))
            return
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            time.sleep(1)


VERBS: Any = {"run": run, "deliver": deliver, "report": report, "notice": notice, "stop": stop}

if __name__ == "__main__":
    if sys.argv[1] == "log":
        sys.exit(read_log(int(sys.argv[2]), int(sys.argv[3])))
    sys.exit(VERBS[sys.argv[1]](*sys.argv[2:]))
