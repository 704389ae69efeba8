"""Runs the command in a container, where the node is a machine and the task names an image: by the node's own Docker.

The container has the node's network, GPUs and the task's folders at the same paths, and runs as the node's user of the
command. It needs nothing of the image but `sh`. Variables travel by name, so that no value is in a process list.
`--ipc=host`, a 64 MB stack and, with InfiniBand, unlimited locked memory are what large training jobs need (NVIDIA's
notes on running its framework containers).

On a cluster, where users may not use Docker, `FLOW_IMAGES` says what does it: apptainer (or singularity), which runs an
image as the user, or pyxis, by which a step of Slurm's runs in one.
"""

from __future__ import annotations

import json
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
    folders = [os.getcwd(), *setup["mounts"], HOME]
    by = env.get("FLOW_IMAGES")
    if by:
        inside = _pyxis if by == "pyxis" else _apptainer
        return [*inside(by, image, _binds(folders, env), env), *_inside(command)]
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
    for folder in folders:
        words += ["-v", "%s:%s" % (folder, folder)]
    for variable in sorted(set(env) - _HOST_ONLY):
        words += ["-e", variable]
    return [*words, image, *_inside(command)]


def _binds(folders: list[str], env: dict[str, str]) -> list[str]:
    """Return which folder is seen at which path; a cluster's volumes lie elsewhere than where they are wanted."""
    volumes = json.loads(env.get("FLOW_VOLUMES") or "{}")
    found = []
    for folder in folders:
        source, read_only = volumes.get(folder.rstrip("/")) or (folder, False)
        found.append("%s:%s%s" % (source, folder, ":ro" if read_only else ""))
    return found


def _apptainer(by: str, image: str, binds: list[str], env: dict[str, str]) -> list[str]:
    """Return how apptainer runs something in an image: Docker's name of it, a file, or a name with a scheme."""
    program = shutil.which(by, path=env.get("PATH"))
    if program is None:
        raise StepFailed("image: %s needs %s on this node, which has none" % (image, by))
    words = [program, "exec", "--pwd", env["PWD"]]
    if shutil.which("nvidia-smi", path=env.get("PATH")):
        words += ["--nv"]
    for bind in binds:
        words += ["--bind", bind]
    is_own = "://" in image or image.endswith(".sif") or image.startswith("/")
    return [*words, image if is_own else "docker://%s" % image]


def _pyxis(by: str, image: str, binds: list[str], env: dict[str, str]) -> list[str]:
    """Return how a step of one task runs in an image on this very node; pyxis sets a registry apart with '#'."""
    first, slash, rest = image.partition("/")
    if slash and first and ("." in first or ":" in first):
        image = "%s#%s" % (first, rest)
    words = [
        "srun",
        "--quiet",
        "--overlap",
        "--jobid=%s" % env["SLURM_JOB_ID"],
        "--nodes=1",
        "--ntasks=1",
    ]
    words += ["--nodelist=%s" % env["SLURMD_NODENAME"], "--container-image=%s" % image]
    return [
        *words,
        "--container-mounts=%s" % ",".join(binds),
        "--container-workdir=%s" % env["PWD"],
    ]


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
