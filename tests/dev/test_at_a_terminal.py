"""`flow dev` as a person has it: a terminal, a shell on the box, and what is said when it is left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.test_process import Shell, shell
from tests.ssh.test_terminal import Terminal

__all__ = ["shell"]
pytestmark = pytest.mark.slow


def test_a_shell_opens_on_the_box(shell: Shell):
    """The code is there, keys and the window's size arrive, and leaving says when the box stops costing money."""
    (Path(shell.folder) / "word").write_text("mine\n")

    def start(**streams: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            shell.command("dev", "-i", "a100", "--yes"),
            cwd=shell.folder,
            env={**shell.environ, "TERM": "xterm-256color"},
            start_new_session=True,
            **streams,
        )

    with Terminal(start) as terminal:
        terminal.say(b"cat word; echo at-$(stty size | tr ' ' x)-$FLOW_TASK\r")
        terminal.until(b"at-30x100-dev-work")
        terminal.say(b"exit 3\r")
        terminal.until(b"dev-work pauses at about 20")
        code = terminal.process.wait(30)
    again = shell.flow("dev", "--", "cat word")
    shell.flow("dev", "stop", "--end", "--yes")

    assert 3 == code
    assert b"mine\n" == again.stdout
