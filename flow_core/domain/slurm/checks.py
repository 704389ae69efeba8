"""Values that mean nothing to Flow and that sbatch refuses all the same when they are wrong.

Only what sbatch itself can tell is checked. Whether a partition, a licence or a feature exists is the cluster's
business, and not ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flow_core.domain.slurm.values import (
    Unreadable,
    read_array,
    read_count,
    read_dependency,
    read_gpus,
    read_gres,
    read_memory,
    read_nodes,
    read_signal,
    read_time,
)

#: option -> what reads its value, or refuses it.
Check = Callable[[str], object]

_UNITS = "seconds?|minutes?|hours?|days?|weeks?"
_HOUR = r"(?:[01]?[0-9]|2[0-3])"
_TIME_OF_DAY = (
    rf"{_HOUR}:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?:am|pm)?|midnight|noon|fika|teatime"
)
_MONTH, _DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12][0-9]|3[01])"
_DATE = (
    rf"[0-9]{{4}}-{_MONTH}-{_DAY}|{_MONTH}/{_DAY}(?:/[0-9]{{2}}(?:[0-9]{{2}})?)?"
    rf"|(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{{2}}|today|tomorrow"
)
_MOMENT = re.compile(
    rf"\s*(?:now(?:\s*[+-]\s*[0-9]+\s*(?:{_UNITS})?)?|(?:{_DATE})(?:[T\s-](?:{_TIME_OF_DAY}))?"
    rf"|(?:{_TIME_OF_DAY})(?:\s+(?:{_DATE}))?)\s*",
    re.IGNORECASE,
)
_MAIL = frozenset(
    [
        "NONE",
        "BEGIN",
        "END",
        "FAIL",
        "REQUEUE",
        "ALL",
        "STAGE_OUT",
        "INVALID_DEPEND",
        "TIME_LIMIT",
        "TIME_LIMIT_90",
        "TIME_LIMIT_80",
        "TIME_LIMIT_50",
        "ARRAY_TASKS",
    ]
)
_RLIMITS = frozenset(
    ["AS", "CORE", "CPU", "DATA", "FSIZE", "MEMLOCK", "NOFILE", "NPROC", "RSS", "STACK"]
)
_LAYOUT = r"(?:\*|block|cyclic|fcyclic)"


def read_moment(value: str) -> str:
    """Return a moment as it was written: now+1hour, 2027-01-31T10:00, 16:00, tomorrow and their kin."""
    if not _MOMENT.fullmatch(value):
        raise Unreadable(f"{value!r} is no moment; write now+1hour, 16:00 or 2027-01-31T10:00")
    return value


def _one_of(*words: str) -> Check:
    return _matching("|".join(words), f"is none of {', '.join(words)}")


def _matching(pattern: str, why: str) -> Check:
    found = re.compile(pattern, re.IGNORECASE)

    def check(value: str) -> str:
        if not found.fullmatch(value):
            raise Unreadable(f"{value!r} {why}")
        return value

    return check


def _mail(value: str) -> str:
    if not any(word.strip().upper() in _MAIL for word in value.split(",")):
        raise Unreadable(f"{value!r} names no event to send mail for")
    return value


def _limits(value: str) -> str:
    words = [word for word in value.split(",") if word]
    wrong = [word for word in words if word.upper().removeprefix("RLIMIT_") not in _RLIMITS]
    if wrong and words not in (["ALL"], ["NONE"]):
        raise Unreadable(f"{wrong[0]!r} is no resource limit")
    return value


def _nice(value: str) -> str:
    match = re.match(r"\s*([+-]?[0-9]+)", value)
    if match and abs(int(match[1])) > 2_147_483_645:
        raise Unreadable(f"{value!r} is out of range")
    return value


_WHOLE = _matching(r"\s*\+?[0-9]+", "is no whole number")
_POSITIVE = read_count

CHECKS: dict[str, Check] = {
    "nodes": read_nodes,
    **dict.fromkeys(
        ("ntasks", "ntasks-per-node", "cpus-per-task", "cpus-per-gpu", "ntasks-per-gpu", "ntasks-per-core",
         "ntasks-per-socket", "mincpus", "sockets-per-node", "cores-per-socket", "threads-per-core"), _POSITIVE,
    ),
    **dict.fromkeys(("time", "time-min"), read_time),
    **dict.fromkeys(("mem", "mem-per-cpu", "mem-per-gpu", "tmp"), read_memory),
    "gres": read_gres,
    **dict.fromkeys(("gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket"), read_gpus),
    "array": read_array,
    "dependency": read_dependency,
    "signal": read_signal,
    **dict.fromkeys(("begin", "deadline"), read_moment),
    "mail-type": _mail,
    "hint": _one_of("compute_bound", "memory_bound", "multithread", "nomultithread"),
    "open-mode": _matching("[at].*", "is neither append nor truncate"),
    "exclusive": _one_of("user", "mcs", "exclusive"),
    "no-kill": _one_of("off", "no"),
    "kill-on-invalid-dep": _one_of("yes", "no"),
    "get-user-env": _matching("[0-9]+[sl]?", "is no number of seconds"),
    "wait-all-nodes": _matching("[01]", "is neither 0 nor 1"),
    "nice": _nice,
    "priority": _matching(r"(?!-).*", "is negative"),
    "propagate": _limits,
    "distribution": _matching(
        rf"(?:(?:plane=[0-9]+|arbitrary|{_LAYOUT}(?::{_LAYOUT}){{0,2}}|pack|nopack)(?:,|$))+", "is no distribution"
    ),
    "core-spec": _WHOLE,
    "thread-spec": _POSITIVE,
    "switches": _matching(r"[0-9]+(?:@.*)?", "is no number of switches"),
    "extra-node-info": _matching(r"(?:[0-9]+|\*)(?::(?:[0-9]+|\*)){0,2}", "is not SOCKETS:CORES:THREADS"),
    "delay-boot": _matching(r"[0-9:-]+", "is no time"),
    "acctg-freq": _matching(r"(?:(?:task|energy|network|filesystem)=)?[0-9]+(?:,.*)?", "is no interval"),
    "gres-flags": _one_of("enforce-binding", "disable-binding"),
    "gpu-bind": _matching(
        r"(?:v|verbose|q|quiet|closest|none|single:.*|per_task:.*|map_gpu:.*|mask_gpu:.*)(?:,.*)?",
        "is no way to bind GPUs",
    ),
    "gpu-freq": _matching(
        r"(?:(?:memory=)?(?:low|medium|high|highm1|[0-9]+)|verbose)(?:,.*)?", "is no frequency of GPUs"
    ),
    "mem-bind": _matching(
        r"(?:v|verbose|q|quiet|no|none|rank|local|sort|nosort|p|prefer|map_mem:.*|mask_mem:.*)(?:,.*)?",
        "is no way to bind memory",
    ),
    "cpu-freq": _matching(
        r"(?:(?:low|medium|high|highm1|[0-9]+)(?:-(?:low|medium|high|highm1|[0-9]+))?)?"
        r":?(?:conservative|ondemand|performance|powersave|userspace|schedutil)?", "is no frequency of CPUs",
    ),
    "profile": _matching("none|all|(?:(?:energy|task|lustre|network),?)+", "profiles nothing"),
    "uid": _matching(r"[0-9]+|[a-z_][a-z0-9_-]*", "is no user"),
    "gid": _matching(r"[0-9]+|[a-z_][a-z0-9_-]*", "is no group"),
}  # fmt: skip
