"""Other people's programs from the package index, unchanged, each in a venv of its own; nothing of them is kept here.

Where one can't be had the test is skipped, and fails in CI.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

INSTALL_S = 240.0


def refuse(reason: str) -> None:
    """Skip the test, or fail it in CI."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def installed(folder: Path, *requirements: str, alone: str = "") -> Path:
    """The programs' folder of a new venv with these packages, and `alone` without what it asks for."""
    python = folder / "venv" / "bin" / "python"
    venv.create(folder / "venv", symlinks=True)
    install(python, *requirements)
    if alone:
        install(python, "--no-deps", alone)
    return python.parent


def install(python: Path, *words: str) -> None:
    """Add packages to a venv; `words` are such as uv and pip both know.

    uv takes a fifth of the time; pip knows of indexes that uv isn't told of.
    """
    tools = [
        ["-m", "uv", "pip", "install", "--quiet", "--python", str(python)],
        ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile"],
    ]
    said = ""
    for tool in tools:
        try:
            subprocess.run(
                [sys.executable, *tool, *words],
                capture_output=True,
                text=True,
                timeout=INSTALL_S,
                check=True,
            )
            return
        except subprocess.TimeoutExpired:
            said = f"{INSTALL_S:g} s are not enough"
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip()[-300:]
    refuse(f"{words} can't be had: {said}")
