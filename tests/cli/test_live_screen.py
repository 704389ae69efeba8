"""`flow status --watch` on a terminal: what is written to it, how it ends, and what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.terminal import Terminal, at_terminal

pytestmark = pytest.mark.slow

FLOW = Path(sys.executable).parent / "flow"
_COLOUR = re.compile(rb"\x1b\[[0-9;]*[1-9][0-9;]*m")


@pytest.fixture
def environ(tmp_path) -> Iterator[dict[str, str]]:
    """A user with one task that runs and one that waits, on an instant mock; both end with the test."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FLOW_", "NO_", "COLUMNS", "LINES"))
    }
    env = {
        **kept, "HOME": str(tmp_path), "FLOW_PROVIDER": "mock", "FLOW_MOCK_INSTANT": "1", "TERM": "xterm-256color",
        "FLOW_STATE_DIR": str(tmp_path / "state"), "FLOW_CONFIG_DIR": str(tmp_path / "config"), "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    low = ("--max-price-per-hour", "3")
    for words in (("sleep 999", "--name", "train"), ("sleep 999", "--name", "low", *low)):
        flow(env, "submit", words[0], "-i", "8xh100", "--no-code", "--detach", *words[1:])
    yield env
    flow(env, "mock", "reset", "--yes")


def flow(env: dict[str, str], *words: str) -> None:
    """Run `flow` to its end."""
    subprocess.run([FLOW, *words], env=env, check=True, capture_output=True, timeout=60)


def watching(env: dict[str, str], *words: str, width: int = 80) -> AbstractContextManager[Terminal]:
    """`flow status --watch` on a terminal of 24 lines, which is gone afterwards."""
    return at_terminal([FLOW, "status", "--watch", *words], env=env, width=width)


def test_q_ends_it_and_the_terminal_is_as_before(environ):
    """The second screen is entered and left, the cursor hidden and shown, and the tasks stay below the prompt."""
    with watching(environ) as terminal:
        terminal.until("● running".encode())
        terminal.type(b"q")
        last = terminal.until(b"train")

        assert 0 == terminal.process.wait(20)
        everything = terminal.written
        assert everything.index(b"\x1b[?1049h") < everything.index(b"\x1b[?1049l")
        assert everything.rindex(b"\x1b[?25h") > everything.rindex(b"\x1b[?25l")
        assert b"train" in last.partition(b"\x1b[?1049l")[2]


def test_ctrl_c_ends_it_the_same_way(environ):
    """SIGINT is no failure: the exit code is 0, and the first screen comes back."""
    with watching(environ, "--every", "1s") as terminal:
        terminal.until(b"of the limit")
        terminal.process.send_signal(signal.SIGINT)
        terminal.until(b"\x1b[?1049l")

        assert 0 == terminal.process.wait(20)


def test_it_is_written_over_and_never_cleared(environ):
    """Nothing flickers: between two looks the screen is not erased."""
    with watching(environ, "--every", "1s") as terminal:
        terminal.until(b"of the limit")
        terminal.until(b"of the limit")
        terminal.until(b"of the limit")

        assert b"\x1b[2J" not in terminal.written.partition(b"\x1b[?1049h")[2]


def test_it_follows_the_size_of_its_terminal(environ):
    """After a resize the next screen is as wide as the terminal has become."""
    with watching(environ) as terminal:
        terminal.until(b"of the limit")
        terminal.resize(200, 40)

        assert b"Of limit" in terminal.until(b"Of limit")


def test_no_color_means_none(environ):
    """With NO_COLOR there is no colour in all that is written, with it there is."""
    with watching({**environ, "NO_COLOR": "1"}) as terminal:
        terminal.until(b"of the limit")
        assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", terminal.written)
    with watching(environ) as terminal:
        terminal.until(b"of the limit")
        assert _COLOUR.search(terminal.written)
