"""What an installation weighs: the wheel and its dependencies in a fresh environment, extras and bytecode aside."""

from __future__ import annotations

import os
import sys
import tempfile
import venv
from pathlib import Path

from tests.benchmarks.harness import Effort, Measured, process

ROOT = Path(__file__).resolve().parents[2]
LIMIT_MB = 45.0
LIMIT_DISTRIBUTIONS = 38
#: What every environment has, Flow or not.
_TOOLS = {"pip", "setuptools", "wheel"}


def installed(effort: Effort) -> list[Measured]:
    """Build the wheel, install it without extras, and weigh what came; takes a minute, so not when in haste."""
    if effort.is_quick:
        return []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        process((sys.executable, "-m", "build", "--wheel", "--outdir", place / "dist", ROOT))
        venv.create(place / "venv", with_pip=True)
        [python] = [path for path in place.glob("venv/*/python*") if path.stem == "python"]
        [wheel] = (place / "dist").glob("*.whl")
        process((python, "-m", "pip", "install", "--quiet", "--no-compile", wheel))
        [packages] = {path.parent for path in (place / "venv").rglob("pip") if path.is_dir()}
        names = sorted(names_in(packages) - _TOOLS)
        weight = sum(sizes(packages).values()) / 1e6
        largest = sorted(sizes(packages).items(), key=lambda item: -item[1])[:4]
    heavy = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in largest)
    return [
        Measured(
            name="installed size",
            value=weight,
            unit="MB",
            limit=LIMIT_MB,
            note=f"no extras, no bytecode; {heavy}",
        ),
        Measured(
            name="distributions",
            value=len(names),
            unit="",
            limit=LIMIT_DISTRIBUTIONS,
            note="Flow itself counted, pip not",
        ),
    ]


def names_in(packages: Path) -> set[str]:
    """Return the distributions of an environment, by the names of their folders."""
    return {path.name.split("-")[0].lower() for path in packages.glob("*.dist-info")}


def sizes(packages: Path) -> dict[str, int]:
    """Return how many bytes each entry of an environment has, bytecode and the environment's own tools aside."""
    found: dict[str, int] = {}
    for entry in packages.iterdir():
        name = entry.name.split("-")[0].lower()
        if name in _TOOLS | {"_distutils_hack", "pkg_resources", "distutils", "__pycache__"}:
            continue
        files = [entry] if entry.is_file() else _files(entry)
        found[entry.name] = sum(path.lstat().st_size for path in files)
    return found


def _files(folder: Path) -> list[Path]:
    return [
        Path(place) / name
        for place, _, names in os.walk(folder)
        for name in names
        if not name.endswith(".pyc")
    ]
