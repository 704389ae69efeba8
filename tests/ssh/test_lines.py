"""What a login shell is sent: who runs it, and how a group is found and ended."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.ssh.lines import WAITS, Head, call_line, ending_line, spelled, terminal_line

ODD = "printf '%s|' 'a b' \"c'd\" '$x' '\\' \"$(echo !)\""


@pytest.fixture
def sudo(tmp_path: Path) -> tuple[str, ...]:
    """A program that says that it was asked, and runs the rest."""
    program = tmp_path / "pretend sudo"
    program.write_text('#!/bin/sh\ntest "$1" = -n && shift\nASKED=yes exec "$@"\n')
    program.chmod(0o755)
    return (str(program), "-n")


def told(line: str, stdin: bytes = b"") -> tuple[bytes, bytes, int, int]:
    """Run a line as a login shell would: output, errors without the leader's line, exit code, leader."""
    process = subprocess.Popen(
        ["sh", "-c", line], start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = process.communicate(stdin)
    head = Head()
    rest = head.without(err)
    assert process.pid == head.leader
    return out, rest, process.returncode, head.leader


def test_a_line_through_sudo(sudo, tmp_path):
    """Through sudo a line is the same line, in the same folder, with its input and code; the leader is the group's."""
    place = str(tmp_path / "it's here")
    line = f"pwd; echo $ASKED; {ODD}; cat; exit 7"
    out, err, code, _ = told(call_line(line, workspace=place, sudo=sudo), b"in")

    assert f"{place}\nyes\na b|c'd|$x|\\|!|in".encode() == out
    assert (b"", 7) == (err, code)


def test_no_sudo_on_the_node(tmp_path):
    """Where the node has no such program the line runs as whoever logged in."""
    line = call_line(ODD, workspace=str(tmp_path), sudo=("no-such-program", "-n"))

    assert b"a b|c'd|$x|\\|!|" == told(line)[0]


@pytest.mark.parametrize("through_sudo", [False, True])
def test_a_group_is_ended(sudo, tmp_path, through_sudo):
    """The ending line ends the leader and everything in its group."""
    prefix = sudo if through_sudo else ()
    line = call_line("sleep 86400 & echo $!; wait", workspace=str(tmp_path), sudo=prefix)
    process = subprocess.Popen(
        ["sh", "-c", line], start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    assert process.stdout
    head = Head()
    head.without(process.stderr.readline())
    process.stdout.readline()
    assert head.leader
    subprocess.run(["sh", "-c", ending_line(head.leader, "TERM", sudo=prefix)], check=True)
    # The end of its output says that nobody holds it any more, the sleeper included.
    rest = process.communicate()[0]

    assert b"" == rest
    assert -15 == process.returncode


def test_a_terminal_s_line_keeps_the_code(sudo, tmp_path):
    """A terminal's line gives the line's own code, and 128 and the number for a signal."""
    for prefix in ((), sudo):
        for line, code in (("exit 3", 3), ("kill -INT $$", 130), ("kill -KILL $$", 137)):
            text = terminal_line(line, workspace=str(tmp_path), sudo=prefix)

            assert code == subprocess.run(["sh", "-c", text], check=False).returncode


SHELLS = [each for each in ("sh", "bash", "dash", "busybox") if shutil.which(each)]


@given(words=st.lists(st.binary(max_size=40).filter(lambda word: b"\0" not in word), max_size=4))
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_becomes_any_line_and_leaves_it_its_input(shell: str, words: list[bytes]):
    """Lines with newlines, backslashes and bytes of no encoding are what they were; what follows is theirs to read."""
    line = "\n".join(["printf '[%s]' \\", shlex.join(["-", *map(os.fsdecode, words)]), "cat"])
    program = [shell, "sh"] if shell == "busybox" else [shell]
    said = subprocess.run(
        [*program, "-c", WAITS],
        input=spelled(line) + b"in\nput",
        stdout=subprocess.PIPE,
        check=True,
    ).stdout

    assert b"".join(b"[%b]" % word for word in (b"-", *words)) + b"in\nput" == said


def test_a_shell_that_waits_in_vain_fails():
    """Where no line comes, nothing is run."""
    assert 1 == subprocess.run(["sh", "-c", WAITS], input=b"", check=False).returncode
