"""Gives the command the Python it asks for: a version, a list of requirements, a project, or a conda environment.

An environment is made once for each content of its file and kept in `$FLOW_CACHE` (default /var/cache/flow, or below
Flow's own folder where that can't be written), so that the next attempt and the next task on this node find it. It is
made beside its place and only counts once it is whole; two tasks that want the same one wait for each other.

uv makes all but conda's. Where the node lacks it, it is installed from Python's package index into Flow's folder. An
interpreter that was brought for the helper alone (it runs without `site`) makes no environments: the node's own does.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any, Callable

from flow_core.node.kit.activating import activate
from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import path

CONDAS = ("micromamba", "mamba", "conda")
#: Where their installers put them, and images for machines do; a shell's start files alone have them on PATH.
#: Sources: the installers' own questions; for /opt/conda, conda's Docker images.
_PLACES = (
    "~/miniforge3/bin", "~/mambaforge/bin", "~/miniconda3/bin", "~/anaconda3/bin", "~/.local/bin",
    "/opt/conda/bin", "/opt/miniforge3/bin", "/opt/miniconda3/bin",
)  # fmt: skip
#: A file that a list of requirements takes in, also from below `pip:` in one for conda.
_TAKEN_IN = re.compile(
    r"""^[ \t]*(?:-[ \t]+)?['"]?(?:--requirement|--constraint|-r|-c)[ \t=]*([^\s'"#]+)""", re.M
)
#: Where the tools keep what they fetched.
TOOLS = (("UV_CACHE_DIR", "uv"), ("PIP_CACHE_DIR", "pip"), ("CONDA_PKGS_DIRS", "conda"))
_LINES = 5


def step(setup: dict[str, Any], env: dict[str, str], command: list[str]) -> None:
    """Make the environment, or find it made, and put it first on the command's PATH."""
    what = str(setup["what"])
    if what.startswith("python:"):
        content, wanted = b"", what.partition(":")[2]
    else:
        content, wanted = _content(what), str(setup.get("python") or "")
    name = hashlib.sha256("\0".join([what, wanted]).encode() + b"\0" + content).hexdigest()[:20]
    folder = kept(name, what, env, lambda folder: _make(what, wanted, folder, env))
    env["VIRTUAL_ENV" if not _is_conda(what) else "CONDA_PREFIX"] = folder
    env["PATH"] = os.path.join(folder, "bin") + os.pathsep + env.get("PATH", os.defpath)
    env.pop("PYTHONHOME", None)
    if _is_conda(what):
        activate(folder, env)


def kept(name: str, what: str, env: dict[str, str], make: Callable[[str], None]) -> str:
    """Return the environment of that name, made by `make` if need be; `what` is it for people."""
    folder = os.path.join(_cache(env), "envs", name)
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(folder, ".whole")):
            shutil.rmtree(folder, ignore_errors=True)
            began = time.monotonic()
            _say("makes the environment of %s" % what)
            make(folder)
            with open(os.path.join(folder, ".whole"), "w"):
                pass
            _say("the environment is made, in %.1f s" % (time.monotonic() - began))
    return folder


def _make(what: str, wanted: str, folder: str, env: dict[str, str]) -> None:
    if _is_conda(what):
        conda = _conda(env)
        if conda is None:
            raise StepFailed(
                "environment: %s needs one of %s, and this node has none"
                % (what, ", ".join(CONDAS))
            )
        verb = ["create", "-y"] if conda.endswith("micromamba") else ["env", "create"]
        # `mamba env create` asks since 2.0 (env.cpp of mamba-org/mamba), and took no -y before (issue 1296 there).
        told = dict(env, MAMBA_ALWAYS_YES="true")
        run_step([conda, *verb, "-p", folder, "-f", what], told)
        return
    uv = uv_path(env)
    python = ["--python", wanted or _python(env)]
    if os.path.basename(what) == "pyproject.toml" and os.path.exists(_beside(what, "uv.lock")):
        locked = dict(env, UV_PROJECT_ENVIRONMENT=folder)
        run_step(
            [uv, "sync", "--locked", "--project", os.path.dirname(what) or ".", *python], locked
        )
        return
    run_step([uv, "venv", "--quiet", *python, folder], env)
    if not what.startswith("python:"):
        run_step([uv, "pip", "install", "--python", folder, "-r", what], env)


def _conda(env: dict[str, str]) -> str | None:
    """Return the path of the first conda on PATH, else of the one that its own variables or its usual places have."""
    own = [os.path.dirname(env[name]) for name in ("MAMBA_EXE", "CONDA_EXE") if env.get(name)]
    usual = os.pathsep.join([*own, *map(os.path.expanduser, _PLACES)])
    places = (env.get("PATH", os.defpath), usual)
    found = (shutil.which(each, path=path) for path in places for each in CONDAS)
    return next(filter(None, found), None)


def _python(env: dict[str, str]) -> str:
    """Return the interpreter that environments are made from."""
    if not sys.flags.no_site:
        return sys.executable
    found = shutil.which("python3", path=env.get("PATH"))
    if found is None:
        raise StepFailed(
            "environment: there is no python3 here to make it from; "
            "use an image with one, or a version such as python:3.12"
        )
    return found


def uv_path(env: dict[str, str]) -> str:
    """Return uv's path, installed if need be."""
    own = path("tools")
    places = os.pathsep.join(
        [env.get("PATH", os.defpath), os.path.join(own, "bin"), os.path.expanduser("~/.local/bin")]
    )
    found = shutil.which("uv", path=places)
    if found:
        return found
    _say("installs uv")
    run_step([_python(env), "-m", "venv", own], env)
    run_step([os.path.join(own, "bin", "python"), "-m", "pip", "install", "--quiet", "uv"], env)
    return os.path.join(own, "bin", "uv")


def run_step(command: list[str], env: dict[str, str]) -> None:
    """Run one program; what it says is in environment.log, and its last words in the message when it fails."""
    kept = env.get("FLOW_CACHE")
    if kept:  # what was fetched outlives the task too
        own = {name: os.path.join(kept, folder) for name, folder in TOOLS}
        env = dict(own, **env)
    with open(path("environment.log"), "ab") as log:
        try:
            done = subprocess.run(
                command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        except OSError as error:
            raise StepFailed("environment: %s: %s" % (command[0], error.strerror)) from error
        log.write(done.stdout)
    if done.returncode:
        shown = " ".join([os.path.basename(command[0]), *command[1:3]])
        lines = map(str.strip, done.stdout.decode("utf-8", "replace").splitlines())
        last = " / ".join([line for line in lines if line][-_LINES:])
        raise StepFailed("environment: %s ended with %d: %s" % (shown, done.returncode, last))


def _content(what: str) -> bytes:
    """Return what the environment is made from: the file, what it takes in, and the lock beside it."""
    found: dict[str, bytes] = {}
    names = [what, _beside(what, "uv.lock")]
    for name in names:
        if name in found:
            continue
        try:
            with open(name, "rb") as file:
                found[name] = file.read()
        except FileNotFoundError:
            if name == what:
                raise StepFailed(
                    "environment: %s is not in %s; was the code uploaded with it?"
                    % (what, os.getcwd())
                ) from None
            continue  # whoever reads it next says what it misses
        except OSError as error:
            raise StepFailed("environment: %s: %s" % (name, error.strerror)) from error
        taken_in = _TAKEN_IN.findall(found[name].decode("utf-8", "replace"))
        names.extend(_beside(name, each) for each in taken_in if "://" not in each)
    return b"".join(found.values())


def _cache(env: dict[str, str]) -> str:
    """Return a folder that outlives the task where there is one."""
    chosen = env.get("FLOW_CACHE")
    for folder in (chosen, "/var/cache/flow", path("cache")):
        if folder:
            try:
                os.makedirs(folder, exist_ok=True)
            except OSError:
                continue
            if os.access(folder, os.W_OK):
                return folder
    raise StepFailed("environment: nowhere on this node can an environment be kept")


def _beside(what: str, name: str) -> str:
    return os.path.join(os.path.dirname(what), name)


def _is_conda(what: str) -> bool:
    return what.endswith((".yml", ".yaml"))


def _say(text: str) -> None:
    sys.stderr.write("flow: %s\n" % text)
    sys.stderr.flush()
