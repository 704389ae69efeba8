"""What a task asks of Slurm: its options, and the words that sbatch is told."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from datetime import timedelta

from attrs import frozen

from flow_core.domain.bid import BidRequest
from flow_core.errors import InvalidRequest
from flow_providers.slurm.offers import Offer

#: The task options that this provider understands; see `ports.provider.Limits.options`.
OPTIONS = {
    "partition": "the partition, or several with commas between; a task's region says the same of one",
    "cpus": "CPUs of each node; without it 1, or with GPUs their share of the node's",
    "memory": "memory of each node, such as 64g; without it what the partition gives",
    "time": "Slurm's time limit, as sbatch takes it; without it the task's, else the partition's",
    "account": "the account that is charged",
    "qos": "the quality of service",
    "constraint": "features that nodes must have",
    "exclusive": "yes: whole nodes, shared with nobody",
    "sbatch": "more options of sbatch's, as on its command line: '--reservation=x --nice=10'",
}
#: Settings of the same names stand in where a task says nothing.
SETTINGS = ("account", "qos", "constraint", "time")
#: Slurm may end it this much later than the watcher, who tells why.
SLACK = timedelta(minutes=5)
_TIME = re.compile(r"[0-9]+(?:-[0-9]+(?::[0-9]+){0,2}|(?::[0-9]+){0,2})|UNLIMITED", re.IGNORECASE)
_MEMORY = re.compile(r"([0-9]+)\s*([kmgt])?(?:i?b)?", re.IGNORECASE)
#: What Flow says itself, or what would make something else of the bid; sbatch takes any beginning of a name.
_OURS = (
    "job-name", "nodes", "ntasks", "array", "hold", "input", "chdir", "error", "output", "wait", "wrap", "comment",
    "parsable", "requeue", "no-requeue", "open-mode", "export", "test-only", "gpus-per-node", "help", "usage",
    "version", "quiet", "verbose", "clusters", "partition",
)  # fmt: skip
_WORD = re.compile(r"--([a-z][a-z-]*)(?:=.*)?", re.DOTALL)


@frozen(kw_only=True)
class Asked:
    """A task's options as values, with settings where it says nothing."""

    cpus: int | None = None
    memory_mb: int | None = None
    time: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    is_exclusive: bool = False
    more: tuple[str, ...] = ()


def read_options(options: Mapping[str, str], *, defaults: Mapping[str, str]) -> Asked:
    """Return what `options` ask for.

    Raises:
        InvalidRequest: under `options`, a sentence for each that can't be.
    """
    problems: list[str] = []
    told = {**defaults, **options}
    time = told.get("time", "").strip()
    if time and not _TIME.fullmatch(time):
        problems.append(f"time is {time!r}; write it as sbatch does: 90, 2:00:00, 1-12")
    asked = Asked(
        cpus=_cpus(told.get("cpus"), problems),
        memory_mb=_memory(told.get("memory"), problems),
        time=time,
        account=told.get("account", "").strip(),
        qos=told.get("qos", "").strip(),
        constraint=told.get("constraint", "").strip(),
        is_exclusive=_truth(told.get("exclusive", "no"), problems),
        more=_more(told.get("sbatch", ""), problems),
    )
    if problems:
        raise InvalidRequest({"options": "; ".join(problems)})
    return asked


def partitions_of(options: Mapping[str, str]) -> tuple[str, ...]:
    """Return the partitions that a task may go to; none for any."""
    return tuple(filter(None, (each.strip() for each in options.get("partition", "").split(","))))


def sbatch_words(
    request: BidRequest, offer: Offer, asked: Asked, *, gpus: int, most: timedelta | None = None
) -> list[str]:
    """Return what sbatch is told of nodes with so many GPUs; `most` is the longest that the task may hold them."""
    words = [
        f"--job-name={request.name}",
        f"--partition={request.region}",
        f"--nodes={request.quantity}",
        "--ntasks-per-node=1",
    ]
    if gpus:
        words.append(f"--gpus-per-node={offer.gres(gpus)}")
    cpus = asked.cpus or offer.cpus_for(gpus)
    words.append(f"--cpus-per-task={cpus}")
    if asked.memory_mb is not None:
        words.append(f"--mem={asked.memory_mb}M")
    elif not offer.gives_memory:
        words.append(f"--mem={offer.memory_for(gpus, cpus)}M")
    if asked.time:
        words.append(f"--time={asked.time}")
    elif most is not None:
        words.append(f"--time={_minutes(most + SLACK, offer)}")
    for name in ("account", "qos", "constraint"):
        value = getattr(asked, name)
        if value:
            words.append(f"--{name}={value}")
    if asked.is_exclusive:
        words.append("--exclusive")
    return [*words, *asked.more]


def _minutes(most: timedelta, offer: Offer) -> int:
    """Return a limit in Slurm's minutes, never above the partition's."""
    minutes = max(1, math.ceil(most.total_seconds() / 60))
    return minutes if offer.most_minutes is None else min(minutes, offer.most_minutes)


def _cpus(text: str | None, problems: list[str]) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text.strip()) or not int(text):
        problems.append(f"cpus is {text!r}; write a whole number")
        return None
    return int(text)


def _memory(text: str | None, problems: list[str]) -> int | None:
    if text is None:
        return None
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        problems.append(f"memory is {text!r}; write a size such as 512m or 16g")
        return None
    power = "kmgt".index((match[2] or "m").lower()) - 1
    return max(1, math.ceil(int(match[1]) * 1024.0**power))


def _truth(text: str, problems: list[str]) -> bool:
    if text.lower() not in ("yes", "true", "1", "no", "false", "0"):
        problems.append(f"exclusive is {text!r}; it can be yes or no")
    return text.lower() in ("yes", "true", "1")


def _more(text: str, problems: list[str]) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        problems.append(f"sbatch is {text!r}: {error}")
        return ()
    strange = [word for word in words if not _WORD.fullmatch(word)]
    if strange:
        problems.append(f"sbatch has {', '.join(map(repr, strange))}; write each as --name=value")
    names = [match[1] for match in map(_WORD.fullmatch, words) if match]
    ours = [name for name in names if any(each.startswith(name) for each in _OURS)]
    if ours:
        problems.append(f"sbatch has --{', --'.join(ours)}, which Flow says itself")
    return words
