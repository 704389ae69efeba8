"""Settings from the user's file, the project's file and the environment, each with where it stands.

The only file that knows which variables and files there are. Files are TOML: read by the standard library, changed by
tomlkit, so that comments stay.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flow_adapters.files import write_whole
from flow_adapters.places import home_dir, shown, user_settings
from flow_core.domain.settings import (
    SETTINGS,
    Layer,
    Scope,
    Settings,
    find_setting,
    plain,
    read,
    resolve,
)
from flow_core.errors import InvalidRequest, Misconfigured

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT_FILE = "flow.toml"
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TABLE = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)


def load_settings(
    environ: Mapping[str, str], *, cwd: Path, explicit: Iterable[Layer] = ()
) -> Settings:
    """Return the settings in force in `cwd`: defaults, user's file, project's file, environment, `explicit`.

    Raises:
        Misconfigured: a file can't be read, or holds something that can't be; the message names file and line.
    """
    layers = [file_layer(user_settings(environ), Scope.USER, environ)]
    project = project_file(cwd, environ)
    if project is not None:
        layers.append(file_layer(project, Scope.PROJECT, environ))
    return resolve([*layers, environment_layer(environ), *explicit])


def project_file(cwd: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the nearest `flow.toml` in `cwd` or above, up to a repository's root or the user's home; None without.

    One above `cwd` that belongs to another user counts for nothing: anyone may put a file into a shared folder.
    """
    home, start = home_dir(environ), cwd.absolute()
    for folder in (start, *start.parents):
        candidate = folder / PROJECT_FILE
        if candidate.is_file() and (folder == start or _is_ours(candidate)):
            return candidate
        if folder == home or (folder / ".git").exists():
            return None
    return None


def file_layer(path: Path, scope: Scope, environ: Mapping[str, str]) -> Layer:
    """Return what a file sets, each value with its line; nothing where there is no file.

    Raises:
        Misconfigured: it can't be read, or isn't TOML; the message names file, line and column.
    """
    name = shown(path, environ)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return Layer(name, {}, scope=scope)
    except OSError as error:
        raise Misconfigured(
            f"{name} can't be read: {error.strerror}", hint="mend its permissions, or move it away"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise Misconfigured(
            f"{name}:{line}: holds bytes that are not UTF-8", hint="save it as UTF-8"
        ) from error
    values = dict(_flat(_parsed(text, name)))
    lines = dict(_lines(text))
    return Layer(
        name,
        values,
        origins={key: f"{name}:{lines[key]}" for key in values if key in lines},
        scope=scope,
    )


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Return what the environment sets; an empty variable sets nothing."""
    values, origins = {}, {}
    for setting in SETTINGS.values():
        for variable in setting.environment:
            if environ.get(variable):
                values[setting.name] = environ[variable]
                origins[setting.name] = f"environment {variable}"
                break
    return Layer("environment", values, origins=origins, scope=Scope.ENVIRONMENT)


def set_setting(path: Path, name: str, value: object) -> object:
    """Write a setting into a file and return its value; None takes it out. Comments and everything else stay.

    Raises:
        InvalidRequest: there is no such setting, or the value can't be one.
        Misconfigured: the file is no TOML, or can't be written.
        NoRoom: the disk is full; the file is as it was.
    """
    setting = find_setting(name)
    if setting.secret:
        raise InvalidRequest(
            {
                name: f"is a secret, which no file of settings holds; use {setting.environment[0]} or the keyring"
            }
        )
    meant = None if value is None else read(setting, value)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} can't be read: {error}", hint="mend or move it") from error
    _parsed(text, str(path))
    write_whole(path, _edited(text, name, plain(meant), path).encode())
    return meant


def _edited(text: str, name: str, value: object, path: Path) -> str:
    import tomlkit

    document: Any = tomlkit.parse(text)
    table = document
    *outer, key = name.split(".")
    for part in outer:
        if part not in table:
            if value is None:
                return text
            table[part] = tomlkit.table()
        table = table[part]
        if not isinstance(table, dict):
            raise Misconfigured(
                f"{path}: {part!r} is no table, so {name!r} has no place", hint="mend it by hand"
            )
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
    return tomlkit.dumps(document)


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what = str(error)
        place = _PLACE.search(what)
        line, column = (
            (place[1], place[2]) if place and place[1] else (str(text.count("\n") + 1), "1")
        )
        what = what[: place.start()] if place else what
        raise Misconfigured(
            f"{name}:{line}:{column}: {what[:1].lower()}{what[1:]}",
            hint="the file is TOML: NAME = VALUE, text in quotes",
        ) from error
    return parsed


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """Yield each dotted name that is set, with its line; text over several lines may hide one, and no more."""
    prefix = ""
    for number, line in enumerate(text.splitlines(), start=1):
        table, key = _TABLE.match(line), _KEY.match(line)
        if key:
            yield prefix + _unquoted(key[1]), number
        elif table:
            prefix = _unquoted(table[1]) + "."


def _unquoted(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def _is_ours(path: Path) -> bool:
    if sys.platform == "win32":
        return True
    import os

    return path.stat().st_uid in (0, os.getuid())
