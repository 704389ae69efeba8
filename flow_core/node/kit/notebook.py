"""Tells where this node's notebook server listens; starts it where there is none, or stops it.

What is wanted comes as a dict: `verb` is serve or stop, `token` what a new server is to want (drawn here when empty),
`python` the kernel's interpreter (the command's own when empty). Prints {"port", "token", "was_there"}, or {} where
there is no server. Which server is ours is kept in notebook.json; the server itself, asked with its token, has the last
word. It runs in the command's environment, listens to the loopback only, and outlives whoever asked.

Python 3.8, standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from flow_core.node.kit import environment
from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import load, opened, path, save

_START_S = 120.0
_ANSWER_S = 5.0
_LINES = 6
_TRIES = 3
#: Looks in the server's folder last for what the command's Python lacks, so that nothing of the user's is hidden.
_KERNEL = (
    "import sys; sys.path.append(%r); "
    "from ipykernel import kernelapp; kernelapp.launch_new_instance()"
)
#: Of a JupyterLab that is made here: nobody is asked on every new box whether news are wanted.
_QUIET = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
_SETTINGS = (
    "--no-browser",
    "--ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)


def main(told: dict[str, Any]) -> None:
    """Do what was told, and print what is so."""
    with os.fdopen(opened("notebook.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            found = running()
            if told["verb"] == "stop":
                stop(found)
            elif found is None:
                found = started(told)
        except StepFailed as failed:
            sys.exit("flow: %s" % failed)
    print(
        json.dumps({name: found[name] for name in ("port", "token", "was_there")} if found else {})
    )


def running() -> dict[str, Any] | None:
    """Return our server if it answers."""
    server: dict[str, Any] = load("notebook.json")
    return (
        dict(server, was_there=True)
        if server and answers(server["port"], server["token"])
        else None
    )


def answers(port: int, token: str) -> bool:
    """Whether a server with this token listens on the port."""
    asked = urllib.request.Request(
        "http://127.0.0.1:%d/api/status" % port, headers={"Authorization": "token " + token}
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(asked, timeout=_ANSWER_S) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def started(told: dict[str, Any]) -> dict[str, Any]:
    """Start a server and return it once it answers."""
    env = dict(os.environ, **load("env.json"))
    kernel = interpreter(told["python"], env)
    python = kernel if has_lab(kernel, env) else made(kernel, env)
    token = told["token"] or secrets.token_urlsafe(24)
    env.update(JUPYTER_TOKEN=token)
    command = [python, "-m", "jupyterlab", *_SETTINGS] + (
        ["--allow-root"] if os.getuid() == 0 else []
    )
    for _ in range(_TRIES):
        port = free_port()
        process = begin([*command, "--port=%d" % port], env)
        if ready(process, port, token):
            server = {"pid": process.pid, "port": port, "token": token}
            save("notebook.json", server)
            return dict(server, was_there=False)
    raise StepFailed("JupyterLab doesn't start: %s" % last_words())


def begin(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the server in the workspace, with a log of its own."""
    log = opened("notebook.log")
    os.ftruncate(log, 0)
    try:
        return subprocess.Popen(
            command, env=env, cwd=env.get("FLOW_WORKSPACE") or None, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(log)


def ready(process: subprocess.Popen[bytes], port: int, token: str) -> bool:
    """Wait until the server answers; False once it has ended, or has taken too long and was ended."""
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        if answers(port, token):
            return True
        time.sleep(0.1)
    end(process.pid)
    return False


def stop(server: dict[str, Any] | None) -> None:
    """End the server, and wait until it answers no more."""
    if server is None:
        return
    until = time.monotonic() + _ANSWER_S
    end(server["pid"], signal.SIGTERM)
    while answers(server["port"], server["token"]) and time.monotonic() < until:
        time.sleep(0.1)
    end(server["pid"])
    save("notebook.json", {})


def end(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal the server and what it started."""
    try:
        os.killpg(pid, number)
    except OSError:
        return


def interpreter(wanted: str, env: dict[str, str]) -> str:
    """Return the kernel's Python: the one that was asked for, else the one that the command has."""
    places = env.get("PATH", os.defpath)
    for name in [wanted] if wanted else ["python3", "python", sys.executable]:
        found = shutil.which(name, path=places)
        if found:
            return found
    raise StepFailed("%s: no such program on this node" % wanted)


def has_lab(python: str, env: dict[str, str]) -> bool:
    """Whether an interpreter has JupyterLab and a kernel."""
    line = "import importlib.util as u, sys; sys.exit(not (u.find_spec('jupyterlab') and u.find_spec('ipykernel')))"
    return subprocess.run([python, "-c", line], env=env, check=False).returncode == 0


def made(kernel: str, env: dict[str, str]) -> str:
    """Return an interpreter with JupyterLab whose kernel is `kernel`; made once for each."""
    name = hashlib.sha256(os.path.abspath(kernel).encode()).hexdigest()[:20]

    def make(folder: str) -> None:
        python = os.path.join(folder, "bin", "python")
        uv = environment.uv_path(env)
        environment.run_step([uv, "venv", "--quiet", "--python", kernel, folder], env)
        wanted = ["jupyterlab", "ipykernel"]
        environment.run_step([uv, "pip", "install", "--python", folder, *wanted], env)
        line = "import sysconfig; print(sysconfig.get_path('purelib'))"
        packages = subprocess.run([python, "-c", line], stdout=subprocess.PIPE, check=True).stdout
        spec = {
            "argv": [kernel, "-c", _KERNEL % packages.decode().strip(), "-f", "{connection_file}"],
            "display_name": "Python (the task's)",
            "language": "python",
        }
        place = os.path.join(folder, "share", "jupyter")
        for name, what in (
            ("kernels/python3/kernel.json", spec),
            ("lab/settings/overrides.json", _QUIET),
        ):
            path = os.path.join(place, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                json.dump(what, file)

    folder = environment.kept("notebook-" + name, "JupyterLab", env, make)
    return os.path.join(folder, "bin", "python")


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def last_words() -> str:
    """Return the end of what the server said."""
    with open(path("notebook.log"), errors="replace") as file:
        return " / ".join(file.read().strip().splitlines()[-_LINES:])
