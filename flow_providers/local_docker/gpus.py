"""The GPUs of this machine, and which of them the containers there are hold."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from attrs import frozen

from flow_core.domain.shape import InstanceShape, parse_shape
from flow_core.errors import InvalidRequest, Misconfigured
from flow_providers.local_docker.labels import GPUS, PRETENDED

#: Seconds that nvidia-smi may take; a driver that hangs must not hang a command.
_ASK_S = 20.0
_QUERY = ("--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits")


@frozen(kw_only=True)
class Gpus:
    """GPUs of one family, by their indices. `pretended` ones are handed out like others and mounted nowhere."""

    family: str = ""
    memory_gb: int | None = None
    indices: tuple[int, ...] = ()
    pretended: bool = False

    def shape(self, count: int) -> InstanceShape:
        """Return the shape of an instance with so many of them."""
        return InstanceShape(self.family, count, self.memory_gb)

    def __str__(self) -> str:
        if not self.indices:
            return "no GPU"
        return str(self.shape(len(self.indices))) + (" (pretended)" if self.pretended else "")


def pretended(text: str) -> Gpus:
    """Return the GPUs that a setting such as '8xh100' pretends there are.

    Raises:
        Misconfigured: it is no shape with GPUs.
    """
    try:
        shape = parse_shape(text, field="local-docker.pretend_gpus")
    except InvalidRequest as error:
        raise Misconfigured(error.message, hint=error.hint) from error
    indices = tuple(range(shape.gpus))
    return Gpus(family=shape.gpu, memory_gb=shape.memory_gb, indices=indices, pretended=True)


@cache
def found() -> Gpus:
    """Return this machine's GPUs as nvidia-smi lists them; those of its first family where there are several."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Gpus()
    try:
        said = subprocess.run(
            [program, *_QUERY], capture_output=True, text=True, timeout=_ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return Gpus()
    return read_gpus(said.stdout if said.returncode == 0 else "")


def read_gpus(text: str) -> Gpus:
    """Return the GPUs that nvidia-smi's lines `index, name, MiB` tell of."""
    indices: list[int] = []
    family, memory = "", None
    for line in text.splitlines():
        index, _, rest = line.partition(",")
        name, _, mib = rest.rpartition(",")
        if not index.strip().isdecimal():
            continue
        here = _family(name)
        family = family or here
        if here == family:
            indices.append(int(index))
            memory = memory or (round(int(mib) / 1024) if mib.strip().isdecimal() else None)
    return Gpus(family=family, memory_gb=_usual(family, memory), indices=tuple(indices))


def held(containers: Iterable[Mapping[str, Any]], *, pretended: bool = False) -> set[int]:
    """Return the indices of the GPUs, or of the pretended ones, that containers of Flow's have, running or not."""
    label = PRETENDED if pretended else GPUS
    return {
        int(index)
        for each in containers
        for index in each["Labels"].get(label, "").split(",")
        if index
    }


def _family(name: str) -> str:
    words = name.replace("NVIDIA", "").split()
    for count in range(len(words), 0, -1):
        for first in range(len(words) - count + 1):
            try:
                return parse_shape(" ".join(words[first : first + count])).gpu
            except InvalidRequest:
                continue
    return re.sub(r"[^a-z0-9]", "", "".join(words).lower()) or "gpu"


def _usual(family: str, memory_gb: int | None) -> int | None:
    """Return the size in which this family is sold that is nearest: drivers tell a little less or more."""
    from flow_core.domain.shape import gpu_families

    usual = gpu_families().get(family)
    if memory_gb is None or usual is None:
        return memory_gb
    return usual if abs(usual - memory_gb) <= usual // 8 else memory_gb
