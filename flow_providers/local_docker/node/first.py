"""The first process of a node splits here: one half becomes the helper, the other tells what becomes of it.

Told are lines of JSON on the container's standard output, one whenever the helper's state has changed: its report, with
`told`, and once the command has ended the log and its index too, where they are small. Meanwhile whoever made the
container may speak to it on its standard input, as to `serve.py`, and hears the answers between those lines.
Python 3.8, standard library only.
"""

from __future__ import annotations

import binascii
import contextlib
import gc
import json
import marshal
import os
import signal
import subprocess
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from flow_providers.local_docker.node import serve
else:
    import flow_serve as serve

# ruff: noqa: PTH103, PTH116, PTH118, PTH120, PTH208, S102, S302, TID251
#: Where `init.sh` puts the container's standard input.
IN = 3
#: For how long things are told, and how often it is looked whether there are any, at first and later.
TELLS_S, SOON_S, LOOKS_S, LATER_S = 60, 5, 0.01, 0.1
#: For how long whoever made the container is expected to bring a delivery.
FIRST_S = 10
#: How many bytes of a log a line may bring; Docker cuts lines of more than 16,384.
MOST_LOG, MOST_INDEX = 8_000, 1_200


def begun() -> str:
    """Return the program that this process was to run; a child of it answers and tells."""
    program = sys.argv[2]
    del sys.argv[1:3], os.environ["FLOW_FIRST"]
    # A helper that is told of a delivery before it listens looks for one when it does.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.makedirs(serve.HOME, 0o700, exist_ok=True)
    gc.freeze()  # what is loaded stays, in all that this process becomes
    gc.enable()
    if os.fork():
        os.close(IN)
        subprocess.Popen = Entering  # type: ignore[assignment, misc]
        return program
    try:
        os.dup2(IN, 0)
        os.close(IN)
        tell()
    finally:
        os._exit(0)


def executed(program: bytes) -> None:
    """Execute a program in the main module; a helper that this interpreter was brought with is compiled already."""
    code: Any = program
    if program == carried("helper"):
        code = marshal.loads(carried("helper.code"))
    exec(code, vars(sys.modules["__main__"]))


def carried(name: str) -> bytes:
    """Return a file that came with this interpreter, nothing where there is none."""
    return serve.content(os.path.join(os.path.dirname(sys.executable), os.pardir, name))


def tell() -> None:
    """Tell of every change for as long as the node is young; a conversation that was begun goes on to its end."""
    conversation = serve.Conversation()
    talk = threading.Thread(target=conversation.hold, daemon=True)
    talk.start()
    began, last, said = time.monotonic(), None, b""
    while True:
        age = time.monotonic() - began
        if age > TELLS_S:
            break
        is_supplied = talk.is_alive() and age < FIRST_S
        seen = [look("state.json"), look("delivery.json"), os.getppid(), is_supplied]
        if seen != last:
            last, line = seen, told(is_supplied)
            if line != said:
                said = line
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
        time.sleep(LOOKS_S if age < SOON_S else LATER_S)
    if conversation.has_begun:
        talk.join()


class Entering(subprocess.Popen):  # type: ignore[type-arg]
    """What the helper starts: where that is the kit, a copy of this process becomes it, and no interpreter is begun."""

    def __init__(self, words: list[str], **how: Any) -> None:
        if words[0] == sys.executable and words[2:3] == ["enter"]:
            how["preexec_fn"] = lambda: enter(words[1], words[2:], how["env"])
        super().__init__(words, **how)


def enter(kit: str, words: list[str], env: dict[str, str]) -> None:
    """Be the kit until that has become the command; what it says and how it ends are as if it had been started."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for each in os.listdir("/proc/self/fd"):
            if int(each) > 2:  # among them what the helper waits for
                with contextlib.suppress(OSError):
                    os.close(int(each))
        os.environ.clear()
        os.environ.update(env)
        sys.argv[:] = [kit, *words]
        is_known = serve.content(kit) == carried("kit.zip")
        sys.path.insert(0, os.path.dirname(sys.executable) + "/../kit" if is_known else kit)
        from flow_core.node.kit import enter as program

        program.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        if sys.exc_info()[0]:
            sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(code)


def look(name: str) -> Any:
    """Return what changes whenever a file of the helper's is replaced."""
    try:
        found = os.stat(os.path.join(serve.HOME, name))
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def told(is_supplied: bool) -> bytes:
    """Return what is told now, nothing before the helper's first word; what somebody brings isn't asked for."""
    state = serve.report()
    if not state:
        return b""
    state["told"] = 1
    if is_supplied:
        state["wants_delivery"] = False
    if state.get("phase") == "exited" and state["log_bytes"] <= MOST_LOG:
        index = serve.content("log.index")
        if len(index) <= MOST_INDEX:
            log = serve.content("log")[: state["log_bytes"]]
            for name, data in (("index", index), ("log", log)):
                state[name] = binascii.b2a_base64(data, newline=False).decode()
    return json.dumps(state).encode() + b"\n"
