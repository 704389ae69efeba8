"""What a task's fields may look like in raw form: one reader for each field of TaskSpec.

A reader takes a value and the key it stands under, and returns the field's own type. Values that are of that type
already pass. Rules about the field itself are TaskSpec's.

Raises:
    InvalidRequest: from any reader, keyed by the path of what it could not read, e.g. `mounts[1]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from typing import TypeVar

from flow_core.domain.duration import parse_duration
from flow_core.domain.money import Price, Spend
from flow_core.domain.names import problem_with_name
from flow_core.domain.shape import InstanceShape, parse_shape
from flow_core.domain.spelling import nearest
from flow_core.domain.task_parts import (
    Condition,
    Dependency,
    Guard,
    Keeper,
    Mount,
    Recover,
    Recovery,
    RunOn,
    Secret,
)
from flow_core.errors import InvalidRequest

_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MOUNT_KEYS = ("path", "source", "read_only")
_Raw = TypeVar("_Raw")
_Word = TypeVar("_Word", bound=Enum)
_Done = TypeVar("_Done")


def _command(value: object, key: str) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence) or isinstance(value, (bytes, bytearray)):
        raise InvalidRequest(
            {key: f"{_shown(value)} is neither a line of text nor a list of texts"}
        )
    return tuple(_each(_items(value, key), _word))


def _word(value: object, path: str) -> str:
    if isinstance(value, str):
        return value
    if _is_number(value):
        return str(value)
    raise InvalidRequest({path: f"{_shown(value)} is no text; put it in quotes"})


def _shape(value: object, key: str) -> InstanceShape:
    return value if isinstance(value, InstanceShape) else parse_shape(value, field=key)  # type: ignore[arg-type]


def _count(value: object, key: str) -> int:
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() and len(value) < 12:
        return int(value)
    return value  # type: ignore[return-value]  # TaskSpec says what is wrong with anything else


def _price(value: object, key: str) -> Price:
    return value if isinstance(value, Price) else Price.parse(value, field=key)  # type: ignore[arg-type]


def _policy(value: object, key: str) -> object:
    from flow_core.domain.policy import BidPolicy
    from flow_core.domain.policy_form import parse_policy

    return value if isinstance(value, BidPolicy) else parse_policy(value, field=key)


def _spend(value: object, key: str) -> Spend:
    return value if isinstance(value, Spend) else Spend.parse(value, field=key)  # type: ignore[arg-type]


def _duration(value: object, key: str) -> timedelta:
    return parse_duration(value, field=key)  # type: ignore[arg-type]  # it refuses other types itself


def _run_on(value: object, key: str) -> RunOn:
    known = {each.value: each for each in RunOn}
    if isinstance(value, RunOn):
        return value
    if isinstance(value, str) and value in known:
        return known[value]
    near = nearest(value.replace("_", "-"), known) if isinstance(value, str) else None
    advice = f"nearest is {near!r}" if near else "write " + " or ".join(map(repr, known))
    raise InvalidRequest({key: f"{_shown(value)} says no place to run on; {advice}"})


def _truth(value: object, key: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _TRUTHS:
        return _TRUTHS[value.strip().lower()]
    raise InvalidRequest({key: f"{_shown(value)} is neither true nor false"})


def _env(value: object, key: str) -> dict[str, str]:
    if isinstance(value, Mapping):
        return dict(_each(_entries(value, key), _variable))
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidRequest(
            {key: f"{_shown(value)} is neither a mapping nor a list of 'NAME=VALUE'"}
        )
    env: dict[str, str] = {}
    problems: dict[str, str] = {}
    for place, line in enumerate(value):
        name, equals, text = line.partition("=") if isinstance(line, str) else ("", "", "")
        if not equals:
            problems[f"{key}[{place}]"] = f"{_shown(line)} has no '='; write 'NAME=VALUE'"
        else:
            env[name] = text  # as on a shell's line, the last word counts
    if problems:
        raise InvalidRequest(problems)
    return env


def _options(value: object, key: str) -> dict[str, str]:
    if isinstance(value, Mapping):
        return dict(_each(_entries(value, key), _option))
    return _env(value, key)


def _option(entry: tuple[object, object], path: str) -> tuple[str, str]:
    name, value = entry
    if not isinstance(name, str):
        raise InvalidRequest({path: f"{name!r} can't name an option; put it in quotes"})
    if isinstance(value, bool):
        return name, "yes" if value else "no"
    return _variable(entry, path)


def _variable(entry: tuple[object, object], path: str) -> tuple[str, str]:
    name, value = entry
    if not isinstance(name, str):
        raise InvalidRequest({path: f"{name!r} can't name a variable; put it in quotes"})
    if isinstance(value, str):
        return name, value
    if _is_number(value):
        return name, str(value)
    if value is None:
        raise InvalidRequest({path: "has no value; write '' for an empty one"})
    if isinstance(value, bool):
        either = "'true' or '1'" if value else "'false' or '0'"
        raise InvalidRequest(
            {path: f"is {str(value).lower()}, which programs spell in many ways; write {either}"}
        )
    raise InvalidRequest({path: f"is {_shown(value)}; a variable's value is text"})


def _mounts(value: object, key: str) -> tuple[Mount, ...]:
    if isinstance(value, Mapping):
        return tuple(_each(_entries(value, key), _mount_entry))
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidRequest({key: f"{_shown(value)} is no mapping of absolute paths to sources"})
    return tuple(_each(_items(value, key), _mount))


def _mount_entry(entry: tuple[object, object], where: str) -> Mount:
    path, source = entry
    if isinstance(source, Mapping):
        return _mount({"path": path, **source}, where)
    return _mount({"path": path, "source": source}, where)


def _mount(value: object, where: str) -> Mount:
    if isinstance(value, Mount):
        return value
    if isinstance(value, str):
        return _mount_text(value, where)
    if not isinstance(value, Mapping):
        raise InvalidRequest({where: f"{_shown(value)} is no mount; write 'SOURCE:/PATH'"})
    unknown = [key for key in value if key not in _MOUNT_KEYS]
    if unknown:
        near = nearest(str(unknown[0]), _MOUNT_KEYS)
        advice = f"nearest is {near!r}" if near else f"a mount has {', '.join(_MOUNT_KEYS)}"
        raise InvalidRequest({where: f"{unknown[0]!r} is no field of a mount; {advice}"})
    path, source = value.get("path"), value.get("source")
    if not isinstance(path, str) or not isinstance(source, str):
        lacking = "path" if not isinstance(path, str) else "source"
        raise InvalidRequest(
            {where: f"{_shown(value.get(lacking))} is no {lacking} of a mount; a text is needed"}
        )
    read_only = value.get("read_only")
    return Mount(path, source, read_only=False if read_only is None else _truth(read_only, where))


def _mount_text(text: str, where: str) -> Mount:
    rest, _, mode = text.rpartition(":")
    read_only = mode == "ro" and bool(rest)
    source, _, path = (rest if mode in ("ro", "rw") and rest else text).rpartition(":")
    if not source or path.startswith("//"):
        there, is_reversed, here = text.partition("=")  # as mappings have it, with the path first
        right = f"{here}:{there}" if is_reversed and text.startswith("/") else f"{text}:/PATH"
        raise InvalidRequest({where: f"{text!r} names no path on the node; write {right!r}"})
    if mode == "rw" and source.startswith("s3://") and "mode=rw" not in source:
        right = f"{source}{'&' if '?' in source else '?'}mode=rw:{path}"
        raise InvalidRequest({where: f"a bucket is read-only unless it says so; write {right!r}"})
    return Mount(path, source, read_only=read_only)


def _after(value: object, key: str) -> tuple[Dependency, ...]:
    if isinstance(value, (str, Dependency)):
        value = [value]
    if not isinstance(value, Sequence):
        raise InvalidRequest({key: f"{_shown(value)} is no list of tasks such as 'afterok:NAME'"})
    return tuple(_each(_items(value, key), _dependency))


def _dependency(value: object, path: str) -> Dependency:
    if isinstance(value, Dependency):
        return value
    if not isinstance(value, str):
        raise InvalidRequest({path: f"{_shown(value)} is no task; write 'afterok:NAME'"})
    word, colon, name = value.partition(":")
    conditions = {f"after{each.value}": each for each in Condition}
    if colon and word not in conditions:
        near = nearest(word, conditions) or "afterok"
        raise InvalidRequest(
            {path: f"{_shown(value)} waits in no way we know; nearest is '{near}:{name}'"}
        )
    problem = problem_with_name(name if colon else word)
    if problem:
        raise InvalidRequest({path: problem})
    return Dependency(name, conditions[word]) if colon else Dependency(word)


def _environment(value: object, key: str) -> str:
    if isinstance(value, (Mapping, list)):
        raise InvalidRequest(
            {key: "says where the command's Python comes from; variables go under 'env'"}
        )
    return _word(value, key)


def _signal(value: object, key: str) -> str:
    word = _word(value, key)
    return word if word == "none" else word.upper().removeprefix("SIG")


def _guard(value: object, key: str) -> Guard:
    return _one_of(Guard, value, key, "guard")


def _recovery(value: object, key: str) -> Recovery:
    if isinstance(value, Recovery):
        return value
    if not isinstance(value, str):
        raise InvalidRequest(
            {key: f"{_shown(value)} is no recovery; write wait, move:10m or raise:10m"}
        )
    word, colon, after = value.partition(":")
    how = _one_of(Recover, word, key, "recovery")
    if how is Recover.WAIT:
        if colon:
            raise InvalidRequest({key: f"{_shown(value)}: waiting has no time after which it acts"})
        return Recovery()
    return Recovery(how, parse_duration(after if colon else "10m", field=key))


def _secrets(value: object, key: str) -> tuple[Secret, ...]:
    if isinstance(value, (str, Secret)):
        value = [value]
    if isinstance(value, Mapping):
        value = [f"{name}={keeper}" for name, keeper in value.items()]
    if not isinstance(value, Sequence):
        raise InvalidRequest({key: f"{_shown(value)} is no list of names such as 'WANDB_API_KEY'"})
    return tuple(_each(_items(value, key), _secret))


def _secret(value: object, path: str) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise InvalidRequest({path: f"{_shown(value)} is no name of a secret"})
    name, equals, keeper = value.partition("=")
    if not equals:
        return Secret(name)
    if keeper not in {each.value for each in Keeper}:  # it may be the secret itself
        raise InvalidRequest(
            {
                path: "a secret says where its value is kept, such as NAME=env or NAME=keyring, never the value"
            }
        )
    return Secret(name, Keeper(keeper))


def _one_of(words: type[_Word], value: object, key: str, what: str) -> _Word:
    known = {each.value: each for each in words}
    if isinstance(value, words):
        return value
    if isinstance(value, str) and value in known:
        return known[value]
    near = nearest(value, known) if isinstance(value, str) else None
    advice = f"nearest is {near!r}" if near else "write " + " or ".join(map(repr, known))
    raise InvalidRequest({key: f"{_shown(value)} is no {what}; {advice}"})


def _items(values: Sequence[object], key: str) -> list[tuple[str, object]]:
    return [(f"{key}[{place}]", value) for place, value in enumerate(values)]


def _entries(values: Mapping[object, object], key: str) -> list[tuple[str, tuple[object, object]]]:
    return [(f"{key}.{name}", (name, value)) for name, value in values.items()]


def _each(located: list[tuple[str, _Raw]], read: Callable[[_Raw, str], _Done]) -> list[_Done]:
    """Read every value, and raise all their problems together."""
    problems: dict[str, str] = {}
    done: list[_Done] = []
    for path, value in located:
        try:
            done.append(read(value, path))
        except InvalidRequest as error:
            problems.update(error.problems)
    if problems:
        raise InvalidRequest(problems)
    return done


def _shown(value: object) -> str:
    """Quote a value, cut where it is long."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**60 else "that number"
    return text if len(text) <= 60 else text[:59] + "…"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


#: field of TaskSpec -> what reads it.
READERS: dict[str, Callable[[object, str], object]] = {
    "command": _command,
    "name": _word,
    "instance_type": _shape,
    "num_instances": _count,
    "max_price": _price,
    "bid_policy": _policy,
    "region": _word,
    "image": _word,
    "env": _env,
    "mounts": _mounts,
    "working_dir": _word,
    "code": _word,
    "run_on": _run_on,
    "keep": _truth,
    "max_run_time": _duration,
    "max_spend": _spend,
    "reservation": _word,
    "after": _after,
    "options": _options,
    "secrets": _secrets,
    "environment": _environment,
    "idle_timeout": _duration,
    "guard": _guard,
    "retries": _count,
    "recovery": _recovery,
    "checkpoint": _word,
    "notice_signal": _signal,
}
