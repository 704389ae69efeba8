"""The interpreter that the node helper runs on: this machine's own, carried into every container.

A user's image need hold no Python, only `sh`. So the interpreter that runs Flow is put into a Docker volume once, with
its standard library, its C library and its loader, and mounted read-only at /opt/flow-python: started by its own loader
it runs in any image of the same processor, whatever that image's C library. Where that can't be (Flow runs on macOS,
the engine's machine has another processor, a C library from before 2021), the helper takes the image's `python3`.
"""

from __future__ import annotations

import hashlib
import io
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from functools import cache
from pathlib import Path

from attrs import frozen

from flow_core.errors import InvalidRequest, NotFound
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.labels import MADE, PYTHON
from flow_providers.local_docker.node_files import node_file

#: Where nodes have it.
FOLDER = "/opt/flow-python"
INTERPRETER = f"{FOLDER}/bin/python3"
#: Raised whenever what is carried changes.
_FORM = 1
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
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
        self._wants_own = wants_own

    def ready(self, image: str) -> NodePython:
        """Return how the helper runs in `image`, which is here; made ready the first time, in a second or two.

        Raises:
            InvalidRequest: the image has no Python, and this machine's can't be carried there.
        """
        if self._wants_own and _own_machine():
            name = _name()
            try:
                self._engine.ask("GET", f"/volumes/{name}-full")
                return NodePython(INTERPRETER, f"{name}:{FOLDER}:ro")
            except NotFound:
                if self._runs_here() and carried() is not None:
                    self._fill(name, image)
                    return NodePython(INTERPRETER, f"{name}:{FOLDER}:ro")
        self._check_image(image)
        return NodePython()

    def _runs_here(self) -> bool:
        about = self._engine.ask("GET", "/version")
        machine = str(about.get("Arch", ""))
        return about.get("Os") == "linux" and _MACHINES.get(machine, machine) == _own_machine()

    def _fill(self, name: str, image: str) -> None:
        """Put all into the volume, by way of a container that never runs; then say so by a second volume.

        Two who do it at once write the same bytes, and whoever dies on the way is repeated.
        """
        labels = {PYTHON: name, MADE: "local-docker"}
        self._engine.ask("POST", "/volumes/create", body={"Name": name, "Labels": labels})
        box = {
            "Image": image,
            "Cmd": ["true"],
            "Labels": labels,
            "HostConfig": {"Binds": [f"{name}:{FOLDER}"]},
        }
        made = self._engine.ask("POST", "/containers/create", body=box)["Id"]
        try:
            query = {"path": FOLDER}
            self._engine.ask("PUT", f"/containers/{made}/archive", query=query, data=carried())
        finally:
            self._engine.ask("DELETE", f"/containers/{made}", query={"force": "true"}, fine=(404,))
        self._engine.ask("POST", "/volumes/create", body={"Name": f"{name}-full", "Labels": labels})

    def _check_image(self, image: str) -> None:
        box = {"Image": image, "Entrypoint": ["python3", "-c", _CHECK], "Labels": {PYTHON: "check"}}
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
    needed = _libraries([binary, *library.glob("lib-dynload/*.so")])
    loader = next((path for path in needed if path.name.startswith(("ld-linux", "ld-musl"))), None)
    if loader is None or not _loads(loader, binary):
        return None
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        script = node_file("python.sh").encode()
        _add(tar, "bin/python3", script)
        tar.add(binary, "bin/python")
        tar.add(loader.resolve(), "lib/loader")
        for path in sorted(needed - {loader}):
            tar.add(path.resolve(), f"lib/{path.name}")
        tar.add(library, f"lib/{library.name}", filter=_wanted)
    return archive.getvalue()


def _libraries(binaries: list[Path]) -> set[Path]:
    """Return the shared libraries of these programs, as the loader here finds them."""
    if shutil.which("ldd") is None:
        return set()
    said = subprocess.run(
        ["ldd", *map(str, binaries)], capture_output=True, text=True, check=False
    ).stdout
    found = re.findall(r"(?:=>|^)\s+(/\S+)\s+\(0x", said, re.MULTILINE)
    return {Path(each) for each in found}


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


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o755
    tar.addfile(member, io.BytesIO(content))


def _name() -> str:
    """Return the volume's name: another interpreter, or another form of it, is another volume."""
    known = f"{_FORM} {sys.version} {sys.base_prefix} {node_file('python.sh')}"
    return f"flow-python-{hashlib.sha256(known.encode()).hexdigest()[:12]}"


def _own_machine() -> str:
    return platform.machine() if sys.platform.startswith("linux") else ""
