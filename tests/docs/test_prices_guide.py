"""docs/guides/prices.md, followed word for word on the mock."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import pytest

from tests.docs import test_pages_run
from tests.docs.blocks import ROOT, blocks

newcomer = test_pages_run.newcomer
PAGE = "docs/guides/prices.md"

pytestmark = pytest.mark.slow


def test_every_command_of_the_guide_works(newcomer):
    """In their order, in one shell, its commands end with 0, and show what the guide says they show."""
    done = newcomer.follow("sh -e", "".join(block.text for block in blocks(PAGE, "sh")))

    assert 0 == done.returncode, done.stderr
    for words in ("p90/1d gives $", "Wins nodes", "median $", '"kind": "backtest"', "hello"):
        assert words in done.stdout
    assert ElementTree.parse(newcomer.folder / "prices.svg").getroot().tag.endswith("svg")


def test_the_guides_python_works(newcomer):
    """Its scripts run as they stand; a policy of one's own is played and bid by."""
    newcomer.run("flow", "setup", "--provider", "mock", "--yes")
    first, own = blocks(PAGE, "python")
    done = newcomer.follow(sys.executable, first.text)
    played = newcomer.follow(sys.executable, own.text)

    assert 0 == done.returncode, done.stderr
    assert "$" in done.stdout
    assert 0 == played.returncode, played.stderr
    assert "wins 100%" in played.stdout


def test_the_guide_names_every_form_of_policy():
    """Each kind of policy has a row in the table."""
    text = (ROOT / PAGE).read_text("utf-8")

    assert all(f"| `{form}" in text for form in ("12.29", "2x", "p90", "budget:40@09:00"))
