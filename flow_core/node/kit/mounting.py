"""What steps that mount share: what stands where, whether a path is free, and binding one folder to another path."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from typing import Any, Callable

from flow_core.node.kit.steps import StepFailed

#: Seconds that something may take to appear on a node that has just booted.
PATIENCE_S = 300.0
_LOOK_S = 0.5
_ESCAPED = re.compile(rb"\\([0-7]{3})")


def call(*words: str, env: Any = None) -> str:
    """Run a program of the node's and return what it printed; what it can't do is told in its own last words."""
    try:
        done = subprocess.run(
            words, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError as error:
        raise StepFailed("%s: %s" % (words[0], error.strerror)) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise StepFailed(
            "%s: %s" % (words[0], said[-1] if said else "ended with %d" % done.returncode)
        )
    return done.stdout.decode("utf-8", "replace")


def mounted_at(path: str) -> list[str]:
    """Return [kind, source] of what is mounted at `path` itself, the topmost; empty where nothing is."""
    wanted, found = os.fsencode(os.path.realpath(path)), []
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields = line.split()
            if _ESCAPED.sub(lambda code: bytes([int(code.group(1), 8)]), fields[4]) == wanted:
                rest = fields.index(b"-") + 1
                found = [os.fsdecode(each) for each in fields[rest : rest + 2]]
    return found


def wait_for(what: str, is_there: Callable[[], bool]) -> None:
    """Return once `is_there`, for which a bounded time is given; the log says what is waited for."""
    patience = float(os.environ.get("FLOW_MOUNT_WAIT_S", PATIENCE_S))
    ends = time.monotonic() + patience
    if is_there():
        return
    say("waiting for %s" % what)
    while not is_there():
        if time.monotonic() >= ends:
            raise StepFailed("%s did not appear on this node within %g s" % (what, patience))
        time.sleep(_LOOK_S)


def say(text: str) -> None:
    """Put a line of ours into the log."""
    sys.stderr.write("flow: %s\n" % text)
    sys.stderr.flush()


def claim(path: str, what: str) -> None:
    """Make the empty folder `path`; what is there already is nobody's to hide, and named."""
    taken = ""
    if mounted_at(path):
        taken = "something else is mounted there"
    elif os.path.islink(path) or (os.path.exists(path) and not os.path.isdir(path)):
        taken = "a file of that name is there"
    elif os.path.isdir(path) and os.listdir(path):
        taken = "the folder there holds files"
    if taken:
        raise StepFailed("%s can't be mounted at %s: %s" % (what, path, taken))
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise StepFailed("%s can't be mounted at %s: %s" % (what, path, error.strerror)) from None


def bind(source: str, path: str, read_only: bool, what: str) -> None:
    """Have `path` show `source`, by a bind mount or else a link; one that stands is left as it is."""
    if is_same(source, path):
        if not read_only or is_read_only(path):
            return
    else:
        claim(path, what)
    try:
        call("mount", "--bind", source, path)
        if read_only:
            call("mount", "-o", "remount,bind,ro", path)
    except StepFailed as refused:
        if read_only or mounted_at(path):
            raise StepFailed("%s can't be mounted at %s: %s" % (what, path, refused)) from None
        os.rmdir(path)
        os.symlink(source, path)


def is_same(one: str, other: str) -> bool:
    """Whether two paths lead to the same folder."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def is_read_only(path: str) -> bool:
    """Whether nothing can be written at `path`, whoever asks."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
