"""Command groups that other distributions bring, found by their entry points in the group `flow.commands`.

`flow --help` names them all, and is measured against `import click`, which costs about as much as importing
`importlib.metadata` and asking it. So the installed `entry_points.txt` files are read directly: one listing of each
folder on the path, and only files that mention the group are looked at closer. A group's line in the help is the first
line of its module's docstring, read from the file and not run; a broken plug-in therefore still shows, and says what
is wrong when it is called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import NamedTuple

import click

GROUP = "flow.commands"
#: How much of a module is read for its first line.
_HEAD_BYTES = 2_000


class Plugin(NamedTuple):
    """A command by entry point: `target` is `module:attribute`."""

    name: str
    target: str

    @property
    def summary(self) -> str:
        """One line of help: the first of its module's docstring, or where it comes from."""
        return (
            _first_line(self.target.partition(":")[0])
            or f"commands from {self.target.partition(':')[0]}"
        )

    def load(self) -> click.Command:
        """Import it and return its command.

        Raises:
            Misconfigured: it can't be imported, or is no click command.
        """
        from importlib import import_module

        from flow_core.errors import Misconfigured

        module, _, attribute = self.target.partition(":")
        try:
            found = getattr(import_module(module), attribute)
        except Exception as trouble:  # a stranger's module may raise anything
            raise Misconfigured(
                f"the plug-in command {self.name!r} ({self.target}) can't be loaded:"
                f" {type(trouble).__name__}: {trouble}",
                hint="mend or uninstall the distribution that brings it; every other command works",
            ) from trouble
        if not isinstance(found, click.Command):
            raise Misconfigured(
                f"the plug-in command {self.name!r} ({self.target}) is a {type(found).__name__}, not a click command",
                hint="its entry point must name a click.Command or click.Group",
            )
        return found


def plugins(path: Iterable[str] | None = None) -> dict[str, Plugin]:
    """Return the plug-in commands of every distribution on `path` (`sys.path`), by name; the first of a name counts."""
    found: dict[str, Plugin] = {}
    for folder in dict.fromkeys(sys.path if path is None else path):
        for text in _entry_point_files(folder or "."):
            for plugin in _read(text):
                found.setdefault(plugin.name, plugin)
    return dict(sorted(found.items()))


def _entry_point_files(folder: str) -> Iterable[str]:
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))
            ]
    except OSError:
        return
    for name in names:
        try:
            with open(f"{folder}/{name}/entry_points.txt", "rb") as file:  # noqa: PTH123  (pathlib costs a third of the budget)
                raw = file.read()
        except OSError:
            continue
        if GROUP.encode() in raw:
            yield raw.decode("utf-8", "replace")


def _read(text: str) -> Iterable[Plugin]:
    inside = False
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            inside = line == f"[{GROUP}]"
        elif inside and "=" in line and not line.startswith(("#", ";")):
            name, _, target = line.partition("=")
            yield Plugin(name.strip(), target.partition("[")[0].strip())


def _first_line(module: str) -> str:
    parts = module.replace(".", "/")
    for folder in sys.path:
        for candidate in (f"{folder or '.'}/{parts}.py", f"{folder or '.'}/{parts}/__init__.py"):
            try:
                with open(candidate, "rb") as file:  # noqa: PTH123  (as above)
                    head = file.read(_HEAD_BYTES).decode("utf-8", "replace")
            except OSError:
                continue
            return _docstring_line(head)
    return ""


def _docstring_line(head: str) -> str:
    text = head.lstrip()
    for quotes in ('"""', "'''"):
        if text.startswith(quotes):
            return text[3:].lstrip().partition("\n")[0].partition(quotes)[0].strip().rstrip(".")
    return ""
