"""The command of a worker's task: makes the environment, then has a server for each talk that comes to the door.

A talk comes as a connection to `calls.sock` in Flow's folder, which only the node's owner may enter; its two
descriptors come with it. The worker ends with 0 when there was no talk for as long as it was told to keep warm, so that
a caller who is gone costs no more than that. Python 3.8, standard library only.
"""

from __future__ import annotations

import array
import json
import os
import select
import socket
import subprocess
import sys
import time
from typing import Any

from flow_core.node.kit import environment
from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import HOME, path, save

#: Real seconds in which the first talk must come.
FIRST_TALK_S = 900
FAILED = 125


def main() -> None:
    """Do what the arguments say."""
    verb, *rest = sys.argv[1:]
    if verb == "work":
        work(json.loads(rest[0]))
    elif verb == "door":
        from flow_core.node.call.door import door

        door()
    elif verb == "serve":
        from flow_core.node.call.serve import main as serve

        serve(int(rest[0]), int(rest[1]))


def work(told: Any) -> None:
    """Serve talks until there has been none for `keep_warm` seconds."""
    env = dict(os.environ)
    python = _python(told, env)
    listener = _listening()
    children: list[subprocess.Popen[bytes]] = []
    quiet_since, patience = time.monotonic(), max(FIRST_TALK_S, told["keep_warm"])
    print("flow: ready for calls", file=sys.stderr, flush=True)
    while True:
        ready = select.select([listener], [], [], 0.5)[0]
        children = [each for each in children if each.poll() is None]
        if ready:
            child = _started(listener, python, env)
            if child:
                children.append(child)
        if children:
            quiet_since, patience = time.monotonic(), told["keep_warm"]
        elif time.monotonic() - quiet_since > patience:
            print("flow: no calls any more", file=sys.stderr, flush=True)
            return


def _python(told: Any, env: dict[str, str]) -> str:
    """Return the interpreter that calls run in, made if need be."""
    if not told["environment"]:
        return sys.executable
    what: Any = {"what": "python:" + told["environment"]}
    if told["requirements"]:
        place = path("call-requirements.txt")
        with open(place, "w") as file:
            file.write("".join(each + "\n" for each in told["requirements"]))
        what = {"what": place, "python": told["environment"]}
    try:
        environment.step(what, env, [])
    except StepFailed as failed:
        print("flow: %s" % failed, file=sys.stderr, flush=True)
        save("failure.json", str(failed))
        sys.exit(FAILED)
    return os.path.join(env["VIRTUAL_ENV"], "bin", "python")


def _listening() -> socket.socket:
    """Listen in Flow's folder, by a short name: a socket's whole path may have no more than 107 bytes."""
    here = os.getcwd()
    os.chdir(HOME)
    try:
        if os.path.exists("calls.sock"):
            os.unlink("calls.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind("calls.sock")
        os.chmod("calls.sock", 0o600)
        listener.listen(8)
    finally:
        os.chdir(here)
    return listener


def _started(listener: socket.socket, python: str, env: Any) -> Any:
    """Take a talk and start its server, which holds the connection too: its end is the door's sign to go."""
    client, _ = listener.accept()
    with client:
        client.settimeout(5)
        told = array.array("i")
        try:
            _, extra, _, _ = client.recvmsg(1, socket.CMSG_LEN(2 * told.itemsize))
        except OSError:
            return None
        for level, kind, data in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                told.frombytes(data[: len(data) - len(data) % told.itemsize])
        client.settimeout(None)
        if len(told) != 2:
            return None
        program = os.path.abspath(sys.argv[0])
        command = [python, program, "serve", str(told[0]), str(told[1])]
        try:
            return subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                pass_fds=(told[0], told[1], client.fileno()),
            )
        finally:
            for each in told:
                os.close(each)
