"""Instance shapes: which GPU, how many, with how much memory; read from any usual spelling.

`8xh100`, `h100:8`, `h100-80gb.sxm.8x` and `8 × H100` are one shape. Memory that was not spoken of stays None: on
the side that asks it means any, and only a family made in one size lets us fill it in for display. A provider's own id
of a type (`it_XqgKWbhZ5gznAYsG`) asks for that type and tells nothing else.
"""

from __future__ import annotations

import re

from attrs import field, frozen, validators

from flow_core.errors import InvalidRequest

#: More GPUs than any one machine holds. Source: NVIDIA GB200 NVL72, whose rack is one NVLink domain of 72.
MOST_GPUS = 72

CPU = "cpu"
_MEMORY_GB: dict[str, tuple[int, ...]] = {
    "h100": (80,),
    "h200": (141,),
    "b200": (192,),
    "b300": (288,),
    "a100": (80, 40),
    "l40s": (48,),
    "l40": (48,),
    "l4": (24,),
    "a10": (24,),
    "a10g": (24,),
    "a30": (24,),
    "a40": (48,),
    "a2": (16,),
    "t4": (16,),
    "v100": (16, 32),
    "p100": (16, 12),
    "gh200": (96, 144),
    "h20": (96,),
    "a4000": (16,),
    "a5000": (24,),
    "a6000": (48,),
    "rtx6000ada": (48,),
    "rtxpro6000": (96,),
    "rtx3090": (24,),
    "rtx4080": (16,),
    "rtx4090": (24,),
    "rtx5080": (16,),
    "rtx5090": (32,),
}

#: Other spellings of a family, once separators and `_UNTOLD` words are gone.
_ALIASES = {
    "rtxa4000": "a4000",
    "rtxa5000": "a5000",
    "rtxa6000": "a6000",
    "rtxpro6000blackwell": "rtxpro6000",
}
#: Words that tell nothing a shape holds: makers, sockets, kinds of memory, one reseller's prefix
#: (`neb-b200.sxm.8x`; source: contract section 4).
_UNTOLD = re.compile(r"nvidia|tesla|geforce|quadro|neb|sxm[0-9]?|pcie|nvl|hbm[0-9]e?|generation")

_COUNT_FORMS = (
    re.compile(r"(?P<count>[+-]?[0-9]+)\s*x\s*(?P<name>.+)"),  # 8xh100
    re.compile(r"(?P<name>.+?)\s*:\s*(?P<count>.*)"),  # h100:8
    re.compile(r"(?P<name>.+?)[-._\s](?P<count>[+-]?[0-9]+)x"),  # h100.8x
)
_GLUED = re.compile(r"(?P<name>.+)x(?P<count>[0-9]+)")  # h100x8; but rtx4090 is a name
_MEMORY = re.compile(r"([0-9]{1,4})(?:g|gb|gib)")
#: A provider's own id: a prefix and a long word, which no GPU's name is. Source: contract section 1, `it_` and 16 more.
_TYPE_ID = re.compile(r"[a-z]{1,8}_[A-Za-z0-9]{8,64}")
_LOOKALIKES = str.maketrans("oil", "011")
_HINT = "`flow price` lists the shapes on offer"
_EXAMPLE = "8xh100"


@frozen
class InstanceShape:
    """What one instance computes with: `gpus` of the family `gpu`, each with `memory_gb` gigabytes.

    `gpu` is lower case; "cpu" stands for an instance without one, and has `gpus` 0. `memory_gb` is
    None where it was not said. A provider may offer a family that `parse_shape` doesn't know.

    One that asks for a type by its provider's own id has that as its `type_id`, and nothing else is known of it: `gpu`
    is empty and `gpus` 0. What a provider offers never has one.
    """

    gpu: str
    gpus: int = field(validator=validators.ge(0))
    memory_gb: int | None = field(default=None, validator=validators.optional(validators.ge(1)))
    type_id: str | None = None

    def __str__(self) -> str:
        """Write it so that `parse_shape` reads the same request, e.g. '8xh100' or '8xa100-40gb'.

        The memory is written when it narrows the family down: never for its only size, always
        for one of several, because '8xa100' asks for either.
        """
        if self.gpu == CPU or self.type_id is not None:
            return self.type_id or CPU
        told = self.memory_gb is not None and _sizes(self.gpu) != (self.memory_gb,)
        return f"{self.gpus}x{self.gpu}" + (f"-{self.memory_gb}gb" if told else "")

    @property
    def label(self) -> str:
        """The shape as a table's GPU column shows it: '8×H100·80G', without memory if unknown; an id as it is."""
        memory = self._certain_memory_gb
        return self.short_label + (f"·{memory}G" if memory is not None else "")

    @property
    def short_label(self) -> str:
        """Count and family for a sentence: '8×H100', or 'CPU'."""
        if self.type_id is not None:
            return self.type_id
        return f"{self.gpus}×{self.gpu.upper()}" if self.gpu != CPU else "CPU"

    @property
    def gpu_label(self) -> str:
        """One of its GPUs with its maker, where known: 'NVIDIA H100-80GB', or 'CPU'."""
        if self.type_id is not None:
            return self.type_id
        memory = self._certain_memory_gb
        maker = "NVIDIA " if _sizes(self.gpu) else ""
        return f"{maker}{self.gpu.upper()}" + (f"-{memory}GB" if memory is not None else "")

    def matches(self, offered: InstanceShape, *, type_id: str | None = None) -> bool:
        """Whether `offered`, of the type `type_id`, is what this asks for; memory not asked for may be any."""
        if self.type_id is not None:
            return self.type_id == type_id
        if (self.gpu, self.gpus) != (offered.gpu, offered.gpus):
            return False
        return self.memory_gb is None or self.memory_gb == offered._certain_memory_gb

    @property
    def _certain_memory_gb(self) -> int | None:
        if self.memory_gb is not None:
            return self.memory_gb
        sizes = _sizes(self.gpu)
        return sizes[0] if len(sizes) == 1 else None


def parse_shape(text: str, *, field: str = "instance_type") -> InstanceShape:
    """Return the shape that `text` names; a family alone means one GPU, a provider's own id that type.

    Raises:
        InvalidRequest: under `field`, what `text` says and the nearest right spelling.
    """
    found = _read(text)
    if isinstance(found, str):
        raise InvalidRequest({field: found}, hint=_HINT)
    return found


def gpu_families() -> dict[str, int]:
    """Return every GPU family known by name, with its usual memory in GB.

    Source: contract section 4 for h100, h200, b200 and a100; NVIDIA's data sheets of each product
    for the rest and for second sizes (A100 40 GB, V100 32 GB, P100 12 GB, GH200 144 GB).
    """
    return {family: sizes[0] for family, sizes in _MEMORY_GB.items()}


def _read(text: object) -> InstanceShape | str:
    """Return the shape, or a sentence on why there is none."""
    if not isinstance(text, str) or not text.strip():
        return f"{text!r} names no GPU; write it like {_EXAMPLE!r}"
    shown = repr(text if len(text) <= 60 else text[:59] + "…")
    name, counts = _split_counts(" ".join(text.lower().replace("×", "x").split()))
    family, memories = _split_memory(name)
    if family not in _MEMORY_GB and family != CPU:
        if _TYPE_ID.fullmatch(text.strip()):
            return InstanceShape("", 0, type_id=text.strip())
        nearest = _nearest(family, counts, memories)
        advice = f"nearest is {nearest!r}" if nearest else f"write it like {_EXAMPLE!r}"
        return f"{shown} names no GPU we know; {advice}"
    if family == CPU:
        if counts or memories:
            return f"{shown} gives GPUs to an instance that has none; write {CPU!r}"
        return InstanceShape(CPU, 0)
    if len(set(memories)) > 1:
        return f"{shown} gives two sizes of memory, {memories[0]} and {memories[1]} GB; keep one"
    memory_gb = memories[0] if memories else None
    if memory_gb == 0:
        return f"{shown} asks for 0 GB of memory; nearest is {_written(family, counts, [])!r}"
    return _count_problem(shown, family, counts, memories) or InstanceShape(
        family, int(counts[0]) if counts else 1, memory_gb
    )


def _split_counts(text: str) -> tuple[str, list[str]]:
    counts: list[str] = []
    for form in _COUNT_FORMS:
        match = form.fullmatch(text)
        if match:
            text = match["name"]
            counts.append(match["count"])
    glued = _GLUED.fullmatch(text)
    if glued and _split_memory(glued["name"])[0] in _MEMORY_GB:
        return glued["name"], [*counts, glued["count"]]
    return text, counts


def _split_memory(name: str) -> tuple[str, list[int]]:
    words: list[str] = []
    memories: list[int] = []
    for word in re.split(r"[-._\s·]+", name):
        memory = _MEMORY.fullmatch(word)
        if memory:
            memories.append(int(memory[1]))
        elif not _UNTOLD.fullmatch(word):
            words.append(word)
    family = "".join(words)
    return _ALIASES.get(family, family), memories


def _count_problem(shown: str, family: str, counts: list[str], memories: list[int]) -> str | None:
    nearest = repr(_written(family, counts, memories))
    for count in counts:
        if not re.fullmatch(r"[+-]?[0-9]+", count):
            return f"{shown} counts its GPUs as {count!r}, no whole number; write it like {nearest}"
        if len(count) > 9 or int(count) > MOST_GPUS:
            return (
                f"{shown} asks for more GPUs than one instance has ({MOST_GPUS} at most);"
                " ask for several instances"
            )
        if int(count) < 1:
            return f"{shown} asks for {int(count)} GPUs; nearest is {nearest}"
    if len({int(count) for count in counts}) > 1:
        return f"{shown} counts its GPUs twice, as {counts[0]} and {counts[1]}; keep one"
    return None


def _nearest(family: str, counts: list[str], memories: list[int]) -> str | None:
    """Return the right spelling closest to an unknown family, with the rest kept as it was."""
    import difflib

    joined = re.fullmatch(r"([0-9]{1,2})(.+)", family)
    if joined and not counts and joined[2] in _MEMORY_GB:
        return _written(joined[2], [joined[1]], memories)
    if family.startswith(CPU):
        return CPU
    if not 0 < len(family) <= 30:
        return None
    asked = family.translate(_LOOKALIKES)
    matcher = difflib.SequenceMatcher(b=asked)
    best, best_ratio = "", 0.0
    for known in _MEMORY_GB:
        matcher.set_seq1(known.translate(_LOOKALIKES))
        ratio = matcher.ratio()
        if ratio > best_ratio:
            best, best_ratio = known, ratio
    return _written(best, counts, memories) if best_ratio >= 0.6 else None


def _written(family: str, counts: list[str], memories: list[int]) -> str:
    memory = f"-{memories[0]}gb" if memories and memories[0] in _sizes(family)[1:] else ""
    if not counts:
        return family + memory
    number = counts[0].lstrip("+-")
    count = int(number) if number.isdecimal() and len(number) < 9 else 1
    return f"{min(max(count, 1), MOST_GPUS)}x{family}{memory}"


def _sizes(family: str) -> tuple[int, ...]:
    return _MEMORY_GB.get(family, ())
