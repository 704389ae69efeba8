"""A sweep: one command for every combination of some parameters, each a task of its own.

A sweep is a group of tasks (`domain.group`), each named `SWEEP/lr=0.1,seed=3`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from attrs import frozen

from flow_core.domain.names import problem_with_name
from flow_core.errors import InvalidRequest

#: The most tasks of one sweep.
MOST = 1_000
_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")
_PARAMETER = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)=(.+)")


@frozen
class Point:
    """One combination: parameter -> value, in the order in which they were given."""

    values: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.values)


def is_parameter(word: str) -> bool:
    """Whether a word is such as lr=0.1,0.2."""
    return bool(_PARAMETER.fullmatch(word))


def parse_points(words: Sequence[str]) -> tuple[Point, ...]:
    """Return all combinations of `lr=0.1,0.2 seed=0..9` (both ends count), the last parameter fastest.

    Raises:
        InvalidRequest: a parameter comes twice or is empty, or there are more than `MOST` combinations.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        matched = _PARAMETER.fullmatch(word)
        if matched is None or matched[1] in found:
            why = "is given twice" if matched else "is not such as lr=0.1,0.2 or seed=0..9"
            raise InvalidRequest({word: why})
        found[matched[1]] = _values(matched[1], matched[2])
    count = 1
    for values in found.values():
        count *= len(values)
    if count > MOST:
        raise InvalidRequest({"parameters": f"make {count:,} tasks; {MOST:,} is the most"})
    return tuple(
        Point(tuple(zip(found, each, strict=True))) for each in itertools.product(*found.values())
    )


def task_name(sweep: str, point: Point) -> str:
    """Return the name of a point's task.

    Raises:
        InvalidRequest: it can't name a task.
    """
    name = f"{sweep}/{point}"
    problem = problem_with_name(name)
    if problem is not None:
        raise InvalidRequest({str(point): problem}, hint="give a shorter --name")
    return name


def is_point(name: str) -> bool:
    """Whether a task's name is one that `task_name` gives."""
    return is_parameter(name.partition("/")[2])


def command_for(words: Sequence[str], point: Point) -> list[str]:
    """Return a point's command: `{lr}` is replaced wherever it stands; without any, `--lr 0.1` is appended.

    A file ending in .py runs with `python`.
    """
    values = dict(point.values)
    command = ["python", *words] if words[0].endswith(".py") else list(words)
    if any(f"{{{name}}}" in word for name in values for word in command):
        for name, value in values.items():
            command = [word.replace(f"{{{name}}}", value) for word in command]
        return command
    return [*command, *itertools.chain.from_iterable((f"--{n}", v) for n, v in point.values)]


def _values(name: str, text: str) -> list[str]:
    found: list[str] = []
    for each in text.split(","):
        matched = _RANGE.fullmatch(each)
        if matched is None:
            found.append(each)
            continue
        first, last = int(matched[1]), int(matched[2])
        if abs(last - first) >= MOST:
            raise InvalidRequest({name: f"{each} has over {MOST:,} values"})
        step = 1 if last >= first else -1
        found += [str(number) for number in range(first, last + step, step)]
    if not all(found) or len(set(found)) != len(found):
        raise InvalidRequest({name: f"{text!r} has a value twice or an empty one"})
    return found
