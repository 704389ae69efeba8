"""What a dev box is asked besides running something: to make an environment, to forget what it has, to tell of it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any

from flow_core.node.kit import dev_image, dev_people
from flow_core.node.kit.dev import DEV, ENVS, SESSIONS, fail
from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import HOME, load, path

_LINES = 3
#: Makes an environment as venv does, in a third of the time: pip comes from Python's own wheel, and is not compiled.
_QUICKLY = """
import ensurepip, glob, os, subprocess, sys, venv
places = (os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), "/usr/share/python-wheels")
wheel = [each for place in places for each in glob.glob(os.path.join(place, "pip-*.whl"))][0]
venv.create(sys.argv[1], symlinks=True)
pip = [os.path.join(sys.argv[1], "bin", "python"), os.path.join(wheel, "pip"), "install", "--quiet"]
pip += ["--disable-pip-version-check", "--no-compile", "--no-index", "--no-deps", wheel]
sys.exit(subprocess.call(pip))
"""


def main(verb: str, rest: list[str]) -> None:
    """Do what one of the verbs says, and print what came of it as JSON."""
    try:
        if verb == "reset":
            found = reset(json.loads(rest[0]))
        elif verb == "look":
            found = look()
        elif verb == "share":
            found = dev_people.share(json.load(sys.stdin))
        elif verb == "unshare":
            found = dev_people.unshare(rest[0])
        else:
            fail("a dev box has no verb %r" % verb)
    except StepFailed as failed:
        fail(str(failed))
    print(json.dumps(found))


def make_env(name: str, env: dict[str, str]) -> None:
    """Make an environment with nothing in it but Python and pip; who comes second waits for who came first."""
    folder = os.path.join(ENVS, name)
    os.makedirs(ENVS, exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(folder, ".whole")):
            return
        shutil.rmtree(folder, ignore_errors=True)
        began = time.monotonic()
        python = shutil.which("python3", path=env.get("PATH")) or sys.executable
        uv = shutil.which("uv", path=env.get("PATH"))
        tries = [[python, "-c", _QUICKLY, folder], [python, "-m", "venv", folder]]
        if uv:
            tries.append([uv, "venv", "--quiet", "--clear", "--python", python, folder])
        said = ""
        for command in tries:
            done = subprocess.run(
                command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            said = done.stdout.decode("utf-8", "replace")
            if done.returncode == 0:
                break
            shutil.rmtree(folder, ignore_errors=True)
        else:
            words = " / ".join(said.strip().splitlines()[-_LINES:])
            raise StepFailed("env: %s could not be made: %s" % (name, words))
        with open(os.path.join(folder, ".whole"), "w"):
            pass
    sys.stderr.write("flow: made the environment %s in %.1f s\n" % (name, time.monotonic() - began))
    sys.stderr.flush()


def reset(told: dict[str, Any]) -> dict[str, Any]:
    """Forget one environment or container, or all of them and every file of the workspace."""
    env = dict(os.environ)
    one = told.get("env") or told.get("image")
    names = [each for each in envs() if told.get("env") == each or not one]
    for each in names:
        shutil.rmtree(os.path.join(ENVS, each))
        os.remove(os.path.join(ENVS, each + ".lock"))
    gone = dev_image.forget(told.get("image"), env) if told.get("image") or not one else []
    files = 0
    if not one:
        files = empty(os.getcwd())
        if os.path.exists(path("dev/code")):
            os.remove(path("dev/code"))
        # What other ways of uploading know of the workspace.
        uploads = path("uploads")
        if os.path.isdir(uploads):
            shutil.rmtree(uploads)
        elif os.path.exists(uploads):
            os.remove(uploads)
    return {"envs": names, "images": gone, "files": files}


def empty(folder: str) -> int:
    """Remove all that is in a folder, mounts excepted; return how many things that were."""
    count = 0
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            if os.path.ismount(entry.path):
                continue
            shutil.rmtree(entry.path)
        else:
            os.remove(entry.path)
        count += 1
    return count


def look() -> dict[str, Any]:
    """Return what there is: environments, images, who is here, and the people with their seconds."""
    docker = shutil.which("docker")
    people = dev_people.people()
    seconds = load("dev/seconds.json")
    return {
        "envs": envs(),
        "images": dev_image.images(docker) if docker else [],
        "sessions": [
            {"who": each.get("who", ""), "line": each.get("line", ""), "since_s": each["age_s"]}
            for each in sessions()
        ],
        "people": people,
        "seconds": seconds,
        "home": HOME,
    }


def envs() -> list[str]:
    """Return the names of the environments that are whole."""
    try:
        found = os.listdir(ENVS)
    except OSError:
        return []
    return sorted(each for each in found if os.path.exists(os.path.join(ENVS, each, ".whole")))


def sessions() -> list[dict[str, Any]]:
    """Return the sessions that live; what dead ones left is removed."""
    from flow_core.node.kit.idle import stat

    found = []
    try:
        names = [each for each in os.listdir(SESSIONS) if each.isdigit()]
    except OSError:
        return []
    for each in names:
        place = os.path.join("dev/sessions", each)
        told, fields = load(place), stat(each)
        if fields and told.get("start") == fields[19] and fields[0] != "Z":
            told["age_s"] = max(time.time() - os.stat(os.path.join(HOME, place)).st_mtime, 0)
            found.append(told)
        else:
            try:
                os.remove(os.path.join(HOME, place))
            except OSError:
                pass
    return found


__all__ = ["DEV", "main"]
