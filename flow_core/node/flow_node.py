#!/usr/bin/env python3
"""Runs a task's command on a node and keeps what it says: the one program that Flow puts on nodes.

`$FLOW_HOME` (default /opt/flow) holds all it knows, so that a kill or a reboot at any moment costs only the attempt:
task.json (what to run), code.tar (files that rode in the script; code.had once unpacked), delivery.json (what exists
only after allocation: rank, addresses, variables, what to set up; numbered), kit.zip (the program that sets it up),
state.json (the phase), env.json (the variables set for the command), failure.json (why the set-up failed), log (every
byte it wrote, in the order read), log.index (24 bytes a stretch: offset, length, stream, unix time), notice.json
(there while a notice stands), lock (held while `run` lives), stop (there once the command was ended for good).

Verbs: install · run · deliver · report · stop. The log is read by `log_reader.py`.

Decisions worth knowing. What outlives the command (a background process that keeps the pipes open) is read for DRAIN_S
more and then left alone: it ends with the node, and what it writes later is not kept. A command that ends while the
node is being stopped counts as interrupted, whatever its exit code: a checkpoint taken on TERM is no end. So does one
that fails while a notice stands. A notice is told by a signal, and only to processes that catch it: nobody dies of
it; that it was taken back is told by CONT. Where there are fellows, a newer membership starts the command again, ended
or not; that is how one rank's failure, or its new address, reaches the others.

Python 3.8, standard library only; no f-strings and no look at names, for it is squeezed on its way to the node. What
only a run needs is loaded by it: half the time that an answer takes is the loading of modules.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import sys
import time
from typing import Any

from flow_core.node.node_store import (
    HOME,
    Log,
    hold_lock,
    is_there,
    kick,
    load,
    opened,
    path,
    save,
    told_to_stop,
    unpack_code,
    watch_signals,
    write,
)

VARIABLES = """
FLOW_NODE_RANK=%(rank)d RANK=%(rank)d NODE_RANK=%(rank)d PET_NODE_RANK=%(rank)d
FLOW_NUM_NODES=%(count)d WORLD_SIZE=%(count)d NNODES=%(count)d PET_NNODES=%(count)d
MASTER_ADDR=%(host)s PET_MASTER_ADDR=%(host)s MASTER_PORT=%(port)s PET_MASTER_PORT=%(port)s
LOCAL_RANK=0 LOCAL_WORLD_SIZE=1 FLOW_GPUS=%(gpus)d FLOW_RESTART_COUNT=%(number)d PYTHONUNBUFFERED=1
"""
DRAIN_S = 2
UNIT = """[Unit]
Wants=network-online.target
After=network-online.target
[Service]
Environment="FLOW_HOME=%s"
ExecStart="%s" "%s" run
KillMode=mixed
TimeoutStopSec=30
[Install]
WantedBy=multi-user.target
"""
TASK: bytes  # what the node script carries: the task as JSON,
HELPER: bytes  # this very program,
CODE: bytes  # and the user's files as a tar, where they are few
WAKE_S = 1  # a signal wakes a wait; this is for a notice, which comes as a file
USERS_MISTAKES = (125, 126, 127)  # the set-up's word, and the shell's for what can't be run


def install() -> int:
    """Put the task and this program where they belong, and start it: here and now, or as a unit of systemd."""
    program = path("bin/flow-node")
    os.makedirs(path("bin"), exist_ok=True)
    os.chmod(HOME, 0o700)  # variables and commands are nobody else's to read
    if CODE and not is_there("task.json"):  # noqa: F821
        write(path("code.tar"), CODE)  # noqa: F821
    carried = ((path("task.json"), TASK, 0o600), (program, HELPER, 0o755))  # noqa: F821
    for name, text, mode in carried:
        write(name, text)
        os.chmod(name, mode)
    if os.environ.get("FLOW_FOREGROUND"):
        return run()
    write(
        "/etc/systemd/system/flow-node.service", (UNIT % (HOME, sys.executable, program)).encode()
    )
    return os.system("systemctl daemon-reload && systemctl enable --now flow-node") >> 8


def run() -> int:
    """Run the command to its end, or until the node is stopped; return 0 at once where another `run` lives."""
    lock = hold_lock()
    if lock is None:
        return 0
    state, task = load("state.json"), load("task.json")
    wake, log = watch_signals(), Log()
    while True:
        while state.get("phase") != "exited":
            code, cut = attempt(task, state, log, wake)
            state.update(wants_delivery=False, ended_at=time.time(), log_bytes=log.size)
            phase = settle(code, cut, task, state, log, wake)
            if phase == "exited":
                state.update(exit_code=code, reason=load("failure.json") or "")
            state.update(phase=phase, waiting_for="")
            save("state.json", state)
            if phase == "interrupted":
                return 0
        while not superseded(state):
            if task["num_nodes"] < 2 or is_there("stop") or told_to_stop(wake, 60):
                return 0
        state.update(phase="waiting", exit_code=None)


def settle(code: int, cut: str, task: Any, state: Any, log: Log, wake: int) -> str:
    """Return what follows an attempt: exited or interrupted, or waiting for the next, which may begin now."""
    retried = state.get("retried", 0)
    rest = min(float(os.environ.get("FLOW_REST_S", "5")) * 2**retried, 300)
    if is_there("stop") or not (code or cut):
        return "exited"
    if cut or superseded(state):
        return "interrupted" if cut == "stop" else "waiting"
    words = "ended with %d" % code
    ends = time.monotonic() + rest
    noticed = see_notice(task)
    if noticed:
        words += " under a notice"
    elif retried < task["retries"] and code not in USERS_MISTAKES:
        state.update(retried=retried + 1)
        words += "; try %d of %d follows in %g s" % (retried + 2, task["retries"] + 1, rest)
    else:
        return "exited"
    log.note(words)
    save("state.json", dict(state, phase="waiting", waiting_for=words))
    while not superseded(state) and (see_notice(task) if noticed else time.monotonic() < ends):
        if told_to_stop(wake, min(rest, WAKE_S)):
            return "exited" if is_there("stop") else "interrupted"
    return "waiting"


def attempt(task: Any, state: Any, log: Log, wake: int) -> tuple[int, str]:
    """Run the command once; return its exit code and what cut it short, if anything did: stop or news."""
    state.update(attempt=state.get("attempt", -1) + 1, wants_delivery=False, ended_at=None)
    save("failure.json", "")
    delivery = wait_for_delivery(task, state, log, wake)
    if delivery is None:
        return 143, "stop"
    env = variables(task, delivery, state["attempt"])
    save("env.json", env)
    state.update(phase="running", waiting_for="", wants_delivery=False, began_at=time.time())
    state.update(
        used=delivery.get("number", 0),
        retried=max(state.get("retried", 0), delivery.get("retried", 0)),
    )
    save("state.json", state)
    if state["attempt"]:
        log.note("attempt %d begins" % (state["attempt"] + 1))
    if delivery.get("rank") and task["run_on"] == "first-node":
        log.note("node 0 runs the command")
        while not told_to_stop(wake, WAKE_S):
            if superseded(state):
                return 143, "news"
        return 143, "stop"
    try:
        child = start(task, env, delivery)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "%s: %s" % (error.filename, "command not found" if missing else error.strerror)
        log.note(reason)
        save("failure.json", reason)
        return 127 if missing or error.errno == errno.ENOTDIR else 126, ""
    return attend(child, task, state, log, wake)


def superseded(state: Any) -> bool:
    """Whether fellows have a newer membership than the one that was used; one alone has no fellows."""
    return len(load("delivery.json").get("nodes", "")) > 1 and not is_used(state)


def is_used(state: Any) -> bool:
    """Whether the newest delivery is the one that was used."""
    return bool(load("delivery.json").get("number", 0) <= state.get("used", 0))


def wait_for_delivery(task: Any, state: Any, log: Log, wake: int) -> Any:
    """Return the delivery to run with ({} if none is needed), or None when told to stop first."""
    used = state.get("used", 0)
    many = task["num_nodes"] > 1
    needed = many or (task["wants_delivery"] and not used)
    while not is_there("stop"):
        if not needed or not is_used(state):
            return load("delivery.json")
        if not state["wants_delivery"]:
            what = "all %d nodes" % task["num_nodes"] if many else "its files and variables"
            state.update(phase="waiting", wants_delivery=True, waiting_for=what)
            save("state.json", state)
            log.note("waiting for " + what)
        if told_to_stop(wake, 5):
            break
    return None


def variables(task: Any, delivery: Any, number: int) -> dict[str, str]:
    """Return the variables of the command: ours, then the user's over them."""
    import socket

    nodes = {node["rank"]: node["host"] for node in delivery.get("nodes", [])} or {0: "127.0.0.1"}
    hosts = [nodes[each] for each in sorted(nodes)]
    # One alone needs no fellow to know its port: any that nobody listens on now.
    port = delivery.get("port") or socket.create_server(("127.0.0.1", 0)).getsockname()[1]
    words = VARIABLES % {
        "rank": delivery.get("rank", 0),
        "count": task["num_nodes"],
        "host": hosts[0],
        "port": port,
        "gpus": task["gpus"],
        "number": number,
    }
    env = dict(each.split("=") for each in words.split())
    env.update(
        FLOW_HOME=HOME,
        FLOW_TASK=task["name"],
        FLOW_NODES=" ".join(hosts),
        FLOW_NOTICE_FILE=path("notice.json"),
        FLOW_NOTICE_DEADLINE=see_notice(task).get("deadline", ""),
    )
    env.update(task["env"], **(delivery.get("env") or {}))
    return env


def start(task: Any, env: dict[str, str], delivery: Any) -> Any:
    """Start the command in a session of its own: a line by bash or sh, arguments as they are.

    What has to be set up first is the kit's to do, which then becomes the command.
    """
    import subprocess

    workspace = os.environ.get("FLOW_WORKSPACE", task["workspace"])
    os.makedirs(workspace, exist_ok=True)
    unpack_code(workspace)
    folder = os.path.join(workspace, task["working_dir"] or "")
    environ = dict(os.environ, **env)
    environ.pop("FLOW_FOREGROUND", None)
    command = task["command"]
    if isinstance(command, str):
        has_bash = any(os.access(each + "/bash", os.X_OK) for each in os.get_exec_path(environ))
        command = ["bash" if has_bash else "sh", "-c", command]
    if delivery.get("setup"):
        command = [sys.executable, path("kit.zip"), "enter", folder, *command]
        folder = workspace
    elif not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder on this node", folder)
    pipe = subprocess.PIPE
    streams: Any = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "bufsize": 0}
    return subprocess.Popen(command, cwd=folder, env=environ, start_new_session=True, **streams)


def attend(child: Any, task: Any, state: Any, log: Log, wake: int) -> tuple[int, str]:
    """Keep what the command writes until it has ended; return its exit code and what cut it short."""
    pipes = {child.stdout.fileno(): 0, child.stderr.fileno(): 1}
    cut, noticed, killed = "", False, False
    since = ended = looked = 0.0
    while True:
        ready = select.select([wake, *pipes], [], [], 0.1 if cut or ended else WAKE_S)[0]
        now = time.monotonic()
        for pipe in ready:
            data = os.read(pipe, 65536)
            if pipe == wake:
                looked = 0
                if not cut:
                    lives = child.poll() is None
                    cut = (
                        "stop" if signal.SIGTERM in data else "news" * (lives and superseded(state))
                    )
                    if cut:
                        since = now
                        tell(child, signal.SIGTERM)
            elif data:
                log.add(pipes[pipe], data)
            else:
                del pipes[pipe]
        if now - looked >= WAKE_S:
            looked = now
            if noticed == (not see_notice(task)):
                noticed = not noticed
                name = "SIG" + task["notice_signal"] if noticed else "SIGCONT"
                tell_catchers(child.pid, getattr(signal, name, 0))
        if cut and not killed and now - since > float(os.environ.get("FLOW_GRACE_S", "10")):
            killed = tell(child, signal.SIGKILL)
        if child.poll() is not None:
            ended = ended or now
            code = child.returncode
            lingers = cut and not killed and tell(child, 0)
            if not lingers and (not pipes or now - ended > DRAIN_S):
                # Whoever ends a node may signal all of its processes, the command before us.
                if not cut and code in (-15, 143) and told_to_stop(wake, 0.2):
                    cut = "stop"
                return code if code >= 0 else 128 - code, cut


def see_notice(task: Any) -> Any:
    """Return the notice that stands, or {}; the provider's own file on the node, if it has one, is turned into ours."""
    if task["notice_file"]:
        try:
            with open(task["notice_file"]) as file:
                text = file.read()
            kind = "relocation" if "elocating" in text else "preemption"
            deadline = (text.partition("end_time:")[2].split() or [""])[0].strip("'\"")
            save("notice.json", {"kind": kind, "deadline": deadline})
        except OSError:
            if is_there("notice.json"):
                os.remove(path("notice.json"))
    return load("notice.json")


def tell_catchers(session: int, number: int) -> None:
    """Signal those processes of the command that catch it; it would end the others."""
    for each in os.listdir("/proc") if number else ():
        try:
            if os.getsid(int(each)) == session:
                with open("/proc/%s/status" % each) as file:
                    caught = file.read().partition("SigCgt:")[2].split()[0]
                if int(caught, 16) >> number - 1 & 1:
                    os.kill(int(each), number)
        except (OSError, ValueError):
            pass


def tell(child: Any, number: int) -> bool:
    """Signal the command's whole group; return whether anyone was there."""
    try:
        os.killpg(child.pid, number)
        return True
    except OSError:
        return False


def deliver() -> int:
    """Take a delivery from stdin: a line of JSON, and the kit, if it brings that; exit 3 if a newer one came before.

    Variables that it lacks stay as they were.
    """
    line, _, kit = sys.stdin.buffer.read().partition(b"\n")
    new = json.loads(line)
    old = load("delivery.json")
    if new["number"] < old.get("number", 0):
        return 3
    if kit:
        write(path("kit.zip"), kit)
    if new["number"] > old.get("number", 0):
        save("delivery.json", dict(new, env=old.get("env") if new["env"] is None else new["env"]))
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
        state["wants_delivery"] = bool(state["wants_delivery"]) and is_used(state)
    print(json.dumps(state))
    return 0


def stop() -> int:
    """End the command for good: TERM, then KILL; return when it has ended."""
    os.close(opened("stop"))
    kick(signal.SIGTERM)
    lock = opened("lock")
    fcntl.flock(lock, fcntl.LOCK_EX)
    state = load("state.json")
    if state.get("phase") != "exited":
        state.update(phase="exited", exit_code=143, ended_at=time.time(), log_bytes=Log().size)
        save("state.json", dict(state, waiting_for="", wants_delivery=False))
    return 0


VERBS: Any = {"install": install, "run": run, "deliver": deliver, "report": report, "stop": stop}

if __name__ == "__main__":
    words = sys.argv[1:] or ["install"]
    sys.exit(VERBS[words[0]]())
