"""Plug-ins by entry point: which providers and command groups are installed, and how to get at one.

Finding reads the `entry_points.txt` of what is installed and imports nothing, so a broken plug-in is found like any
other and tells what is wrong with it when it is asked for. The files are read directly: `importlib.metadata` takes ten
times as long, most of it to import itself, in every command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import frozen

from flow_core.domain.spelling import nearest
from flow_core.errors import Misconfigured

if TYPE_CHECKING:
    from flow_core.ports.provider import Provider, ProviderContext

PROVIDERS = "flow.providers"
COMMANDS = "flow.commands"


@frozen
class Plugin:
    """An entry point: `target` is `module:attribute`, `distribution` what brought it, as its folder is called."""

    name: str
    target: str
    distribution: str


def plugins(group: str, *, path: Iterable[str] | None = None) -> dict[str, Plugin]:
    """Return the plug-ins of `group` on `path` (`sys.path`), sorted by name; of one name the first found counts."""
    found: dict[str, Plugin] = {}
    for folder in dict.fromkeys(sys.path if path is None else path):
        for distribution, text in _entry_point_files(folder or ".", group):
            for name, target in _entries(text, group):
                found.setdefault(name, Plugin(name, target, distribution))
    return dict(sorted(found.items()))


def provider_names() -> list[str]:
    """Return the names of the installed providers, broken ones included."""
    return list(plugins(PROVIDERS))


def load(name: str) -> Callable[[ProviderContext], Provider]:
    """Return what connects to the provider of that name.

    Raises:
        Misconfigured: there is none, naming the nearest; or it can't be imported, with the reason in one line.
    """
    known = plugins(PROVIDERS)
    if name not in known:
        near = nearest(name, known)
        raise Misconfigured(
            f"no provider is named {name!r}" + (f"; nearest is {near!r}" if near else ""),
            hint="installed: " + (", ".join(known) or "none"),
        )
    connect: Callable[[ProviderContext], Provider] = load_plugin(known[name], what="provider")
    return connect


def load_plugin(plugin: Plugin, *, what: str) -> Any:
    """Import a plug-in and return what its entry point names, something that can be called.

    Raises:
        Misconfigured: its module raises, lacks the name, or has something else there.
    """
    from importlib import import_module

    module, _, attribute = plugin.target.partition(":")
    title = f"the {what} {plugin.name!r} ({plugin.target}, from {plugin.distribution})"
    hint = "mend or uninstall the distribution that brings it; the others work"
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything
        words = " ".join(str(error).split())
        raise Misconfigured(
            f"{title} can't be loaded: {type(error).__name__}: {words}", hint=hint
        ) from error
    if not callable(found):
        raise Misconfigured(
            f"{title} is a {type(found).__name__}, which can't be called", hint=hint
        )
    return found


def _entry_point_files(folder: str, group: str) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))
            )
    except OSError:
        return
    for name in names:
        try:
            with open(f"{folder}/{name}/entry_points.txt", "rb") as file:  # noqa: PTH123  # a hundred of them
                content = file.read()
        except OSError:
            continue
        if group.encode() in content:
            yield name.rpartition(".")[0], content.decode("utf-8", "replace")


def _entries(text: str, group: str) -> Iterator[tuple[str, str]]:
    is_inside = False
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            is_inside = line == f"[{group}]"
        elif is_inside and not line.startswith(("#", ";")):
            name, equals, target = line.partition("=")
            if equals and name.strip():
                yield name.strip(), target.partition("[")[0].strip()
