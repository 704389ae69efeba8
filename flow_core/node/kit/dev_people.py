"""Lets colleagues into a dev box: each is a user of the node with a home, a key and no rights of others'.

`dev/people/NAME` holds a colleague's number; `dev/seconds.json` how long the box was whose, in seconds: the time since
the look before goes to those who were there in equal parts, and to the owner, whose name is empty, when nobody was.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import Any

from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import HOME, load, save, write

PEOPLE = os.path.join(HOME, "dev", "people")
#: Groups that give the devices of GPUs, where a system has them.
_GROUPS = ("video", "render")
#: A longer gap between two looks is nobody's time: it isn't known who was there.
_LONGEST_S = 300


def share(told: dict[str, Any]) -> dict[str, Any]:
    """Let the holder of a key in as a user of the node; the same key twice changes nothing."""
    import pwd

    name, key = told["name"], told["key"]
    if os.geteuid():
        raise StepFailed("this box has no root, so no user can be added to it")
    if not shutil.which("useradd"):
        raise StepFailed("this box has no useradd, so no user can be added to it")
    known = people()
    try:
        user = pwd.getpwnam(name)
        if name not in known:
            raise StepFailed("this box has a user %r already, who is no colleague" % name)
    except KeyError:
        _run("useradd", "-m", "-s", _shell(), "-p", "*", name)
        user = pwd.getpwnam(name)
        for group in _GROUPS:
            subprocess.call(
                ["usermod", "-a", "-G", group, name],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
    os.makedirs(PEOPLE, exist_ok=True)
    write(os.path.join(PEOPLE, name), json.dumps({"uid": user.pw_uid}).encode())
    os.chmod(user.pw_dir, 0o700)
    folder = os.path.join(user.pw_dir, ".ssh")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    place = os.path.join(folder, "authorized_keys")
    lines = _lines(place)
    if key not in lines:
        write(place, "".join(line + "\n" for line in [*lines, key]).encode())
    for each in (folder, place):
        os.chown(each, user.pw_uid, user.pw_gid)
    return {"name": name, "home": user.pw_dir, "people": people()}


def unshare(name: str) -> dict[str, Any]:
    """Let a colleague in no more: what runs of theirs is ended, and their home goes."""
    if name not in people():
        raise StepFailed("nobody is let into this box as %r" % name)
    subprocess.call(
        ["pkill", "-KILL", "-U", str(people()[name])],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _run("userdel", "-r", name)
    os.remove(os.path.join(PEOPLE, name))
    return {"name": name, "people": people()}


def people() -> dict[str, int]:
    """Return the colleagues, with their numbers."""
    try:
        names = sorted(os.listdir(PEOPLE))
    except OSError:
        return {}
    found = {each: load("dev/people/%s" % each).get("uid") for each in names}
    return {name: number for name, number in found.items() if re.match(r"[a-z]", name) and number}


def account(present: set[str], gap: float | None) -> None:
    """Add the time since the look before to whoever was there, the owner where nobody was."""
    if gap is None or gap > _LONGEST_S:
        return
    seconds = load("dev/seconds.json")
    for who in present or {""}:
        seconds[who] = seconds.get(who, 0.0) + gap / max(len(present), 1)
    os.makedirs(os.path.join(HOME, "dev"), exist_ok=True)
    save("dev/seconds.json", seconds)


def _shell() -> str:
    return shutil.which("bash") or "/bin/sh"


def _lines(place: str) -> list[str]:
    try:
        with open(place) as file:
            return file.read().splitlines()
    except OSError:
        return []


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        words = done.stdout.decode("utf-8", "replace").strip().replace("\n", " / ")
        raise StepFailed("%s ended with %d: %s" % (command[0], done.returncode, words))
