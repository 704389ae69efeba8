"""The raw form of a task: a mapping of plain values, as YAML, the command line and `flow.run` give it.

Reading collects every problem before it raises, each under the key that the user wrote; a problem inside a list or
mapping is keyed by its path, such as `env.DEBUG` or `mounts[1]`, so that a file's reader can name the line. A key
whose value is None counts as left out.

Variables are text. A number is taken as it was written (`WORKERS: 4` is '4'), because nobody means anything else;
true, false and null are refused, because programs disagree on how they are spelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from enum import Enum

from attrs import fields

from flow_core.domain.duration import format_duration
from flow_core.domain.money import Price, Spend
from flow_core.domain.shape import InstanceShape
from flow_core.domain.spelling import nearest
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_fields import READERS
from flow_core.domain.task_parts import Condition, Dependency, Mount, Recovery, Secret
from flow_core.errors import InvalidRequest

#: Fields that are written under another key.
_WRITTEN = {"max_price": "max_price_per_hour"}
#: key -> the field of TaskSpec that it sets.
KEYS: dict[str, str] = {
    **{_WRITTEN.get(each.name, each.name): each.name for each in fields(TaskSpec)},
    "max_price": "max_price",
    "max_price_per_gpu_hour": "max_price",
    "gpu": "instance_type",
}
#: Words that other tools use, and ours; only for telling the nearest right spelling.
_FOREIGN = {
    "args": "command",
    "cmd": "command",
    "entrypoint": "command",
    "run": "command",
    "script": "command",
    "env_vars": "env",
    "max_restarts": "retries",
    "max_retries": "retries",
    "requirements": "environment",
    "conda": "environment",
    "idle": "idle_timeout",
    "gpus": "gpu",
    "gpu_type": "gpu",
    "accelerators": "gpu",
    "instances": "num_instances",
    "nodes": "num_instances",
    "num_nodes": "num_instances",
    "replicas": "num_instances",
    "price": "max_price_per_hour",
    "policy": "bid_policy",
    "timeout": "max_run_time",
    "time": "max_run_time",
    "budget": "max_spend",
    "volumes": "mounts",
    "workdir": "working_dir",
    "cwd": "working_dir",
    "depends_on": "after",
    "dependencies": "after",
    "docker_image": "image",
    "container": "image",
}


def task_from_mapping(raw: Mapping[str, object]) -> TaskSpec:
    """Return the task that `raw` describes; values may be plain or already of the domain's own types.

    Raises:
        InvalidRequest: with every problem there is, unknown keys included.
    """
    problems: dict[str, str] = {}
    hints: list[str] = []
    found: dict[str, object] = {}
    written: dict[str, str] = {}
    for key, value in raw.items():
        name = KEYS.get(key)
        if name is None:
            problems[str(key)] = _unknown(key)
        elif value is None:
            continue
        elif name in written:
            problems[key] = f"says the same as {written[name]!r}; keep one of them"
        else:
            written[name] = key
            try:
                found[name] = READERS[name](value, key)
            except InvalidRequest as error:
                problems.update(error.problems)
                hints += [error.hint] if error.hint else []
    if written.get("max_price") == "max_price_per_gpu_hour" and "max_price" in found:
        _make_per_instance(found, written, problems)
    if "command" not in written:
        problems["command"] = "is missing; it says what to run"
    spec = _built(found, written, problems)
    if spec is None or problems:
        raise InvalidRequest(_in_order(problems, raw), hint=hints[0] if hints else None)
    return spec


def task_to_mapping(spec: TaskSpec) -> dict[str, object]:
    """Return `spec` in plain JSON types, defaults left out; `task_from_mapping` reads it back as it was.

    The one exception is a GPU family that only a provider knows: it is written, and not read.
    """
    plain: dict[str, object] = {}
    for each in fields(TaskSpec):
        value = getattr(spec, each.name)
        if value != each.default and value != {}:
            said = str(value) if each.name == "bid_policy" else _plain(value)
            plain[_WRITTEN.get(each.name, each.name)] = said
    return plain


def shape_to_text(shape: InstanceShape) -> str:
    """Write a shape so that it reads back the same, its memory included where it was told."""
    text = str(shape)
    if shape.memory_gb is not None and not text.endswith("gb"):
        return f"{text}-{shape.memory_gb}gb"
    return text


def _built(
    found: dict[str, object], written: dict[str, str], problems: dict[str, str]
) -> TaskSpec | None:
    """Return the spec, or None; adds to `problems` what the spec's own rules say of what could be read."""
    arguments = {"command": "true", **found}
    try:
        return TaskSpec(**arguments)  # type: ignore[arg-type]  # each reader returns its field's type
    except InvalidRequest as error:
        for key, text in error.problems.items():
            problems.setdefault(written.get(KEYS.get(key, key), key), text)
        return None


def _in_order(problems: dict[str, str], raw: Mapping[str, object]) -> dict[str, str]:
    places = {str(key): place for place, key in enumerate(raw)}

    def place(path: str) -> int:
        return places.get(path, places.get(path.partition(".")[0].partition("[")[0], len(places)))

    return {path: problems[path] for path in sorted(problems, key=place)}


def _unknown(key: object) -> str:
    if not isinstance(key, str):
        return f"{key!r} is no field of a task; fields are named by text"
    word = key.strip().lower().replace("-", "_")
    near = nearest(word, [*KEYS, *_FOREIGN])
    near = _FOREIGN.get(near, near) if near else None
    return "is no field of a task" + (f"; nearest is {near!r}" if near else "")


def _make_per_instance(
    found: dict[str, object], written: dict[str, str], problems: dict[str, str]
) -> None:
    key = "max_price_per_gpu_hour"
    price, shape = found.pop("max_price"), found.get("instance_type")
    assert isinstance(price, Price)
    if not isinstance(shape, InstanceShape):
        if "instance_type" not in written:
            problems[key] = "needs an instance_type, to know how many GPUs one has"
    elif shape.type_id is not None:
        problems[key] = f"{shape} doesn't say how many GPUs it has; use max_price_per_hour"
    elif shape.gpus == 0:
        problems[key] = f"{shape} has no GPU; use max_price_per_hour"
    else:
        try:
            found["max_price"] = Price.parse(Decimal(price.micros * shape.gpus) / 10**6, field=key)
        except InvalidRequest as error:
            problems.update(error.problems)


def _plain(value: object) -> object:
    if type(value) in (str, int, bool, float):
        return value
    if isinstance(value, InstanceShape):
        return shape_to_text(value)
    if isinstance(value, (Price, Spend)):
        dollars, rest = divmod(value.micros, 10**6)
        return value.micros / 10**6 if rest else dollars
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Recovery):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    return _plain_items(value) if isinstance(value, tuple) else value


def _plain_items(items: tuple[object, ...]) -> object:
    mounts = [item for item in items if isinstance(item, Mount)]
    if mounts and not any(mount.read_only for mount in mounts):
        return {mount.path: mount.source for mount in mounts}
    return [_plain_item(item) for item in items]


def _plain_item(item: object) -> object:
    if isinstance(item, Mount):
        plain: dict[str, object] = {"path": item.path, "source": item.source}
        return {**plain, "read_only": True} if item.read_only else plain
    if isinstance(item, Dependency):
        return item.task if item.condition is Condition.OK else str(item)
    return str(item) if isinstance(item, Secret) else item
