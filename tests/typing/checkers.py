"""mypy and pyright over users' code, with their findings in one form: file, line, words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SAMPLES = Path(__file__).resolve().parent / "samples"
MARK = "# wrong"


class Finding(NamedTuple):
    """One line that a checker objects to, and why."""

    sample: str
    line: int
    words: str


def with_mypy(folder: Path, python: Path) -> list[Finding]:
    """What `mypy --strict` says of the code in `folder`, for a user of `python`."""
    shutil.copytree(SAMPLES, folder, dirs_exist_ok=True)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--output=json", "--no-incremental"),
            *("--config-file=", f"--python-executable={python}", "."),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    said = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    return [
        Finding(each["file"].removeprefix("./"), each["line"], each["message"])
        for each in said
        if each["severity"] == "error"
    ]


def with_pyright(folder: Path, python: Path) -> list[Finding]:
    """What pyright's strict mode says of the code in `folder`, for a user of `python`."""
    shutil.copytree(SAMPLES, folder, dirs_exist_ok=True)
    settings = {"typeCheckingMode": "strict", "include": ["."]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", python, "-p", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        # The wheel of pyright carries a pyright: without this it looks for a newer one on the network.
        env={**os.environ, "PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT": "1"},
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return [
        Finding(Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in json.loads(run.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    ]


def marked_wrong(sample: Path) -> set[int]:
    """The lines of a sample that a checker must object to."""
    lines = sample.read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if MARK in line}
