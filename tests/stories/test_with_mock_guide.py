"""A newcomer copies the files of docs/guides/test-with-mock.md and runs pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks

GUIDE = "docs/guides/test-with-mock.md"
FILES = {block.name: block for block in blocks(GUIDE, "python")}
REAL = "test_for_real.py"
PLUGIN = "flow_providers.mock.pytest_plugin"


def test_every_example_has_a_file_name():
    """Each Python block of the guide says which file it is, so that it can be copied and is run here."""
    assert None not in FILES
    assert len(FILES) == len(blocks(GUIDE, "python"))


def test_the_guides_suite_passes(tmp_path: Path):
    """What the guide shows is what happens, in a folder with nothing but its files."""
    names = [name for name in FILES if name != REAL]
    said = suite(tmp_path, names)

    tests = sum(FILES[name].text.count("def test_") for name in names)
    assert f"\n{tests} passed in" in said, said


@pytest.mark.slow
def test_the_real_command_passes(tmp_path: Path):
    """The last example runs a process on this machine's mock."""
    said = suite(tmp_path, [REAL])

    assert "1 passed" in said, said


def suite(folder: Path, names: list[str]) -> str:
    """What pytest says of the guide's files in `folder`, with Flow's plugin and no other."""
    for name in names:
        (folder / name).write_text(FILES[name].text, "utf-8")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLOW_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    return done.stdout + done.stderr
