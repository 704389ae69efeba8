"""A tiny package as a wheel, so that installing one needs no index."""

from __future__ import annotations

import zipfile
from pathlib import Path


def tiny_wheel(folder: Path) -> Path:
    """Make `folder` with `tinypkg` 1.0 in it, whose `WORD` is 'from the wheel', and return it."""
    folder.mkdir()
    about = "tinypkg-1.0.dist-info"
    with zipfile.ZipFile(folder / "tinypkg-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinypkg.py", "WORD = 'from the wheel'\n")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tinypkg\nVersion: 1.0\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    return folder
