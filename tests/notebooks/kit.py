"""What tests of notebooks share: a Python that has JupyterLab, and `flow jupyter` and `flow port` as processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from attrs import define

from tests.docs.blocks import ROOT

#: Real seconds that anything may take on a busy machine.
PATIENCE_S = 180.0
PYTHON = ROOT / ".venv-notebook" / "bin" / "python"


def notebook_python() -> str:
    """The interpreter that `make notebook-venv` makes; without it the test is skipped, and fails in CI."""
    if not PYTHON.exists():
        _refuse("needs JupyterLab: make notebook-venv")
    return str(PYTHON)


def in_browser(link: str, profile: str) -> str:
    """What the first cell of the notebook at `link` shows once a person has run it."""
    if shutil.which("chromedriver") is None or shutil.which("chromium") is None:
        _refuse("needs Debian's chromium and chromium-driver")
    return _there("cell", link, profile)


def in_editor(server: object, code: str) -> str:
    """What a new kernel of the server prints, asked as an editor does."""
    return _there("ask", str(server), code)


def in_kernel(*cells: str) -> str:
    """What cells print in a kernel that has Flow and what the tests have."""
    return _there("run", os.pathsep.join(filter(None, (str(ROOT), *sys.path))), *cells)


@define
class Held:
    """A `flow port` or `flow jupyter` that runs and tells what happens as JSON."""

    process: subprocess.Popen[bytes]

    def until(self, kind: str) -> dict[str, object]:
        """Return the next document of this kind; fail where the command ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            document = json.loads(line)
            if document["kind"] == kind:
                return document  # type: ignore[no-any-return]
        assert self.process.stderr is not None
        pytest.fail(f"it ended with {self.process.wait()}: {self.process.stderr.read().decode()}")

    def leave(self) -> int:
        """Press Ctrl-C and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@contextmanager
def held(begin: Callable[..., subprocess.Popen[bytes]], *words: str) -> Iterator[Held]:
    """Hold a command; it has ended when this is left."""
    process = begin(*words, "--json")
    try:
        yield Held(process)
    finally:
        process.kill()
        process.communicate()


def _there(*words: str) -> str:
    program = str(ROOT / "tests" / "notebooks" / "there.py")
    done = subprocess.run(
        [notebook_python(), program, *words],
        capture_output=True,
        timeout=3 * PATIENCE_S,
        check=False,
        text=True,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def _refuse(reason: str) -> None:
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
