"""What a script asks of the queue, on both sides of the folder in which it is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flow_adapters.node_files import load_kit
from flow_core.node.slurm import outbox, queueing
from flow_core.node.slurm.layout import Wrong, seconds_of


def fetched(home: Path, answers: dict[str, object]) -> dict[str, dict[str, object]]:
    """What the watcher does on the node: lay down answers, take requests."""
    (home / "kit.zip").write_bytes(load_kit())
    done = subprocess.run(
        [sys.executable, str(home / "kit.zip"), "outbox"],
        input=json.dumps(answers),
        env={"FLOW_HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_a_request_is_fetched_and_its_answer_comes_back(tmp_path: Path):
    """The request stands until it is answered, the answer reaches who asked, and nothing is left."""
    assert {} == fetched(tmp_path, {})
    heard: list[dict[str, object]] = []
    env = {"FLOW_HOME": str(tmp_path)}
    asking = threading.Thread(target=lambda: heard.append(outbox.ask({"what": "squeue"}, env)))
    asking.start()
    found: dict[str, dict[str, object]] = {}
    for _ in range(50):
        found = found or fetched(tmp_path, {})
    left = fetched(tmp_path, {name: {"code": 5} for name in found})
    asking.join(20)

    assert [{"what": "squeue"}] == list(found.values())
    assert {} == left
    assert [{"code": 5}] == heard
    assert ["watched"] == [each.name for each in (tmp_path / "slurm" / "outbox").iterdir()]


def test_with_nobody_who_looks_it_fails_with_a_sentence(tmp_path: Path):
    """Where no watcher comes the request is taken back, so that none finds it later."""
    env = {"FLOW_HOME": str(tmp_path), "FLOW_SLURM_UNWATCHED_S": "0.1"}
    with pytest.raises(Wrong, match="nobody looks in"):
        outbox.ask({"what": "squeue"}, env)

    assert [] == list((tmp_path / "slurm" / "outbox").iterdir())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 120), ("1:30", 90), ("1:00:00", 3600), ("1-2", 93_600), ("1-0:1", 86_460), ("", 0)],
)
def test_limits_of_steps_are_read_as_slurm_reads_them(text: str, seconds: int):
    """One number is minutes, two are minutes and seconds, after days come hours."""
    assert seconds == seconds_of(text)


def test_squeue_writes_what_its_format_says():
    """Widths cut and fill, a dot ranges right, other text stays."""
    row = {"i": "7_1", "j": "a-long-name", "t": "R"}

    assert "[7_1  ] a-long    R" == queueing.formatted("[%5i] %6j %.4t", row)
    with pytest.raises(Wrong, match="%Q"):
        queueing.formatted("%Q", row)


@pytest.mark.parametrize("words", [["12"], [], ["77", "78"]])
def test_only_its_own_number_is_requeued(words: list[str]):
    """Another task's number is refused with what would work."""
    with pytest.raises(Wrong, match="SLURM_JOB_ID"):
        queueing.requeue(words, {"SLURM_JOB_ID": "77"})
