"""A task in a YAML file: read with the line of each problem, and written so that it reads back the same.

Scalars mean what they look like: `true`, `false`, `null` and nothing are themselves, everything else is text as it
was written. So `FOO: 1.10` is '1.10', `region: no` is 'no', and a price is read to the cent, never through a float.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from flow_adapters.files import write_whole
from flow_core.domain.spelling import nearest
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import task_from_mapping, task_to_mapping
from flow_core.errors import InvalidRequest

#: More values than any task has; aliases can make a small file larger than memory.
_MOST_VALUES = 20_000
_CORE = "tag:yaml.org,2002:"
#: What YAML 1.1 counts as the end of a line besides the newline; only an escape keeps it.
_BREAKS = "\r\x85\u2028\u2029"
_WRITTEN = frozenset(_CORE + each for each in ("str", "int", "float", "timestamp"))


def read_task_file(path: Path) -> TaskSpec:
    """Return the task that a file describes.

    Raises:
        InvalidRequest: with every problem there is, each under `FILE:LINE: FIELD`.
    """
    return _Reading(path).task()


def read_task(path: Path) -> Mapping[str, object]:
    """Return the raw form of the task that a file describes, once it is known to be one.

    Raises:
        InvalidRequest: as `read_task_file` does.
    """
    reading = _Reading(path)
    reading.task()
    return reading.raw


def write_task_file(path: Path, spec: TaskSpec) -> None:
    """Write `spec` into a file, as `read_task_file` reads it.

    Raises:
        NoRoom, Misconfigured: as `write_whole` does.
    """
    write_whole(path, task_text(spec).encode("utf-8"))


def task_text(spec: TaskSpec) -> str:
    """Return `spec` as YAML, in its smallest form."""
    text: str = yaml.dump(
        task_to_mapping(spec), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000
    )
    return text


class _Reading:
    """One file on its way to a task: its values, and where each stands."""

    def __init__(self, path: Path) -> None:
        self._name = str(path)
        self._lines: dict[str, int] = {}
        self._values = 0
        self._problems: dict[str, str] = {}
        node = self._composed(_text(path))
        raw = {} if node is None else self._value(node, "", ())
        if not isinstance(raw, dict):
            self._refuse(
                self._name,
                "holds no mapping; write FIELD: VALUE, such as 'command: python train.py'",
            )
            raw = {}
        self.raw: dict[str, object] = raw

    def task(self) -> TaskSpec:
        """Return the task, or raise all that is wrong with the file."""
        if self._problems and not self.raw:
            raise InvalidRequest(self._problems)
        try:
            spec = task_from_mapping(self.raw)
        except InvalidRequest as error:
            told = {self._located(field): text for field, text in error.problems.items()}
            raise InvalidRequest({**self._problems, **told}, hint=error.hint) from None
        if self._problems:
            raise InvalidRequest(self._problems)
        return spec

    def _composed(self, text: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{self._name}:{mark.line + 1}:{mark.column + 1}" if mark else self._name
            raise InvalidRequest({place: error.problem or error.context or "is no YAML"}) from error
        except yaml.YAMLError as error:
            line = text.count("\n", 0, getattr(error, "position", 0)) + 1
            raise InvalidRequest(
                {f"{self._name}:{line}": "holds a character that YAML can't"}
            ) from error
        except RecursionError as error:
            raise InvalidRequest({self._name: "is nested too deeply"}) from error

    def _value(self, node: yaml.Node, path: str, above: tuple[int, ...]) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES or id(node) in above:
            raise InvalidRequest({self._place(node): "refers to itself, or to far too much"})
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        inside = (*above, id(node))
        if isinstance(node, yaml.SequenceNode):
            return [
                self._item(each, f"{path}[{number}]", inside)
                for number, each in enumerate(node.value)
            ]
        return self._mapping(node, path, inside)

    def _item(self, node: yaml.Node, path: str, above: tuple[int, ...]) -> Any:
        self._lines[path] = node.start_mark.line + 1
        return self._value(node, path, above)

    def _mapping(self, node: yaml.Node, path: str, above: tuple[int, ...]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(self._place(key_node), "a key must be a plain text")
                continue
            key = key_node.value
            place = f"{path}.{key}" if path else key
            if key in found:
                first = self._lines[place]
                self._refuse(
                    f"{self._place(key_node)}: {place}",
                    f"is set on line {first} already; keep one of them",
                )
                continue
            self._lines[place] = key_node.start_mark.line + 1
            found[key] = self._value(value_node, place, above)
        return found

    def _scalar(self, node: yaml.ScalarNode, path: str) -> object:
        if node.tag == _CORE + "null":
            return None
        if node.tag == _CORE + "bool":
            return node.value.lower() == "true"
        if node.tag not in _WRITTEN:
            self._refuse(
                f"{self._place(node)}: {path}",
                f"has the tag {node.tag!r}, which means nothing here",
            )
        return node.value

    def _located(self, field: str) -> str:
        """Return where a field stands: its own line, else that of what it is in."""
        path = field
        while path and path not in self._lines:
            path = re.sub(r"(\.[^.\[]*|\[[^\[]*|^[^.\[]*)$", "", path)
        return f"{self._name}:{self._lines[path]}: {field}" if path else f"{self._name}: {field}"

    def _place(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"

    def _refuse(self, place: str, text: str) -> None:
        self._problems[place] = text


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        others = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        near = nearest(path.name, others)
        advice = f"; nearest is {str(path.with_name(near))!r}" if near else ""
        raise InvalidRequest({str(path): f"there is no such file{advice}"}) from None
    except OSError as error:
        raise InvalidRequest({str(path): f"can't be read: {error.strerror}"}) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidRequest(
            {f"{path}:{line}": "holds bytes that are not UTF-8; save it as UTF-8"}
        ) from error


class _Loader(yaml.SafeLoader):
    """Composes nodes whose plain scalars are truths, nulls or text."""


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(
    _CORE + "bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")
)
_Loader.add_implicit_resolver(
    _CORE + "null", re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]
)


class _Dumper(yaml.SafeDumper):
    """Writes numbers without exponents, and quotes what another reader of YAML might not take for text."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything where it stands."""
        return True


def _decimal(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    return dumper.represent_scalar(_CORE + "float", f"{value:.6f}".rstrip("0"))


def _quoted_where_needed(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None
    if any(char in value for char in _BREAKS):
        style = '"'
    elif "\n" in value:
        style = "|"
    return dumper.represent_scalar(_CORE + "str", value, style=style)


_Dumper.add_representer(float, _decimal)
_Dumper.add_representer(str, _quoted_where_needed)
