"""What a folder holds, minus what its ignore files name.

With a `.flowignore` in the folder, those at any depth count and git's don't; else every `.gitignore` does, those
between the folder and the root of its repository included. `.git` is always left out, and so is what is neither file,
folder nor link. Whether git tracks a file makes no difference.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from flow_adapters.ignoring import IgnoreRules
from flow_core.errors import InvalidRequest

OURS, GITS = b".flowignore", b".gitignore"
#: More entries than any folder of code has; beyond it, a home folder or a data set was meant by mistake.
MOST_ENTRIES = 500_000

#: An ignore file's rules and the length of what to cut off a path to see it from that file's folder.
_Rules = tuple[tuple[int, IgnoreRules], ...]


class Found(NamedTuple):
    """One thing in a folder: `path` is relative to it, in bytes, `/` between parts; `mode` is as the system says.

    `seen` changes with a file: its size, both times of change in ns, and its number.
    """

    path: bytes
    mode: int
    size: int
    seen: tuple[int, ...] = ()


def walk(folder: Path, *, without: Path | None = None) -> list[Found]:
    """Return what `folder` holds, sorted by path, each folder before what is in it; `without` and all in it left out.

    Raises:
        InvalidRequest: something in it can't be read, or there is far too much of it.
    """
    top = os.fsencode(folder)
    name = OURS if os.path.lexists(top + b"/" + OURS) else GITS
    base, rules = _rules_above(folder) if name == GITS else (b"", ())
    hidden = None
    if without is not None and without.is_relative_to(folder):
        hidden = os.fsencode(without.relative_to(folder))
    found: list[Found] = []
    pending: list[tuple[bytes, _Rules]] = [(b"", rules)]
    while pending:
        relative, rules = pending.pop()
        rules = _with_rules_of(top, relative, base, name, rules)
        for entry in _listed(top, relative):
            path = relative + entry.name
            if entry.name == b".git" or path == hidden:
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            if rules and _is_ignored(base + path, entry.name, is_folder, rules):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # it has gone since the folder was listed
            except OSError as error:
                raise unreadable(path, error) from error
            if is_folder:
                pending.append((path + b"/", rules))
            elif not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                continue
            size = 0 if is_folder else status.st_size
            found.append(Found(path, status.st_mode, size, seen_of(status)))
        if len(found) > MOST_ENTRIES:
            raise InvalidRequest(
                {"code": f"{str(folder)!r} holds over {MOST_ENTRIES:,} files"},
                hint="name the folder of your code, or list what to leave out in a .flowignore there",
            )
    found.sort(key=lambda each: each.path)
    return found


def _listed(top: bytes, relative: bytes) -> list[os.DirEntry[bytes]]:
    try:
        with os.scandir(top + b"/" + relative) as entries:
            return list(entries)
    except OSError as error:
        raise unreadable(relative or b".", error) from error


def seen_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes with a file; see `Found.seen`."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def unreadable(path: bytes, error: OSError) -> InvalidRequest:
    """Return what to say of something in the folder that can't be read."""
    return InvalidRequest(
        {"code": f"{os.fsdecode(path)!r} can't be read: {error.strerror or error}"},
        hint="mend its permissions, or leave it out with a line in .flowignore",
    )


def _with_rules_of(top: bytes, relative: bytes, base: bytes, name: bytes, rules: _Rules) -> _Rules:
    content = _content(top + b"/" + relative + name)
    return ((len(base + relative), IgnoreRules(content)), *rules) if content else rules


def _rules_above(folder: Path) -> tuple[bytes, _Rules]:
    """Return the folder's place below its repository's root, with a final slash, and the rules on the way."""
    outer = [folder, *folder.parents]
    root = next((each for each in outer if os.path.lexists(each / ".git")), None)
    if root is None or root == folder:
        return b"", ()
    rules: _Rules = ()
    for each in reversed(outer[1 : outer.index(root) + 1]):
        content = _content(os.fsencode(each) + b"/" + GITS)
        if content:
            rules = ((len(_below(each, root)), IgnoreRules(content)), *rules)
    return _below(folder, root), rules


def _below(folder: Path, root: Path) -> bytes:
    return b"".join(os.fsencode(part) + b"/" for part in folder.relative_to(root).parts)


def _content(path: bytes) -> bytes:
    """Return an ignore file's content; nothing for a link or a folder of that name, as with git."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return b""
        with open(path, "rb") as file:  # noqa: PTH123  # bytes
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise unreadable(path, error) from error


def _is_ignored(path: bytes, name: bytes, is_folder: bool, rules: _Rules) -> bool:
    for start, each in rules:
        verdict = each.verdict(path[start:], name, is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False
