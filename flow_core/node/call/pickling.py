"""Calls as bytes, on both ends: cloudpickle, errors that name the path of what it refuses, and project classes by name.

Python 3.8; needs cloudpickle, which travels beside it.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from typing import Any

#: Travels beside this module in the worker's program, so no node needs to have it.
cloudpickle: Any = importlib.import_module("cloudpickle")
PROTOCOL = 5
_DEEPEST = 6
_WIDEST = 1000


class Unpicklable(Exception):
    """Something that can't travel: `path` says which part, `why` is pickle's word."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__("%s can't be pickled: %s" % (path, why))
        self.path = path
        self.why = why


class RemoteTraceback(Exception):
    """The traceback of an exception on a node, as text: the cause of what the caller gets."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return "\n\n" + self.text


def named(module: str, qualname: str) -> Any:
    """Return what a module calls so."""
    found: Any = sys.modules.get(module) or importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


class _ToCaller(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles for whoever has the project: its classes go by name, so that they come out as the caller's own."""

    def __init__(self, file: Any, ours: Any) -> None:
        super().__init__(file, protocol=PROTOCOL)
        self._ours = ours

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and obj.__module__ in self._ours and "<" not in obj.__qualname__:
            return named, (obj.__module__, obj.__qualname__)
        return super().reducer_override(obj)


def dump(value: Any, file: Any, name: str, ours: Any = ()) -> None:
    """Pickle `value` into `file`; `ours` are modules that only the other side has.

    Raises:
        Unpicklable: with the path, from `name` on, of what can't.
    """
    try:
        _ToCaller(file, ours).dump(value)
    except (BrokenPipeError, MemoryError):
        raise
    except Exception as error:
        raise Unpicklable(*_culprit(value, name, error, _DEEPEST)) from error


def dumps(value: Any, name: str, ours: Any = ()) -> bytes:
    """Return `value` pickled; see `dump`."""
    file = io.BytesIO()
    dump(value, file, name, ours)
    return file.getvalue()


def loads(data: Any) -> Any:
    """Return what bytes hold."""
    return pickle.loads(data)


def _culprit(value: Any, path: str, error: Exception, depth: int) -> tuple[str, str]:
    """Return the path of the innermost part that is to blame, and what pickle says of it."""
    parts = _parts(value, path)[:_WIDEST] if depth else []
    for name, part in parts:
        try:
            cloudpickle.dumps(part, protocol=PROTOCOL)
        except Exception as inner:
            return _culprit(part, name, inner, depth - 1)
    return path, "%s (%s)" % (str(error) or type(error).__name__, type(value).__name__)


def _parts(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [("%s[%r]" % (path, key), part) for key, part in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [("%s[%d]" % (path, at), part) for at, part in enumerate(value)]
    found: list[tuple[str, Any]] = []
    code = getattr(value, "__code__", None)
    if code is not None:
        cells = zip(code.co_freevars, getattr(value, "__closure__", None) or ())
        found += [("%s.<%s>" % (path, name), cell.cell_contents) for name, cell in cells]
        world = getattr(value, "__globals__", {})
        found += [
            ("%s.<%s>" % (path, each), world[each]) for each in code.co_names if each in world
        ]
        return found
    if isinstance(value, type):
        return found
    for name, part in (getattr(value, "__dict__", None) or {}).items():
        found.append(("%s.%s" % (path, name), part))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                found.append(("%s.%s" % (path, name), getattr(value, name)))
    return found
