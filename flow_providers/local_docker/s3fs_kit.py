"""The s3fs that mounts buckets in containers: this machine's own, carried there like the helper's interpreter.

An image need not hold it then. Where this machine has none, or it can't be carried, the node kit takes the image's own
or installs one.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from functools import cache
from pathlib import Path

from flow_providers.local_docker.carrying import (
    Carrier,
    add_libraries,
    add_text,
    libraries,
    loader_of,
    volume_of,
)
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.node_files import node_file

#: Where nodes have it.
FOLDER = "/opt/flow-s3fs"
PROGRAM = f"{FOLDER}/bin/s3fs"
AUTHORITIES = f"{FOLDER}/ca.pem"
_FORM = 1


class S3fsKit:
    """Brings containers that mount buckets an s3fs."""

    def __init__(self, engine: Engine) -> None:
        self._carrier = Carrier(engine)

    def ready(self, image: str) -> str | None:
        """Return what a container must bind to have s3fs at PROGRAM; None where it can't be brought."""
        name = volume()
        if name is None:
            return None
        return self._carrier.carry(name, to=FOLDER, image=image, archive=carried)


def carried() -> bytes | None:
    """Return this machine's s3fs as an archive, with the authorities that it trusts; None where there is none."""
    program = shutil.which("s3fs")
    needed = libraries([Path(program)]) if program else set()
    loader = loader_of(needed)
    if program is None or loader is None:
        return None
    import ssl

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        add_text(tar, "bin/s3fs", node_file("s3fs.sh").encode())
        tar.add(Path(program).resolve(), "bin/program")
        add_libraries(tar, needed, loader)
        authorities = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
        if Path(authorities).is_file():
            tar.add(Path(authorities).resolve(), "ca.pem")
    return archive.getvalue()


@cache
def volume() -> str | None:
    """Return the volume's name: another s3fs, or another form of it, is another volume; None without any here."""
    program = shutil.which("s3fs")
    if program is None:
        return None
    about = Path(program).stat()
    return volume_of(
        "s3fs", str(_FORM), f"{about.st_size} {about.st_mtime_ns}", node_file("s3fs.sh")
    )
