"""What travels to a worker: the program, and functions and arguments as bytes."""

from __future__ import annotations

import io
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from attrs import frozen

from flow_adapters.node_files import load_kit
from flow_core.errors import InvalidRequest
from flow_core.node.call import frames, pickling
from flow_core.services.calls import PROGRAM

_AGE = (2026, 1, 1, 0, 0, 0)
_OURS = ("flow", "flow_core", "flow_adapters", "flow_cli", "flow_providers", "cloudpickle")
_registering = threading.Lock()
_known: dict[str, int] = {}


@frozen(eq=False)
class PackedFunction:
    """A function as bytes, named by their digest, and the modules that only this process has."""

    digest: bytes
    data: bytes
    ours: tuple[str, ...]


def packed_function(raw: Callable[..., Any], name: str) -> PackedFunction:
    """Return `raw` pickled: by value if it is of `__main__` or the project, else by reference.

    Raises:
        InvalidRequest: something that it refers to can't be pickled; the message says which.
    """
    import hashlib

    ours = project_modules()
    data = _pickled(raw, name)
    return PackedFunction(hashlib.sha256(data).digest(), data, ours)


def packed_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Return arguments pickled.

    Raises:
        InvalidRequest: naming the path of what can't be.
    """
    project_modules()
    try:
        return small_enough(pickling.dumps((args, kwargs), "arguments"), "arguments")
    except pickling.Unpicklable as problem:
        path = problem.path.removeprefix("arguments")
        path = f"args{path[3:]}" if path.startswith("[0]") else f"kwargs{path[3:]}"
        raise _refusal(path, problem.why, "arguments") from problem


def project_modules() -> tuple[str, ...]:
    """Have the project's modules pickled by value from now on; return their names, `__main__` first.

    They are those whose files are in no folder of installed packages, and not of Flow itself.
    """
    import cloudpickle

    with _registering:
        if _known.get("modules") != len(sys.modules):
            for name, module in list(sys.modules.items()):
                if name == "__main__" or name in _known or not _is_project(name, module):
                    continue
                cloudpickle.register_pickle_by_value(module)
                _known[name] = 1
            _known["modules"] = len(sys.modules)
        return ("__main__", *(name for name in _known if name != "modules"))


@contextmanager
def program_folder() -> Iterator[str]:
    """Make a folder with the program that workers run, for as long as it takes to pack it."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="flow-call-") as folder:
        Path(folder, PROGRAM).write_bytes(load_program())
        yield folder


@cache
def load_program() -> bytes:
    """Return the zip that Python runs as worker, door and server: the kit, and cloudpickle's source."""
    import cloudpickle

    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(load_kit())) as kit,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        texts = {name: kit.read(name) for name in kit.namelist()}
        texts["__main__.py"] = b"from flow_core.node.call.launch import main\nmain()\n"
        texts["flow_core/node/call/__init__.py"] = b""
        for file in sorted(Path(cloudpickle.__file__).parent.glob("*.py")):
            texts[f"cloudpickle/{file.name}"] = file.read_bytes()
        for name, text in sorted(texts.items()):
            about = zipfile.ZipInfo(name, _AGE)
            about.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(about, text)
    return packed.getvalue()


def _pickled(raw: Callable[..., Any], name: str) -> bytes:
    try:
        return small_enough(pickling.dumps(raw, name), name)
    except pickling.Unpicklable as problem:
        raise _refusal(problem.path, problem.why, name) from problem


def small_enough(data: bytes, name: str) -> bytes:
    """Return what a call carries.

    Raises:
        InvalidRequest: one frame can't hold it.
    """
    if len(data) > frames.MOST_BYTES:
        words = f"takes {len(data) / 1e9:.1f} GB pickled, and a call carries at most {frames.MOST_BYTES / 1e9:.1f}"
        raise InvalidRequest(
            {name: f"{words}: pass the path of a file in the code, a volume or a bucket"}
        )
    return data


def _refusal(path: str, why: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        {what: f"{path} can't be pickled: {why}"},
        hint="leave it out, or make it inside the function",
    )


def _is_project(name: str, module: Any) -> bool:
    file = getattr(module, "__file__", None)
    if not file or name.partition(".")[0] in _OURS or getattr(module, "__name__", None) != name:
        return False
    place = str(Path(file).absolute())
    return not any(place.startswith(folder) for folder in _installed())


@cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    named = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    named |= {each for each in sys.path if each.endswith(("site-packages", "dist-packages"))}
    named |= {sys.prefix + "/lib", sys.base_prefix + "/lib"}
    return tuple(each.rstrip("/") + "/" for each in named if each)
