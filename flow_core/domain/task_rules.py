"""What a well-formed task is: one sentence for each field that breaks a rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from flow_core.domain.money import Price, Spend
from flow_core.domain.names import problem_with_name
from flow_core.domain.sources import wanted_volume
from flow_core.domain.task_parts import Mount, Recover, Source
from flow_core.errors import InvalidRequest

if TYPE_CHECKING:
    from flow_core.domain.task import TaskSpec

MAX_INSTANCES = 10_000
MAX_RETRIES = 100
#: Signals that a command may be told of a notice by, and the word for none of them.
NOTICE_SIGNALS = ("USR1", "USR2", "TERM", "INT", "HUP", "QUIT", "CONT", "none")
#: The kernel's limit on one argument or variable (MAX_ARG_STRLEN). Source: execve(2), Linux.
MAX_STRING_BYTES = 131_072
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPTION_NAME = re.compile(r"(?:[a-z][a-z0-9_-]*\.)?[a-z][a-z0-9_]*")


def problems_with(spec: TaskSpec) -> dict[str, str]:
    """Return one sentence for each field of `spec` that breaks a rule; empty when it is well formed."""
    found = {
        "command": _command_problem(spec.command),
        "name": None if spec.name is None else problem_with_name(spec.name),
        "num_instances": _count_problem(spec.num_instances),
        "env": _env_problem(spec.env),
        "mounts": _mounts_problem(spec.mounts),
        "max_price_per_hour": "the limit is $0.00; a bid of nothing wins nothing"
        if spec.max_price == Price.ZERO
        else None,
        "image": _text_problem(spec.image, spaces=False),
        "region": _text_problem(spec.region, spaces=False),
        "working_dir": _text_problem(spec.working_dir),
        "code": _text_problem(spec.code),
        "max_run_time": None
        if spec.max_run_time is None or spec.max_run_time > timedelta(0)
        else "must be more than nothing",
        "max_spend": None
        if spec.max_spend is None or spec.max_spend > Spend.ZERO
        else "must be more than nothing",
        "reservation": _reservation_problem(spec),
        "after": _after_problem(spec),
        "secrets": _secrets_problem(spec),
        "environment": _text_problem(spec.environment),
        "idle_timeout": None
        if spec.idle_timeout is None or spec.idle_timeout > timedelta(0)
        else "must be more than nothing",
        "retries": _retries_problem(spec.retries),
        "recovery": _recovery_problem(spec),
        "checkpoint": _checkpoint_problem(spec.checkpoint),
        "notice_signal": None
        if spec.notice_signal is None or spec.notice_signal in NOTICE_SIGNALS
        else f"{spec.notice_signal!r} is no signal for it; write one of {', '.join(NOTICE_SIGNALS)}",
        "options": _options_problem(spec.options),
    }
    return {name: text for name, text in found.items() if text}


def _command_problem(command: object) -> str | None:
    words = (command,) if isinstance(command, str) else command
    if not isinstance(words, tuple) or not all(isinstance(word, str) for word in words):
        return f"{command!r} is neither a line of text nor a list of texts"
    if not words or not words[0].strip():
        return "there is nothing to run"
    if any("\0" in word for word in words):
        return "holds a NUL character, which no command can"
    if any(len(word.encode("utf-8", "surrogateescape")) >= MAX_STRING_BYTES for word in words):
        return f"one argument is over {MAX_STRING_BYTES:,} bytes, the most Linux takes; put it into a script"
    return None


def _count_problem(count: object) -> str | None:
    if isinstance(count, bool) or not isinstance(count, int):
        return f"{count!r} is not a whole number"
    if not 1 <= count <= MAX_INSTANCES:
        return f"{count} instances can't be asked for; ask for 1 to {MAX_INSTANCES:,}"
    return None


def _env_problem(env: Mapping[str, str]) -> str | None:
    problems = []
    for name, value in env.items():
        if not isinstance(name, str) or not _ENV_NAME.fullmatch(name):
            problems.append(
                f"{name!r} can't name a variable; use letters, digits and _, not starting with a digit"
            )
        elif not isinstance(value, str):
            problems.append(f"{name} is {value!r}; a variable's value is text")
        elif "\0" in value:
            problems.append(f"{name} holds a NUL character, which no variable can")
        elif len(value.encode("utf-8", "surrogateescape")) + len(name) + 2 > MAX_STRING_BYTES:
            problems.append(f"{name} is over {MAX_STRING_BYTES:,} bytes, the most Linux takes")
    return "; ".join(problems) or None


def _mounts_problem(mounts: tuple[Mount, ...]) -> str | None:
    problems = []
    seen: set[str] = set()
    for mount in mounts:
        if not mount.path.startswith("/"):
            problems.append(
                f"{mount.path!r} is relative; a mount needs an absolute path, such as '/{mount.path}'"
            )
        elif any(part in (".", "..") for part in mount.path.split("/")) or "\0" in mount.path:
            problems.append(f"{mount.path!r} must not hold '.', '..' or NUL")
        elif mount.path.rstrip("/") in ("", "/proc", "/sys", "/dev"):
            problems.append(f"{mount.path!r} belongs to the node's system; mount elsewhere")
        if mount.path.rstrip("/") in seen:
            problems.append(f"{mount.path!r} is mounted twice")
        seen.add(mount.path.rstrip("/"))
        if not mount.target:
            problems.append(f"{mount.source!r} names no source for {mount.path!r}")
        elif mount.kind is Source.HOST and not mount.source.startswith(("/", "./", "../", "~")):
            problems.append(
                f"{mount.source!r} at {mount.path!r} is no source; "
                "write 'volume://NAME', 's3://BUCKET/PREFIX' or a path"
            )
        elif problem := _source_problem(mount):
            problems.append(problem)
    return "; ".join(problems) or None


def _source_problem(mount: Mount) -> str | None:
    try:
        if mount.kind is Source.S3:
            from flow_core.domain.s3 import parse_s3

            parse_s3(mount.source, read_only=mount.read_only)
        elif mount.kind is Source.VOLUME:
            wanted_volume(mount.source)
    except InvalidRequest as wrong:
        return wrong.problems["mounts"]
    return None


def _text_problem(text: object, *, spaces: bool = True) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str) or not text.strip():
        return f"{text!r} is empty; leave it out instead"
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        return f"{text!r} holds a control character"
    return (
        f"{text!r} holds a space" if not spaces and any(char.isspace() for char in text) else None
    )


def _options_problem(options: Mapping[str, str]) -> str | None:
    problems = [
        f"{name!r} names no option; write 'option' or 'provider.option'"
        for name in options
        if not _OPTION_NAME.fullmatch(name)
    ]
    return "; ".join(problems) or None


def _reservation_problem(spec: TaskSpec) -> str | None:
    if spec.reservation is None:
        return None
    if spec.max_price is not None:
        return "is paid already, so that a limit on the price has no meaning"
    if spec.bid_policy is not None:
        return "is paid already, so that there is no bid for a policy to choose"
    if any(mount.kind is Source.VOLUME for mount in spec.mounts):
        return "has the volumes that it was made with; a task can't mount others"
    return _text_problem(spec.reservation, spaces=False)


def _after_problem(spec: TaskSpec) -> str | None:
    names = [dependency.task for dependency in spec.after]
    if spec.name is not None and spec.name in names:
        return f"{spec.name!r} waits for itself"
    return None


def _secrets_problem(spec: TaskSpec) -> str | None:
    problems = []
    seen: set[str] = set()
    for secret in spec.secrets:
        if not _ENV_NAME.fullmatch(secret.name):
            problems.append(
                f"{secret.name!r} can't name a variable; use letters, digits and _, not starting with a digit"
            )
        if secret.name in seen:
            problems.append(f"{secret.name} is named twice")
        if secret.name in spec.env:
            problems.append(f"{secret.name} is set in env too; keep one of them")
        seen.add(secret.name)
    return "; ".join(problems) or None


def _retries_problem(retries: object) -> str | None:
    if isinstance(retries, bool) or not isinstance(retries, int):
        return f"{retries!r} is not a whole number"
    if not 0 <= retries <= MAX_RETRIES:
        return f"{retries} can't be; ask for 0 to {MAX_RETRIES}"
    return None


def _recovery_problem(spec: TaskSpec) -> str | None:
    if spec.recovery.how is Recover.WAIT:
        return None
    if spec.reservation is not None:
        return "has no meaning on a reservation, which the market doesn't take"
    if spec.recovery.how is Recover.MOVE and spec.region is not None:
        return f"can't move out of region {spec.region!r}, which the task names"
    return None


def _checkpoint_problem(path: str | None) -> str | None:
    if path is None:
        return None
    if any(part == ".." for part in path.split("/")):
        return f"{path!r} must not hold '..'"
    return _text_problem(path)
