"""The interpreter that the node helper runs on: this machine's own, carried into every container.

A user's image need hold no Python, only `sh`. So the interpreter that runs Flow is put into a Docker volume once, with
its standard library, its C library and its loader, and mounted read-only at /opt/flow-python. With it go the helper and
the kit, compiled: a node that is brought just these doesn't compile them, which was a third of its work. Where that
can't be (see carrying.py, or a C library from before 2021), the helper takes the image's `python3`.
"""

from __future__ import annotations

import io
import marshal
import py_compile
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from attrs import frozen

from flow_adapters.node_files import digest_of_node_files, load_kit, load_node_files
from flow_core.domain.script import squeeze
from flow_core.errors import InvalidRequest, NotFound
from flow_providers.local_docker.carrying import (
    Carrier,
    add_libraries,
    add_text,
    libraries,
    loader_of,
    volume_of,
)
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.labels import CARRIED, MADE
from flow_providers.local_docker.node_files import node_file

#: Where nodes have it.
FOLDER = "/opt/flow-python"
INTERPRETER = f"{FOLDER}/bin/python3"
#: Raised whenever what is carried changes.
_FORM = 1
#: What of the standard library no helper needs.
_WITHOUT = frozenset(
    {
        "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3",
        "ensurepip", "pydoc_data", "distutils", "config", "sqlite3",
    }
)  # fmt: skip
_CHECK = "import sys; sys.exit(sys.version_info < (3, 8))"


@frozen
class NodePython:
    """How the helper is run on a node: the interpreter's path there, and what must be mounted for it."""

    path: str = "python3"
    bind: str = ""


class PythonKit:
    """Brings the helper an interpreter. `wants_own` is False where the image's own is to be used in any case."""

    def __init__(self, engine: Engine, *, wants_own: bool = True) -> None:
        self._engine = engine
        self._carrier = Carrier(engine)
        self._wants_own = wants_own

    def ready(self, image: str) -> NodePython:
        """Return how the helper runs in `image`, which is here; made ready the first time, in a second or two.

        Raises:
            InvalidRequest: the image has no Python, and this machine's can't be carried there.
        """
        if self._wants_own:
            bind = self._carrier.carry(volume(), to=FOLDER, image=image, archive=carried)
            if bind is not None:
                return NodePython(INTERPRETER, bind)
        self._check_image(image)
        return NodePython()

    def _check_image(self, image: str) -> None:
        labels = {CARRIED: "check", MADE: "local-docker"}
        box = {"Image": image, "Entrypoint": ["python3", "-c", _CHECK], "Labels": labels}
        made = self._engine.ask("POST", "/containers/create", body=box)["Id"]
        try:
            self._engine.ask("POST", f"/containers/{made}/start")
            code = self._engine.ask("POST", f"/containers/{made}/wait")["StatusCode"]
        except (InvalidRequest, NotFound):
            code = 127
        finally:
            self._engine.ask("DELETE", f"/containers/{made}", query={"force": "true"}, fine=(404,))
        if code:
            raise InvalidRequest(
                {"image": f"{image} has no Python 3.8 or newer, which Flow's helper needs there"},
                hint="use an image that has python3; on Linux Flow brings its own",
            )


@cache
def carried() -> bytes | None:
    """Return this machine's interpreter as an archive; None where it can't be carried."""
    binary = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    if not sys.platform.startswith("linux") or not library.is_dir():
        return None
    needed = libraries([binary, *library.glob("lib-dynload/*.so")])
    loader = loader_of(needed)
    if loader is None or not _loads(loader, binary):
        return None
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        add_text(tar, "bin/python3", node_file("python.sh").encode())
        tar.add(binary, "bin/python")
        add_libraries(tar, needed, loader)
        tar.add(library, f"lib/{library.name}", filter=_wanted)
        for name, text in _programs().items():
            folder = f"lib/{library.name}"
            add_text(tar, f"{folder}/{name}.py", text.encode())
            place = f"{folder}/__pycache__/{name}.{sys.implementation.cache_tag}.pyc"
            add_text(tar, place, _compiled(text, f"{FOLDER}/{folder}/{name}.py"))
        helper, kit = squeeze(load_node_files())[1], load_kit()
        add_text(tar, "helper", helper.encode())
        add_text(tar, "helper.code", marshal.dumps(compile(helper, "flow-node", "exec")))
        add_text(tar, "kit.zip", kit)
        with zipfile.ZipFile(io.BytesIO(kit)) as modules:
            for name in modules.namelist():
                if name.endswith(".py"):
                    text = modules.read(name).decode()
                    add_text(tar, f"kit/{name}c", _compiled(text, f"kit.zip/{name}"))
    return archive.getvalue()


@cache
def volume() -> str:
    """Return the volume's name: another interpreter, or another form of it, is another volume."""
    known = (node_file("python.sh"), *_programs().values(), digest_of_node_files())
    return volume_of("python", str(_FORM), sys.version, sys.base_prefix, *known)


def _programs() -> dict[str, str]:
    """Return what of ours that interpreter can import, by name."""
    return {"flow_first": node_file("first.py"), "flow_serve": node_file("serve.py")}


def _compiled(text: str, name: str) -> bytes:
    """Return a module compiled; nobody can write it beside its text later."""
    with tempfile.TemporaryDirectory() as place:
        source, compiled = Path(place, "source.py"), Path(place, "compiled.pyc")
        source.write_text(text, "utf-8")
        py_compile.compile(
            str(source),
            str(compiled),
            dfile=name,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        return compiled.read_bytes()


def _loads(loader: Path, binary: Path) -> bool:
    """Whether the loader can start a program under another name, by which Python finds its library."""
    tried = [
        str(loader),
        "--argv0",
        str(binary),
        "--library-path",
        "/nowhere",
        str(binary),
        "-c",
        "",
    ]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = member.name.split("/")[2:]
    if any(part in _WITHOUT or part.startswith(("config-", "_sqlite3")) for part in parts):
        return None
    if member.name.endswith((".opt-1.pyc", ".opt-2.pyc", ".exe", ".a")):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
