"""The files that belong to the project, as the house rules see them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOUSE = Path(__file__).resolve().parent
PACKAGES = ("flow", "flow_core", "flow_adapters", "flow_providers", "flow_cli")


@cache
def files() -> tuple[Path, ...]:
    """Every file that git tracks or would add, in order; what it ignores isn't ours."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (ROOT / name for name in sorted(set(listing.stdout.split("\0")) - {""}))
    return tuple(path for path in paths if path.is_file())


def python_files(*folders: str) -> list[Path]:
    """The project's Python files, or those of the named folders."""
    found = [path for path in files() if path.suffix == ".py"]
    if not folders:
        return found
    return [path for path in found if relative(path).split("/")[0] in folders]


def relative(path: Path) -> str:
    """The path as people say it: from the project's root, with slashes."""
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """The dotted name under which a file is imported."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
