"""Programs of this machine's that are carried into containers: in a Docker volume, with their own libraries and loader.

Started by its own loader, a program runs in any image of the same processor, whatever that image's C library. That
can't be where Flow runs on macOS or the engine's machine has another processor.
"""

from __future__ import annotations

import hashlib
import io
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from flow_core.errors import NotFound
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.labels import CARRIED, MADE

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class Carrier:
    """Puts what is carried where containers find it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def carry(
        self, name: str, *, to: str, image: str, archive: Callable[[], bytes | None]
    ) -> str | None:
        """Return what a container must bind to have an archive's files below `to`; None where nothing can be carried.

        The first time they are put into the volume `name`, by way of a container of `image`, which is here.
        """
        if not own_machine():
            return None
        try:
            self._engine.ask("GET", f"/volumes/{name}-full")
        except NotFound:
            content = archive() if self._runs_here() else None
            if content is None:
                return None
            self._fill(name, to, image, content)
        return f"{name}:{to}:ro"

    def _runs_here(self) -> bool:
        about = self._engine.ask("GET", "/version")
        machine = str(about.get("Arch", ""))
        return about.get("Os") == "linux" and _MACHINES.get(machine, machine) == own_machine()

    def _fill(self, name: str, folder: str, image: str, content: bytes) -> None:
        """Put all into the volume, by way of a container that never runs; then say so by a second volume.

        Two who do it at once write the same bytes, and whoever dies on the way is repeated.
        """
        labels = {CARRIED: name, MADE: "local-docker"}
        self._engine.ask("POST", "/volumes/create", body={"Name": name, "Labels": labels})
        box = {
            "Image": image,
            "Cmd": ["true"],
            "Labels": labels,
            "HostConfig": {"Binds": [f"{name}:{folder}"]},
        }
        made = self._engine.ask("POST", "/containers/create", body=box)["Id"]
        try:
            query = {"path": folder}
            self._engine.ask("PUT", f"/containers/{made}/archive", query=query, data=content)
        finally:
            self._engine.ask("DELETE", f"/containers/{made}", query={"force": "true"}, fine=(404,))
        self._engine.ask("POST", "/volumes/create", body={"Name": f"{name}-full", "Labels": labels})


def volume_of(what: str, *known: str) -> str:
    """Return the name of the volume that holds something: whatever it depends on is `known`."""
    return f"flow-{what}-{hashlib.sha256(' '.join(known).encode()).hexdigest()[:12]}"


def libraries(programs: Iterable[Path]) -> set[Path]:
    """Return the shared libraries of these programs, and their loader, as the loader here finds them."""
    if shutil.which("ldd") is None:
        return set()
    said = subprocess.run(
        ["ldd", *map(str, programs)], capture_output=True, text=True, check=False
    ).stdout
    found = re.findall(r"(?:=>|^)\s+(/\S+)\s+\(0x", said, re.MULTILINE)
    return {Path(each) for each in found}


def loader_of(needed: Iterable[Path]) -> Path | None:
    """Return the loader among libraries."""
    return next((path for path in needed if path.name.startswith(("ld-linux", "ld-musl"))), None)


def add_libraries(tar: tarfile.TarFile, needed: set[Path], loader: Path) -> None:
    """Put libraries below `lib`, and their loader there as `loader`."""
    tar.add(loader.resolve(), "lib/loader")
    for path in sorted(needed - {loader}):
        tar.add(path.resolve(), f"lib/{path.name}")


def add_text(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Put a file into an archive that anyone may run."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o755
    tar.addfile(member, io.BytesIO(content))


def own_machine() -> str:
    """Return this machine's processor, as Linux calls it; empty where this isn't Linux."""
    return platform.machine() if sys.platform.startswith("linux") else ""
