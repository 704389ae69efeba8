"""Runs a dev box's command in a container of the node's own Docker, one for each image, which stays until it is reset.

The container has the box's network, GPUs, workspace and Flow's folder, at the same paths. It waits; a command is
`docker exec` in it, so that the second one takes no longer than that, and what the first installed is there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import HOME

#: Of the command's variables, those that are the image's business and not the box's.
_HOST_ONLY = frozenset(
    ("PATH", "HOME", "PWD", "OLDPWD", "SHELL", "USER", "LOGNAME", "TMPDIR", "SHLVL", "_", "LANG")
)
_BASH = "if command -v bash >/dev/null; then exec bash %s; else exec sh %s; fi"
#: Containers of dev boxes, by this label; its value is the image.
LABEL = "flow.dev-image"
_LINES = 3


class Place:
    """Where in the box a command runs, and whether it has a terminal."""

    def __init__(self, workspace: str, folder: str, terminal: bool) -> None:
        self.workspace, self.folder, self.terminal = workspace, folder, terminal


def inside(
    image: str, line: str | None, env: dict[str, str], names: Sequence[str], place: Place
) -> list[str]:
    """Return the command that runs `line`, or a shell, in the container of `image`, which runs when this returns.

    `names` are the variables that it gets; Docker takes their values from `env`, so that none is in a process list.
    """
    docker = program(env)
    name = name_of(image)
    if not _says(docker, "inspect", "-f", "{{.State.Running}}", name).startswith("true"):
        _begin(docker, image, name, place.workspace, env)
    words = [docker, "exec", "-it" if place.terminal else "-i", "-w", place.folder]
    for variable in names:
        if variable not in _HOST_ONLY:
            words += ["-e", variable]
    if line is None:
        return [*words, name, "sh", "-c", _BASH % ("-i", "-i")]
    return [*words, name, "sh", "-c", _BASH % ('-c "$1"', '-c "$1"'), "sh", line]


def program(env: dict[str, str]) -> str:
    """Return docker's path."""
    docker = shutil.which("docker", path=env.get("PATH"))
    if docker is None:
        raise StepFailed("image: containers need docker on this box, which has none")
    return docker


def name_of(image: str) -> str:
    """Return what the container of an image is called; Flow's folder tells boxes of one engine apart."""
    return "flow-dev-%s" % hashlib.sha256(("%s\0%s" % (HOME, image)).encode()).hexdigest()[:16]


def forget(image: str | None, env: dict[str, str]) -> list[str]:
    """Remove the container of an image, or all of this box's; return the images whose containers those were."""
    docker = shutil.which("docker", path=env.get("PATH"))
    if docker is None:
        return []
    gone = [each for each in images(docker) if image in (None, each)]
    for each in gone:
        _says(docker, "rm", "-f", name_of(each))
    return gone


def images(docker: str) -> list[str]:
    """Return the images of this box's containers."""
    listed = _says(docker, "ps", "-a", "--filter", "label=flow.dev-home=%s" % HOME,
                   "--format", '{{.Label "%s"}}' % LABEL)  # fmt: skip
    return sorted(listed.split())


def _begin(docker: str, image: str, name: str, workspace: str, env: dict[str, str]) -> None:
    if _says(docker, "start", name).strip() == name:
        return  # it was there, and stopped with the box
    if not _says(docker, "image", "inspect", "-f", "{{.Id}}", image):
        sys.stderr.write("flow: fetches the image %s\n" % image)
        sys.stderr.flush()
        _run([docker, "pull", "--quiet", image], "fetched", image)
    words = [docker, "run", "-d", "--init", "--name", name, "--network", "host", "--ipc", "host"]
    words += ["--label", "%s=%s" % (LABEL, image), "--label", "flow.dev-home=%s" % HOME]
    words += ["--ulimit", "stack=67108864", "--entrypoint", "sh"]
    if shutil.which("nvidia-smi", path=env.get("PATH")):
        words += ["--gpus", "all"]
    if os.path.isdir("/dev/infiniband"):
        words += ["--device", "/dev/infiniband", "--cap-add", "IPC_LOCK", "--ulimit", "memlock=-1"]
    for each in (workspace, HOME):
        words += ["-v", "%s:%s" % (each, each)]
    wait = "trap 'exit 0' TERM; while :; do sleep 86400 & wait; done"
    _run([*words, image, "-c", wait], "started", image)


def _run(command: Sequence[str], what: str, image: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )  # fmt: skip
    if done.returncode:
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines()[-_LINES:]
        raise StepFailed("image: %s could not be %s: %s" % (image, what, " / ".join(lines)))


def _says(*command: str) -> str:
    """Return what a program writes; nothing where it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )  # fmt: skip
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
