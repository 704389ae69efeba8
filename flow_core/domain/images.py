"""What can be told of a container image by its name alone: that it lacks what the command begins with."""

from __future__ import annotations

import re

from flow_core.domain.task import TaskSpec

#: Base images that are made without Python, by repository and the tags that is sure of; what isn't sure is not listed.
_WITHOUT_PYTHON = {
    "nvidia/cuda": re.compile(r".*-(base|runtime)-.*"),
    "ubuntu": re.compile(r".*"),
    "debian": re.compile(r".*"),
    "alpine": re.compile(r".*"),
    "busybox": re.compile(r".*"),
}
_HUB = ("docker.io/", "index.docker.io/", "library/")
#: What a command may begin with that is Python's, or is installed with it.
_PYTHONS = re.compile(r"(python|pip)[0-9.]*|torchrun|accelerate|deepspeed|uv")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=\S*")


def missing_interpreter(spec: TaskSpec) -> str:
    """Return in words which program the command begins with and its image is known to lack; empty where none is."""
    if spec.image is None or (spec.environment or "none") != "none":
        return ""
    words = spec.command.split() if isinstance(spec.command, str) else list(spec.command)
    while words and (_VARIABLE.fullmatch(words[0]) or words[0] in ("exec", "env")):
        del words[0]
    program = words[0] if words else ""
    if not _PYTHONS.fullmatch(program) or not _lacks_python(spec.image):
        return ""
    return (
        f"{spec.image} has no Python, and the command begins with {program!r}:"
        " name an image that has it, or see `--environment`"
    )


def _lacks_python(image: str) -> bool:
    name = image.partition("@")[0]
    for prefix in _HUB:
        name = name.removeprefix(prefix)
    repository, _, tag = name.rpartition(":") if ":" in name else (name, "", "latest")
    tags = _WITHOUT_PYTHON.get(repository)
    return tags is not None and tags.fullmatch(tag) is not None
