"""Runs the command in a container of the node's own Docker, where the node is a machine and the task names an image.

The container has the node's network, GPUs and the task's folders at the same paths, and runs as the node's user of the
command. It needs nothing of the image but `sh`. Variables travel by name, so that no value is in a process list.
`--ipc=host`, a 64 MB stack and, with InfiniBand, unlimited locked memory are what large training jobs need (NVIDIA's
notes on running its framework containers).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any

from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import HOME, load

_LINES = 3
#: Variables that are the node's own business, not the container's.
_HOST_ONLY = frozenset(
    ("PATH", "HOME", "PWD", "OLDPWD", "SHELL", "USER", "LOGNAME", "TMPDIR", "SHLVL", "_")
)


def step(setup: dict[str, Any], env: dict[str, str], command: list[str]) -> list[str]:
    """Fetch the image and return the command that runs the command in it."""
    image = str(setup["name"])
    docker = shutil.which("docker", path=env.get("PATH"))
    if docker is None:
        raise StepFailed("image: %s needs docker on this node, which has none" % image)
    name = "flow-%s" % load("task.json")["token"]
    _quietly([docker, "rm", "-f", name])
    if _quietly([docker, "image", "inspect", image]):
        sys.stderr.write("flow: fetches the image %s\n" % image)
        sys.stderr.flush()
        _run([docker, "pull", "--quiet", image], image)
    words = [docker, "run", "--rm", "--init", "--name", name, "--network", "host", "--ipc", "host"]
    words += ["--ulimit", "stack=67108864", "-w", env["PWD"]]
    if shutil.which("nvidia-smi", path=env.get("PATH")):
        words += ["--gpus", "all"]
    if os.path.isdir("/dev/infiniband"):
        words += ["--device", "/dev/infiniband", "--cap-add", "IPC_LOCK"]
        words += ["--ulimit", "memlock=-1"]
    for folder in [os.getcwd(), *setup["mounts"], HOME]:
        words += ["-v", "%s:%s" % (folder, folder)]
    for variable in sorted(set(env) - _HOST_ONLY):
        words += ["-e", variable]
    return [*words, image, *_inside(command)]


def _inside(command: list[str]) -> list[str]:
    """Return the command as the image can run it: a line by bash where the image has one, else by sh."""
    if len(command) == 3 and command[0] in ("bash", "sh") and command[1] == "-c":
        choose = 'if command -v bash >/dev/null; then exec bash -c "$1"; else exec sh -c "$1"; fi'
        return ["sh", "-c", choose, "sh", command[2]]
    return command


def _quietly(command: list[str]) -> int:
    return subprocess.call(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _run(command: list[str], image: str) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines()[-_LINES:]
        raise StepFailed("image: %s could not be fetched: %s" % (image, " / ".join(lines)))
