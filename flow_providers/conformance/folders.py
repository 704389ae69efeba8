"""A folder of awkward files, packed as the core packs them, and how a node describes what it got."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from flow_core.domain.code import Bundle

#: path in the folder -> content; names with spaces and quotes, an empty file, bytes that are no text.
FILES = {
    "plain.txt": b"plain\n",
    "empty": b"",
    "raw.bin": bytes(range(256)) * 300,
    "deep/er/file with 'quotes' and spaces.txt": b"deep\n",
    "run.sh": b"#!/bin/sh\necho ran\n",
}
EXECUTABLE = "run.sh"
LINK, LINK_TARGET = "deep/link", "er/../../plain.txt"
EMPTY_FOLDER = "hollow"


def write_folder(folder: Path) -> None:
    """Fill `folder` with files, an executable, a symlink and an empty folder."""
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if name == EXECUTABLE else 0o644)
    (folder / LINK).symlink_to(LINK_TARGET)
    (folder / EMPTY_FOLDER).mkdir()


def packed(folder: Path, archive: Path) -> Bundle:
    """Return a bundle of all that `folder` holds, its archive at `archive`."""
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, arcname=path.relative_to(folder).as_posix(), recursive=False)
    content = archive.read_bytes()
    return Bundle(
        digest=hashlib.sha256(content).hexdigest(),
        location=str(archive),
        files=len(FILES),
        bytes=len(content),
    )
