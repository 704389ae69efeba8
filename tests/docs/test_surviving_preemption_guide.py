"""docs/guides/surviving-preemption.md, followed word for word on the mock."""

from __future__ import annotations

import re
import shutil

import pytest

from flow_core.domain.record import Fault
from flow_core.domain.task_parts import Recover
from tests.docs import test_pages_run
from tests.docs.blocks import ROOT, Block, blocks

newcomer = test_pages_run.newcomer
PAGE = "docs/guides/surviving-preemption.md"
SETUP, *SHELL = blocks(PAGE, "sh")

slow = pytest.mark.slow


def about(name: str) -> list[Block]:
    """The blocks that name a task, or a volume of its."""
    return [block for block in SHELL if re.search(rf"\b{name}\b", block.text)]


@slow
@pytest.mark.torch
def test_the_guides_training_comes_back(newcomer):
    """The copied program is preempted, goes on from its save and ends; status tells whose fault it was."""
    pytest.importorskip("torch")
    shutil.copy(ROOT / "docs" / "examples" / "checkpoints" / "train.py", newcomer.folder)
    done = newcomer.follow("sh -e", "".join(block.text for block in [SETUP, *about("train")]))

    assert 0 == done.returncode, done.stderr
    assert "leaves after epoch" in done.stdout
    assert "goes on after epoch" in done.stdout
    assert "final loss 0x" in done.stdout
    assert "market 1" in done.stdout
    assert "attempt 2 begins" in done.stderr


@slow
def test_the_guides_own_programs_are_told(newcomer):
    """The Python loop and the bash script hear of the notice, leave, and go on from what they saved."""
    for block in [*blocks(PAGE, "python"), *blocks(PAGE, "bash")]:
        assert block.name is not None
        (newcomer.folder / block.name).write_text(block.text, "utf-8")
    done = newcomer.follow("sh -e", "".join(block.text for block in [SETUP, *about("loop")]))

    assert 0 == done.returncode, done.stderr
    assert ["from step 0", "begins"] == re.findall("from step 0$|begins$", done.stdout, re.M)
    assert re.search(r"leaves at step \d+: preemption at 20", done.stdout + done.stderr)
    assert re.search(r"from step [1-9]\d*\ndone\n", done.stdout)
    assert "begins\nsaving\ngoes on\n" in done.stdout


@slow
def test_the_guides_node_comes_back(newcomer):
    """A killed node has the pair begin again together."""
    done = newcomer.follow("sh -e", "".join(block.text for block in [SETUP, *about("pair")]))

    assert 0 == done.returncode, done.stderr
    assert ["[0] start 1", "[1] start 1"] == sorted(re.findall(r"\[\d\] start 1", done.stdout))


def test_every_block_is_run():
    """The tests above leave none out."""
    followed = [*about("train"), *about("loop"), *about("pair")]

    assert [str(block) for block in SHELL] == [str(block) for block in followed]
    assert ["loop.py", "script.sh"] == [
        block.name for language in ("python", "bash") for block in blocks(PAGE, language)
    ]


def test_every_word_is_explained():
    """Each way to recover and each kind of fault has a row."""
    text = (ROOT / PAGE).read_text("utf-8")

    assert all(f"| `{fault.value}` |" in text for fault in Fault)
    assert all(f"| `{how.value}" in text for how in Recover)
