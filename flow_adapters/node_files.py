"""Reads the plain files that the node script is made of from the installed package."""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import suppress
from functools import cache
from pathlib import Path

from attrs import evolve

import flow_core
from flow_adapters.files import write_whole
from flow_core.domain.node_files import NodeFiles
from flow_core.errors import FlowError

_FOLDER = Path(flow_core.__file__).parent / "node"
#: The time that every file of the kit bears, so that equal files make an equal zip.
_AGE = (2026, 1, 1, 0, 0, 0)
_NOT_IN_THE_KIT = ("boot.sh", "flow_node.py", "log_reader.py")
#: Somebody waits for what a dev box is asked, so nothing is read there that only a task's set-up needs.
_MAIN = b"""import sys
if sys.argv[1:2] == ["dev"]:
    from flow_core.node.kit.dev import main
else:
    from flow_core.node.kit.enter import main
main()
"""


@cache
def load_node_files() -> NodeFiles:
    """Return the files of `flow_core/node` as they were shipped."""
    helper = [
        (_FOLDER / name).read_text(encoding="utf-8") for name in ("flow_node.py", "node_store.py")
    ]
    return NodeFiles(
        helper=_joined(*helper),
        boot=(_FOLDER / "boot.sh").read_text(encoding="utf-8"),
        kit=load_kit,
        log_reader=(_FOLDER / "log_reader.py").read_text(encoding="utf-8"),
        batch=(_FOLDER / "slurm" / "batch.sh").read_text(encoding="utf-8"),
    )


def kept_node_files(place: Path) -> NodeFiles:
    """Return the same files, squeezed once for all commands: what came of it is kept in the file `place`.

    Where that can't be written, each command squeezes them anew.
    """
    files = load_node_files()
    return evolve(files, squeezed=lambda: _kept(files, place))


@cache
def load_kit() -> bytes:
    """Return the kit: every module of `flow_core/node` but the helper and the log reader, as a zip that Python runs."""
    return _zipped(_FOLDER)


def digest_of_node_files() -> str:
    """Return what differs whenever a file of `flow_core/node` does."""
    read = {name: (_FOLDER / name).read_bytes() for name in _NOT_IN_THE_KIT}
    told = sorted({**dict(_files(_FOLDER, "")), **read}.items())
    return hashlib.sha256(
        b"\0".join(each for pair in told for each in (pair[0].encode(), pair[1]))
    ).hexdigest()


def _kept(files: NodeFiles, place: Path) -> tuple[str, str]:
    squeezer = _FOLDER.parent / "domain" / "squeeze.py"
    texts = (files.boot, files.helper, squeezer.read_text(encoding="utf-8"))
    known = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    try:
        told = json.loads(place.read_text("utf-8"))
        if told["of"] == known:
            return str(told["boot"]), str(told["helper"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    from flow_core.domain.script import squeeze

    boot, helper = squeeze(files)
    with suppress(FlowError):
        write_whole(place, json.dumps({"of": known, "boot": boot, "helper": helper}).encode())
    return boot, helper


def _joined(program: str, store: str) -> str:
    """Put the store before the program's own definitions, which need it."""
    first, _, rest = program.partition("\n")
    return f"{first}\n{store}\n{rest}"


def _zipped(folder: Path) -> bytes:
    """Return the modules of the kit as one file that Python runs; they are found by the names they have here."""
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as kit:
        packages = ["flow_core", "flow_core/node", "flow_core/node/kit"]
        made = {f"{each}/__init__.py": b"" for each in packages}
        made["__main__.py"] = _MAIN
        shipped = dict(_files(folder, "flow_core/node/"))
        for name, text in sorted({**shipped, **made}.items()):
            about = zipfile.ZipInfo(name, _AGE)
            about.compress_type = zipfile.ZIP_DEFLATED
            kit.writestr(about, text)
    return packed.getvalue()


def _files(folder: Path, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in folder.iterdir():
        if each.is_dir():
            found += [] if each.name == "__pycache__" else _files(each, f"{prefix}{each.name}/")
        elif each.name not in _NOT_IN_THE_KIT and not each.name.endswith(".pyc"):
            found.append((prefix + each.name, each.read_bytes()))
    return found
