"""`flow dev` as a person has it: real processes on the pretend cloud, from the first call to the end of the box."""

from __future__ import annotations

import json
import os
import select
import signal
from pathlib import Path

import pytest

from tests.cli.test_process import Shell, shell

__all__ = ["shell"]
pytestmark = pytest.mark.slow
PATIENCE_S = 60.0


def until(stream: int, words: bytes) -> bytes:
    """Read until `words` have come; return all that came."""
    said = b""
    while words not in said:
        assert select.select([stream], [], [], PATIENCE_S)[0], said
        data = os.read(stream, 65_536)
        assert data, said
        said += data
    return said


def test_a_day_with_a_box(shell: Shell):
    """Made, used with code that changes, shown, reset, stopped, and back as it was."""
    code = Path(shell.folder)
    (code / "word").write_text("first\n")
    (code / "sub").mkdir()
    (code / "sub" / "file").write_text("")
    made = shell.flow(
        "dev", "-i", "a100", "--", "cat word; echo oops >&2; echo mine > made; exit 3"
    )
    (code / "word").write_text("second\n")
    again = shell.flow("dev", "--env", "A=b c", "--", "cat", "word", "made")
    folder = json.loads(shell.flow("dev", "--json", "--", "true").stdout.splitlines()[-1])
    shown = json.loads(shell.flow("dev", "status", "--json").stdout)["boxes"]
    paused = shell.flow("dev", "stop")
    stopped = json.loads(shell.flow("dev", "status", "--json").stdout)["boxes"]
    shell.environ["HOME"] = shell.folder
    back = shell.flow("dev", "--", "cat made; test -e sub/file")
    reset = shell.flow("dev", "reset", "--yes")
    after = shell.flow("dev", "--", "ls")
    ended = shell.flow("dev", "stop", "--end", "--yes")

    assert (3, b"first\n") == (made.returncode, made.stdout), made.stderr.decode()
    assert b"oops\n" in made.stderr
    assert b"It pauses, with its disk kept, when nobody has used it for 30m" in made.stderr
    assert (0, b"second\nmine\n", b"") == (again.returncode, again.stdout, again.stderr)
    assert ("dev-run", "dev-work", 0) == (folder["kind"], folder["task"], folder["exit_code"])
    assert [("dev-work", "running")] == [(e["task"]["name"], e["task"]["state"]) for e in shown]
    assert b"is paused: its disk stays" in paused.stderr
    assert ["paused"] == [each["task"]["state"] for each in stopped]
    assert (0, b"mine\n") == (back.returncode, back.stdout), back.stderr.decode()
    assert 0 == reset.returncode, reset.stderr.decode()
    assert b"sub\nword\n" == after.stdout
    assert b"is ended" in ended.stderr
    assert [] == json.loads(shell.flow("dev", "status", "--json").stdout)["boxes"]


def test_a_save_runs_the_command_again(shell: Shell):
    """--watch ends what runs and runs the new code, waits where it ended by itself, and goes on until Ctrl-C."""
    code = Path(shell.folder)
    (code / "say").write_text("echo one; exec sleep 86399.75")
    shell.flow("dev", "-i", "a100", "--", "true")
    watching = shell.begin("dev", "--watch", "--", "sh say")
    assert watching.stdout is not None
    assert watching.stderr is not None
    try:
        until(watching.stdout.fileno(), b"one\n")
        (code / "say").write_text("echo two; exit 5")
        until(watching.stdout.fileno(), b"two\n")
        said = until(watching.stderr.fileno(), b"ended with 5")
        (code / "new").write_text("")
        until(watching.stdout.fileno(), b"two\n")
        left = shell.flow("dev", "--", "ps -eo args | grep -c '[s]leep 86399.75'")
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=PATIENCE_S)
    finally:
        watching.kill()
        watching.wait()

    assert b"a file was saved; runs again" in said
    assert b"0\n" == left.stdout
    assert 130 == watching.returncode
