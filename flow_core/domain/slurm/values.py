"""What the values of sbatch's options mean, exactly as Slurm reads them, its odd corners included.

Each function takes a value as it was given and returns what it stands for.

Raises:
    Unreadable: from any of them, where Slurm refuses the value; the text is a sentence without its subject.
"""

from __future__ import annotations

import re
from datetime import timedelta

from attrs import field, frozen

#: MaxArraySize can't be set higher. Source: slurm.conf(5), 22.05.
MOST_ARRAY_INDICES = 4_000_001
_INT_MAX = 2**31 - 1

_COUNT = re.compile(r"\s*\+?([0-9]+)")
_NODE_COUNT = re.compile(r"\s*\+?([0-9]+)([kKmM]?)\s*")
_MEMORY = re.compile(r"\s*\+?([0-9]+)(?:([kmgt])b?)?", re.IGNORECASE)
_CLOCK = re.compile(r"([0-9]+)(?::([0-9]+)(?::([0-9]+))?)?")
_DAYS = re.compile(r"([0-9]+)-(?:([0-9]+)(?::([0-9]+)(?::([0-9]+))?)?)?")
_ARRAY_ITEM = re.compile(r"\s*\+?([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?")
_JOB_ID = re.compile(r"0*([1-9][0-9]*)(?:_(?:[0-9]+|\*))?(?:\+[0-9]+)?")
_SIGNAL = re.compile(r"(?:([RB]{1,2}):)?(?:SIG)?([A-Z0-9]+)(?:@([0-9]*))?", re.IGNORECASE)
_TYPE = re.compile(r"[^:,\s]*[^:,\s0-9][^:,\s]*")
_AMOUNT = re.compile(r"([0-9]+)([kKmMgGtTpP]?)")
_HOSTS = re.compile(r"(?:[^,\[\]]|\[[^\]]*\])+")

_MEMORY_MB = {"k": 1 / 1024, "m": 1, "": 1, "g": 1024, "t": 1024**2}
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
#: The signals that Slurm knows by name. Source: sbatch 22.05.8, asked about each of Linux's.
SIGNALS = frozenset(
    [
        "HUP",
        "INT",
        "QUIT",
        "ABRT",
        "KILL",
        "USR1",
        "USR2",
        "ALRM",
        "TERM",
        "CONT",
        "STOP",
        "TSTP",
        "TTIN",
        "TTOU",
        "URG",
        "XCPU",
    ]
)
_DEPENDENCY_TYPES = frozenset(
    {"after", "afterok", "afternotok", "afterany", "aftercorr", "afterburstbuffer"}
)
SINGLETON = "singleton"


class Unreadable(ValueError):
    """Slurm refuses a value; the text says why."""


@frozen
class NodeRange:
    """How many nodes: from `least` to `most`."""

    least: int
    most: int


@frozen
class Gpus:
    """GPUs of one type, '' for any."""

    type: str
    count: int

    def __str__(self) -> str:
        return f"{self.type}:{self.count}" if self.type else str(self.count)


@frozen
class Array:
    """The indices of an array in rising order, each once, and how many may run at a time (None: all)."""

    indices: tuple[int, ...] | range
    throttle: int | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __str__(self) -> str:
        """Write it as Slurm shows it: runs joined by '-', the rest by ','; '%' before the throttle.

        More than five indices at equal steps, over more than ten numbers, are written with their step.
        """
        first, last = self.indices[0], self.indices[-1]
        step = self.indices[1] - first if len(self) > 1 else 1
        throttle = f"%{self.throttle}" if self.throttle else ""
        is_even = tuple(self.indices) == tuple(range(first, last + 1, max(1, step)))
        if len(self) > 5 and last - first > 10 and step > 1 and is_even:
            return f"{first}-{last}:{step}{throttle}"
        runs: list[list[int]] = []
        for index in self.indices:
            if runs and index == runs[-1][-1] + 1:
                runs[-1] = [runs[-1][0], index]
            else:
                runs.append([index])
        return ",".join("-".join(map(str, run)) for run in runs) + throttle


@frozen
class Wait:
    """One condition on other jobs: `kind` such as 'afterok' and the id, '' for 'singleton'."""

    kind: str
    job: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.job}" if self.job else self.kind


@frozen
class Dependency:
    """What must happen first: all of `waits`, or `any_of` them."""

    waits: tuple[Wait, ...]
    any_of: bool = False

    def __str__(self) -> str:
        return ("?" if self.any_of else ",").join(map(str, self.waits))


@frozen(kw_only=True)
class Signal:
    """A signal to be sent `before` the time limit: to the batch shell, or else to its steps."""

    name: str
    before: timedelta = field(default=timedelta(seconds=60))
    to_batch: bool = False
    at_reservation: bool = False


def read_count(value: str) -> int:
    """Return a positive whole number."""
    match = _COUNT.fullmatch(value)
    if match is None or not 0 < int(match[1]) <= _INT_MAX:
        raise Unreadable(f"{value!r} is no positive whole number")
    return int(match[1])


def read_nodes(value: str) -> NodeRange:
    """Return a count or range of nodes; k and m mean 1,024 and 1,048,576 of them."""
    match = _NODE_COUNT.fullmatch(value)
    if match:
        count = _multiplied(match)
        return NodeRange(count, count)
    low, dash, high = value.partition("-")
    least, most = _NODE_COUNT.fullmatch(low), _NODE_COUNT.fullmatch(high)
    if not dash or (low and least is None) or most is None:
        raise Unreadable(f"{value!r} is no count of nodes, nor a range such as 2-4")
    found = NodeRange(_multiplied(least) if least else 1, _multiplied(most))
    if found.most < found.least:
        raise Unreadable(f"{value!r} ends with fewer nodes than it begins with")
    return found


def _multiplied(match: re.Match[str]) -> int:
    return int(match[1]) * int(1024 ** _POWERS[match[2].lower()])


def read_time(value: str) -> timedelta | None:
    """Return a time limit in whole minutes, rounded up; None for no limit.

    Slurm reckons in signed seconds of 32 bits, so 50000-0 is less than a year; we follow it there.
    """
    if value.upper() in ("INFINITE", "UNLIMITED") or value == "-1":
        return None
    match = _CLOCK.fullmatch(value)
    if match:
        first, second, third = (int(part or 0) for part in match.groups())
        seconds = first * 3600 + second * 60 + third if match[3] else first * 60 + second
    elif match := _DAYS.fullmatch(value):
        days, hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    elif re.fullmatch(r"-[0-9]+", value):
        seconds = int(value) * 86_400
    else:
        raise Unreadable(f"{value!r} is no time; write minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S")
    minutes = _as_int32(_as_int32(seconds) + 59)
    whole = minutes // 60 if minutes >= 0 else -(-minutes // 60)
    return timedelta(minutes=whole % 2**32) if whole else None


def _as_int32(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31


def is_minutes_and_seconds(value: str) -> bool:
    """Whether a time has two fields, which Slurm takes for minutes and seconds."""
    return value.count(":") == 1 and "-" not in value


def read_memory(value: str) -> int:
    """Return megabytes (of 1,024 kB), rounded up; 0 means all that a node has."""
    match = _MEMORY.fullmatch(value)
    if match is None:
        raise Unreadable(f"{value!r} is no amount of memory; write a whole number and K, M, G or T")
    unit = (match[2] or "").lower()
    return -(-int(match[1]) // 1024) if unit == "k" else int(match[1]) * int(_MEMORY_MB[unit])


def read_gres(value: str) -> tuple[tuple[str, Gpus], ...]:
    """Return the generic resources of one node: pairs of a name, such as 'gpu', and its type and count."""
    if value.lower() == "none":
        return ()
    found = []
    for entry in value.split(","):
        name, *rest = (entry[5:] if entry.startswith("gres:") else entry).split(":")
        if name not in ("gpu", "shard", "mps") and not re.fullmatch(
            r"[A-Za-z][A-Za-z0-9_-]*", name
        ):
            raise Unreadable(f"{entry!r} is no resource; write gpu:TYPE:COUNT")
        found.append((name, _amount(entry, rest)))
    return tuple(found)


def read_gpus(value: str) -> tuple[Gpus, ...]:
    """Return the GPUs of `--gpus` and its kin; '' and a trailing comma are passed over, as Slurm does."""
    return tuple(_amount(entry, entry.split(":")) for entry in value.split(",") if entry)


def _amount(entry: str, parts: list[str]) -> Gpus:
    if not parts:
        return Gpus("", 1)
    if len(parts) == 1:
        match = _AMOUNT.fullmatch(parts[0])
        if match:
            return Gpus("", _whole(match))
        if not parts[0] or parts[0][0].isdigit() or not _TYPE.fullmatch(parts[0]):
            raise Unreadable(f"{entry!r} has neither a type nor a count; write TYPE:COUNT")
        return Gpus(parts[0], 1)
    match = _AMOUNT.fullmatch(parts[1]) if len(parts) == 2 else None
    if match is None or not _TYPE.fullmatch(parts[0]):
        raise Unreadable(f"{entry!r} is not of the form TYPE:COUNT")
    return Gpus(parts[0], _whole(match))


def _whole(match: re.Match[str]) -> int:
    return int(match[1]) * int(1024 ** _POWERS[match[2].lower()])


def read_array(value: str) -> Array | None:
    """Return the indices; brackets don't matter, nothing but commas is no array, and a bare %N is index 0."""
    refused = Unreadable(
        f"{value!r} is no array; write indices, ranges such as 0-9:2, and %N for N at a time"
    )
    bare = value.replace("[", "").replace("]", "")
    throttle: int | None = None
    if "%" in bare:
        limit = re.match(r"[0-9]+", bare.partition("%")[2])
        throttle = int(limit[0]) if limit and int(limit[0]) else None
        bare = re.sub(r"%[^,]*", "", bare)
    items = [item for item in bare.split(",") if item]
    if not items:
        return Array((0,), throttle) if "%" in value else None
    indices: set[int] = set()
    for item in items:
        match = _ARRAY_ITEM.fullmatch(item)
        if match is None:
            raise refused
        first, last = int(match[1]), int(match[2] or match[1])
        step = int(match[3] or 1)
        if last < first or step < 1:
            raise refused
        if last >= MOST_ARRAY_INDICES:
            raise Unreadable(
                f"{value!r} goes beyond index {MOST_ARRAY_INDICES - 1:,}, the last that Slurm can have"
            )
        if len(items) == 1:
            return Array(range(first, last + 1, step), throttle)
        indices.update(range(first, last + 1, step))
    return Array(tuple(sorted(indices)), throttle)


def read_dependency(value: str) -> Dependency | None:
    """Return what to wait for; '' is nothing."""
    if not value:
        return None
    waits: dict[Wait, None] = {}
    items = re.split(r"[,?]", value)
    if all(re.fullmatch(r"[0-9]+", item) for item in items):
        items = [f"afterany:{item}" for item in items]
    for item in items:
        kind, colon, jobs = item.partition(":")
        if item.lower() == SINGLETON:
            waits[Wait(SINGLETON)] = None
            continue
        if kind.lower() not in _DEPENDENCY_TYPES or not colon:
            raise Unreadable(
                f"{item!r} waits in no way that Slurm knows; write afterok:ID or its kin"
            )
        delay = ""
        for job in jobs.split(":"):
            if not _JOB_ID.fullmatch(job):
                raise Unreadable(f"{job!r} in {item!r} is no job's id")
            job, plus, more = job.partition("+")
            delay = plus + more if plus else delay
            waits[Wait(kind.lower(), f"{job.lstrip('0')}{delay}")] = None
    return Dependency(tuple(waits), any_of="?" in value)


def read_signal(value: str) -> Signal:
    """Return what to send before the end: `[R][B:]SIGNAL[@SECONDS]`."""
    match = _SIGNAL.fullmatch(value)
    refused = Unreadable(f"{value!r} is no signal; write [B:]NAME[@SECONDS], such as B:USR1@90")
    if match is None or (match[1] or "").upper() in ("RR", "BB"):
        raise refused
    name = match[2].upper()
    if name.isdigit():
        if match[0].upper().lstrip("RB:").startswith("SIG") or int(name) == 0:
            raise refused
    elif name not in SIGNALS:
        raise Unreadable(f"{match[2]!r} is no signal that Slurm knows by name")
    seconds = int(match[3]) if match[3] else 60
    if seconds > 65_535:
        raise Unreadable(f"{seconds} seconds are more than the 65,535 that Slurm can wait")
    flags = (match[1] or "").upper()
    return Signal(
        name=name,
        before=timedelta(seconds=seconds),
        to_batch="B" in flags,
        at_reservation="R" in flags,
    )


def count_hosts(value: str) -> int:
    """Return how many different hosts a list such as `n[01-04,7],m1` names; 0 where its brackets don't match."""
    names: set[str] = set()
    for part in _HOSTS.findall(value):
        expanded = _hosts(part)
        if expanded is None or len(expanded) > 65_536:
            return 0
        names.update(expanded)
    return len(names)


def _hosts(part: str) -> list[str] | None:
    found = [""]
    for text, ranges in re.findall(r"([^\[\]]*)(?:\[([^\]]*)\])?", part):
        found = [head + text for head in found]
        if not ranges:
            continue
        numbers: list[str] = []
        for item in ranges.split(","):
            low, _, high = item.partition("-")
            if not low.isdigit() or not (high or low).isdigit():
                return None
            numbers += [str(n).zfill(len(low)) for n in range(int(low), int(high or low) + 1)]
        found = [head + number for head in found for number in numbers]
    return found
