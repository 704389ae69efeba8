"""A folder of awkward files, to be packed and brought to nodes."""

from __future__ import annotations

from pathlib import Path

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
