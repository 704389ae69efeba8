"""What an instance type computes with, told from Mithril's fields and names, neither of which is reliable alone.

Names come as `h100-80gb.sxm.8x`, `h100.80gb.sxm` (8 GPUs, told by a field alone), `b200.8x`, `neb-b200.sxm.8x` and
`v6e-4`. Source: contract section 4. A family that Flow doesn't know keeps its own name, so that it can be listed.
"""

from __future__ import annotations

import re

from flow_core.domain.shape import CPU, MOST_GPUS, InstanceShape, parse_shape
from flow_core.errors import InvalidRequest
from flow_providers.mithril.wire import InstanceType

_MEMORY = re.compile(r"([0-9]{1,4})gb?")
_COUNT = re.compile(r"([0-9]{1,3})x|x([0-9]{1,3})")
_NOISE = re.compile(r"sxm[0-9]?|pcie|nvl|neb|nvidia|none")


def shape_of(kind: InstanceType) -> InstanceShape:
    """Return the shape of one instance of this type; fields outrank the name where both speak."""
    named, typed = _parsed(kind.name), _parsed(kind.gpu_type or "")
    family, count, memory = _words(kind.name)
    has_none = kind.num_gpus == 0 and not _words(kind.gpu_type or "")[0] and named is None
    if has_none or (named or typed or InstanceShape("?", 1)).gpu == CPU:
        return InstanceShape(CPU, 0)
    known = typed or named
    gpu = known.gpu if known else (_words(kind.gpu_type or "")[0] or family or kind.fid.lower())
    gpus = kind.num_gpus or count or (named.gpus if named else 1)
    memory_gb = kind.gpu_memory_gb or memory or (typed.memory_gb if typed else None)
    return InstanceShape(gpu, min(max(gpus, 1), MOST_GPUS), memory_gb)


def _parsed(text: str) -> InstanceShape | None:
    try:
        return parse_shape(text)
    except InvalidRequest:
        return None


def _words(name: str) -> tuple[str, int | None, int | None]:
    """Return a name's family, count and memory in GB, as far as its words tell."""
    family: list[str] = []
    count: int | None = None
    memory: int | None = None
    for word in re.split(r"[-._\s:]+", name.lower()):
        if found := _MEMORY.fullmatch(word):
            memory = int(found[1]) or None
        elif found := _COUNT.fullmatch(word):
            count = int(found[1] or found[2])
        elif family and word.isdecimal() and len(word) < 4:
            count = int(word)
        elif word and not _NOISE.fullmatch(word):
            family.append(word)
    return "".join(family), count, memory
