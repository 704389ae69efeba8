"""What is so of the local Docker provider whatever is asked of it. Light to load."""

from __future__ import annotations

from flow_core.domain.task_parts import Source
from flow_core.ports.provider import Limits

NAME = "local-docker"
#: Small, and with what most first tasks want. Source: its page on Docker Hub.
IMAGE = "python:3.12-slim"
#: Docker passes a script in one variable, and Linux takes 131,072 bytes for one.
SCRIPT_CHARS = 100_000
#: Where a command starts, in a container.
WORKSPACE = "/workspace"
#: What an option that is yes or no may say for yes.
YES = ("yes", "true", "1")
#: The task options that this provider understands; see `ports.provider.Limits.options`.
OPTIONS = {
    "cpus": "CPUs of each container, such as 2 or 0.5; without it all of this machine's",
    "memory": "memory of each container, such as 16g; without it all of this machine's",
    "shm": "size of /dev/shm, such as 8g; without it half of the container's memory",
    "live": "a folder of this machine that is the workspace itself: edit here, run there",
    "mount": "folders of this machine, as /here:/there or /here:/there:ro, separated by commas",
    "network": "host: this machine's own network, for servers that only its loopback has; one instance",
    "pretend_gpus": "yes: pretend to have the GPUs that are asked for, to try a GPU task on CPUs",
    "publish": "ports of the first node to open on this machine's loopback, as 8080 or 8080:80",
    "user": "the user that the command runs as, as UID or UID:GID",
}


def limits() -> Limits:
    """Return what shapes the core's work with it."""
    return Limits(
        poll_s=0.25,
        script_chars=SCRIPT_CHARS,
        mounts=frozenset({Source.VOLUME, Source.HOST, Source.S3}),
        options=OPTIONS,
        workspace=WORKSPACE,
        takes_at_once=True,
    )
