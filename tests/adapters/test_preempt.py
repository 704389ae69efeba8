"""What a command in Python learns of a notice."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

import flow
from tests.node.conftest import BareNode
from tests.node.kit import PATIENCE_S, Bell

DEADLINE = datetime(2026, 1, 1, 0, 5, tzinfo=timezone.utc)
PROGRAM = """
import os, pathlib, signal, sys, flow
@flow.on_preempt
def told(notice):
    print(notice.kind.value if notice else "taken back", notice.deadline if notice else "",
          os.environ["FLOW_NOTICE_DEADLINE"], flush=True)
    if notice is None:
        sys.exit(4)
    pathlib.Path(sys.argv[1]).write_text("heard")
pathlib.Path(sys.argv[1]).write_text("ready")
while True:
    signal.pause()
"""


def put(place: Path) -> None:
    """Write a notice as a provider does."""
    new = place.with_suffix(".new")
    new.write_text(json.dumps({"kind": "preemption", "deadline": "2026-01-01T00:05:00.000Z"}))
    new.rename(place)


def test_a_notice_is_there_while_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Asked at any time, the notice's kind and deadline come back, and None before and after."""
    place = tmp_path / "notice.json"
    assert flow.preempt_notice() is None
    monkeypatch.setenv("FLOW_NOTICE_FILE", str(place))
    assert flow.preempt_notice() is None
    put(place)
    found = flow.preempt_notice()
    assert found is not None
    assert ("preemption", DEADLINE) == (found.kind.value, found.deadline)


def test_a_word_that_is_no_signal_is_refused():
    """A misspelt signal is named, and nothing is listened to."""
    with pytest.raises(ValueError, match="'USR9' is no signal"):
        flow.on_preempt(print, signal="USR9")


@pytest.mark.slow
def test_a_listener_hears_of_the_notice_and_of_its_end(tmp_path: Path):
    """On a real node the function is called with the notice, and with None when that was taken back."""
    node, bell = BareNode(tmp_path), Bell(tmp_path / "bell")
    program = tmp_path / "train.py"
    program.write_text(PROGRAM)
    root = Path(flow.__file__).parent.parent
    node.take((sys.executable, str(program), str(bell.path)), env={"PYTHONPATH": str(root)})
    started = node.start()
    bell.wait(len("ready"))
    put(node.home / "notice.json")
    bell.wait(len("heard"))
    (node.home / "notice.json").unlink()
    started.wait(PATIENCE_S)

    assert (
        b"preemption 2026-01-01 00:05:00+00:00 2026-01-01T00:05:00+00:00\ntaken back  \n"
        == node.log().data
    )
    assert 4 == node.report().exit_code
    bell.close()
    node.close()
