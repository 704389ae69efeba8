"""Failures at the door: one line, one code, never a traceback."""

from __future__ import annotations

import stat

import pytest

from flow_cli import exit_codes
from flow_core.errors import FlowError, NoCapacity, Transient, kinds


def raising(error: BaseException):
    """A composition root that fails so."""

    def connect(provider, environ):
        raise error

    return connect


def test_every_kind_has_a_number_of_its_own():
    """No kind is missing from the table, and no two share a number but the general ones."""
    codes = {kind: exit_codes.exit_code(kind) for kind in kinds()}

    assert set(kinds()) == set(exit_codes.BY_KIND)
    assert len(codes) == len(set(codes.values()))
    assert not {125, 126, 127} & set(codes.values())


@pytest.mark.parametrize(
    "error, code", [(FlowError("x"), 1), (NoCapacity("x"), 7), (Transient("x"), 14)]
)
def test_a_kind_becomes_its_number(flow, error, code):
    """The exit code tells scripts what to do."""
    assert code == flow("status", connect=raising(error)).code


def test_an_attached_submit_keeps_small_numbers_for_the_command(flow):
    """The same failure is 125 where the exit code is the command's."""
    assert 125 == flow("submit", "true", connect=raising(NoCapacity("x"))).code
    assert 7 == flow("submit", "true", "-d", connect=raising(NoCapacity("x"))).code


def test_message_kind_and_hint_are_on_stderr(flow):
    """What is so comes first with its kind, then what to do; stdout stays empty."""
    answer = flow("status", connect=raising(NoCapacity("nothing is free", hint="wait")))

    assert ("", "error: nothing is free [no-capacity]\nhint: wait\n") == (answer.out, answer.err)


def test_strangers_words_do_nothing_to_the_terminal(flow):
    """Control characters and right-to-left tricks are written out; markup is text."""
    evil = NoCapacity("\x1b[2J[red]a\u202eb\x07\x9b", hint="\x1b]0;x\x07")
    answer = flow("status", connect=raising(evil), terminal=True)

    assert "\\x1b[2J[red]a\\u202eb\\x07\\x9b" in answer.err
    assert "hint: \\x1b]0;x\\x07" in answer.err


def test_a_fault_of_ours_leaves_its_details_in_a_private_file(flow, tmp_path):
    """One line on stderr names a file that only its owner reads."""
    answer = flow("status", connect=raising(ZeroDivisionError("oh")))
    (file,) = (tmp_path / "state" / "faults").iterdir()

    assert 1 == answer.code
    assert "Traceback" not in answer.err
    assert str(file) in answer.err
    assert "ZeroDivisionError: oh" in file.read_text()
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)


def test_debug_shows_the_traceback(flow, tmp_path):
    """FLOW_DEBUG is for those who mend Flow."""
    environ = {"FLOW_DEBUG": "1", "FLOW_STATE_DIR": str(tmp_path)}

    assert (
        "Traceback" in flow("status", connect=raising(ZeroDivisionError("oh")), environ=environ).err
    )


def test_a_state_folder_that_cannot_be_made_hides_nothing(flow, tmp_path):
    """Where the details can't be written, the line says how to see them."""
    (tmp_path / "file").touch()
    environ = {"FLOW_STATE_DIR": str(tmp_path / "file" / "state")}
    answer = flow("status", connect=raising(ZeroDivisionError("oh")), environ=environ)

    assert 1 == answer.code
    assert "FLOW_DEBUG=1" in answer.err


def test_ctrl_c_is_130(flow):
    """An interrupt ends quietly."""
    answer = flow("status", connect=raising(KeyboardInterrupt()))

    assert 130 == answer.code
    assert "Traceback" not in answer.err


def test_a_full_disk_is_told_as_that(flow):
    """ENOSPC from anywhere is no-room, not a fault."""
    answer = flow("status", connect=raising(OSError(28, "No space left on device")))

    assert 16 == answer.code


def test_an_error_document_carries_its_exit_code(flow):
    """Programs need not look at `$?`."""
    error = flow("status", "--json", connect=raising(NoCapacity("x", hint="y"))).document["error"]

    assert {
        "kind": "no-capacity",
        "message": "x",
        "hint": "y",
        "problems": {},
        "exit_code": 7,
    } == error
