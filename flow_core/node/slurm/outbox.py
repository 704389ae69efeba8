"""What a script asks of the queue: a request laid down on the node, which the watcher fetches and answers.

The node has no key of the account. It lays a request in a folder and waits; the watcher, which logs in to it anyway,
takes requests, does what it may, and lays down answers. Each look leaves its mark, so that a script whose watcher is
away (a laptop that sleeps) is told so after a while, instead of waiting for ever.

Python 3.8, standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from typing import Any, Dict

from flow_core.node.slurm.layout import Wrong

#: How long a request waits while nobody looks, and at most.
UNWATCHED_S = 90.0
ANSWERED_S = 600.0
PAUSE_S = 0.2
_MARK = "watched"


def ask(request: Dict[str, Any], env: Dict[str, str]) -> Dict[str, Any]:
    """Return the watcher's answer to a request.

    Raises:
        Wrong: nobody looks, or no answer came; the request is taken back.
    """
    folder = folder_of(env)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    unwatched_s = float(env.get("FLOW_SLURM_UNWATCHED_S") or UNWATCHED_S)
    name = "%d-%d" % (time.time_ns(), os.getpid())
    written(folder, name + ".request", request)
    pause = threading.Event()
    began = time.time()
    try:
        while True:
            answer = read(folder, name + ".answer")
            if answer is not None:
                return dict(answer)
            looked = looked_at(folder)
            now = time.time()
            if now - max(looked, began) > unwatched_s:
                raise Wrong(
                    "nobody looks in from outside: the watcher on the machine that submitted this task is away"
                    " or asleep, and nothing was done"
                )
            if now - began > ANSWERED_S:
                raise Wrong("there was no answer for ten minutes, and nothing is known of it")
            pause.wait(PAUSE_S)
    finally:
        for kind in (".request", ".answer"):
            try:
                os.unlink(os.path.join(folder, name + kind))
            except FileNotFoundError:
                pass


def main() -> None:
    """Take answers from standard input, by name, and put out the requests that wait for one."""
    folder = folder_of(dict(os.environ))
    if not os.path.isdir(folder):
        sys.stdout.write("{}\n")
        return
    for name, answer in json.loads(sys.stdin.read() or "{}").items():
        if os.path.exists(os.path.join(folder, name + ".request")):
            written(folder, name + ".answer", answer)
            os.unlink(os.path.join(folder, name + ".request"))
    with open(os.path.join(folder, _MARK), "w"):
        pass
    found = {}
    for each in sorted(os.listdir(folder)):
        if each.endswith(".request"):
            request = read(folder, each)
            if request is not None:
                found[each[: -len(".request")]] = request
    json.dump(found, sys.stdout)


def folder_of(env: Dict[str, str]) -> str:
    """Return where requests lie."""
    return os.path.join(env.get("FLOW_HOME") or "/opt/flow", "slurm", "outbox")


def looked_at(folder: str) -> float:
    """Return when somebody looked last; 0 for never."""
    try:
        return os.stat(os.path.join(folder, _MARK)).st_mtime
    except OSError:
        return 0.0


def written(folder: str, name: str, content: Dict[str, Any]) -> None:
    """Write a file that is whole from the moment it has its name."""
    handle, path = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file)
    os.replace(path, os.path.join(folder, name))


def read(folder: str, name: str) -> Any:
    """Return what a file holds; None where there is none."""
    try:
        with open(os.path.join(folder, name)) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None
