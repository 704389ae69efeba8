"""A secret reaches the command, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.test_process import Shell, shell

__all__ = ["shell"]
pytestmark = pytest.mark.slow

SECRET = "s3cr3t-hunter2-value"


@pytest.mark.parametrize("nodes", ["1", "2"])
def test_a_secret_reaches_the_command_and_no_file_but_the_nodes_own(shell: Shell, nodes: str):
    """The command has the value; on this machine no file, on the node no script and only files of mode 0600 have it."""
    shell.environ["TOKEN"] = SECRET
    done = shell.flow(
        "submit", "printf %s $TOKEN | wc -c; tr '\\0' ' ' </proc/$$/cmdline", "--secret", "TOKEN", "-N", nodes,
        "--name", "quiet",
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr.decode()
    assert SECRET.encode() not in done.stderr
    assert f"{len(SECRET)}\n".encode() in done.stdout
    holders = [path for path in files(Path(shell.folder)) if SECRET.encode() in path.read_bytes()]
    assert {"delivery.json", "env.json"} >= {path.name for path in holders}
    assert {0o600} >= {path.stat().st_mode & 0o777 for path in holders}
    told = shell.flow("status", "quiet", "--json").stdout + shell.flow("status", "quiet").stdout
    assert SECRET.encode() not in told


def test_a_missing_secret_is_told_before_anything_is_placed(shell: Shell):
    """The name, where it was looked for and what to do are said, and no task exists."""
    done = shell.flow("submit", "true", "--secret", "NO_SUCH=env")

    assert 0 != done.returncode
    assert b"NO_SUCH is not in this shell's environment" in done.stderr
    assert b"No tasks yet" in shell.flow("status").stdout


def files(folder: Path) -> list[Path]:
    """Every plain file below a folder."""
    return [
        Path(root, name)
        for root, _, names in os.walk(folder)
        for name in names
        if Path(root, name).is_file() and not Path(root, name).is_symlink()
    ]
