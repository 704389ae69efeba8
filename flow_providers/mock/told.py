"""How commands behave on nodes in memory: as they were told.

A behaviour is a *script of a run*: something that yields lines to print and stretches of time that pass, and returns
an exit code. Plain facts (`takes`, `prints`, `exits`) are made into one; a function may be one:

    def train(run):                        # called anew for each attempt on each node
        for epoch in range(run.attempt, 3):
            yield timedelta(hours=1)       # time passes
            yield f"epoch {epoch}"         # a line is printed
        return 0                           # the exit code; None is 0

A function may also just return an exit code, or lines to print before ending with 0.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import timedelta

from attrs import field, frozen

from flow_core.domain.allocation import Notice
from flow_core.domain.duration import parse_duration
from flow_core.domain.script import NodeTask
from flow_core.errors import InvalidRequest

#: What a script of a run yields: text for a line, bytes as they are, a time that passes.
Item = str | bytes | timedelta
Script = Generator[Item, None, int]
#: Longer than any test; what `sleep infinity` takes.
FOREVER = timedelta(days=36_500)


@frozen(kw_only=True)
class PretendRun:
    """What a told function learns of its run. `env` is what the command sees, rank and rendezvous included.

    `worked` is how long earlier attempts on this node ran in all. `notice()` is what stands now, or None.
    """

    command: str
    rank: int
    attempt: int
    env: Mapping[str, str]
    worked: timedelta
    notice: Callable[[], Notice | None]


Behave = Callable[[PretendRun], "Iterable[Item] | int | None"]
#: How much of the time worked before a checkpoint keeps.
Keeps = Callable[[timedelta], timedelta]


@frozen(kw_only=True)
class Told:
    """One behaviour, for commands equal to `command` or matching it as a pattern with * and ?."""

    command: str
    begin: Callable[[PretendRun], Script]
    is_pattern: bool = field(default=False)


def told(
    command: str,
    behave: Behave | None = None,
    *,
    takes: str | float | timedelta = 0,
    prints: Sequence[str] = (),
    exits: int = 0,
    checkpoints: bool | Keeps = False,
) -> Told:
    """Return a behaviour.

    `takes` is the simulated time from start to end; the lines of `prints` come evenly over it, the last with the end.
    With `checkpoints`, a run that was cut short goes on where it was (or where a function of the time worked says),
    and prints only what is left.

    Raises:
        InvalidRequest: `takes` is no duration.
    """
    whole = _duration(takes)
    lines = tuple(prints)
    keeps = checkpoints if callable(checkpoints) else (_all if checkpoints else _nothing)
    plain = any(char in command for char in "*?[")
    if behave is not None:
        return Told(command=command, begin=_played(behave), is_pattern=plain)

    def begin(run: PretendRun) -> Script:
        return _facts(whole, lines, exits, min(keeps(run.worked), whole))

    return Told(command=command, begin=begin, is_pattern=plain)


def behaviour(known: Sequence[Told], task: NodeTask) -> Callable[[PretendRun], Script]:
    """Return what the task's command does: the behaviour told last that fits, an exact one first."""
    line = command_line(task)
    for each in reversed(known):
        if each.command == line:
            return each.begin
    for each in reversed(known):
        if each.is_pattern and fnmatch.fnmatchcase(line, each.command):
            return each.begin
    return _known(line) or _untold


def command_line(task: NodeTask) -> str:
    """Return the command as one line; arguments are joined by spaces."""
    return task.command if isinstance(task.command, str) else " ".join(task.command)


def _facts(whole: timedelta, lines: Sequence[str], exits: int, done: timedelta) -> Script:
    for place, line in enumerate(lines, start=1):
        due = whole * place / len(lines)
        if due <= done and done > timedelta(0):
            continue
        yield due - done
        done = due
        yield line
    if whole > done:
        yield whole - done
    return exits


def _played(behave: Behave) -> Callable[[PretendRun], Script]:
    def begin(run: PretendRun) -> Script:
        answer = behave(run)
        if answer is None or isinstance(answer, int):
            return answer or 0
        if isinstance(answer, Generator):
            code = yield from answer
        else:
            yield from answer
            code = None
        return code if isinstance(code, int) else 0

    return begin


def _untold(run: PretendRun) -> Script:
    yield b"flow: nobody told the pretend cloud what this command does, so it ends with 0 at once\n"
    yield (
        b"flow: tell it with pretend_cloud.on("
        + repr(run.command).encode()
        + b", takes=..., prints=[...], exits=0)\n"
    )
    return 0


def _known(line: str) -> Callable[[PretendRun], Script] | None:
    """Return what `sleep`, `true` and `false` do: what they always do."""
    words = line.split()
    if words in (["true"], ["false"]):
        return told(line, exits=int(line.strip() == "false")).begin
    if len(words) == 2 and words[0] == "sleep":
        try:
            return told(line, takes=FOREVER if words[1] == "infinity" else words[1]).begin
        except InvalidRequest:
            return None
    return None


def _duration(value: str | float | timedelta) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not value:
        return timedelta(0)
    if isinstance(value, str) and value.replace(".", "", 1).isdigit():
        value = float(value)
    return parse_duration(value, field="takes") if value else timedelta(0)


def _all(worked: timedelta) -> timedelta:
    return worked


def _nothing(_: timedelta) -> timedelta:
    return timedelta(0)
