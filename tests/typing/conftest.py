"""An installed wheel for the type checkers to read, as a user's machine has it."""

from __future__ import annotations

import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def users_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel, and its dependencies by reference.

    The dependencies' folder comes in by a `.pth`, whose own `.pth` files are not read: the editable
    install in it, and so this checkout, stays out of sight.
    """
    home = tmp_path_factory.mktemp("user") / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(purelib)
    Path(purelib, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return python
