"""The guides to ends and to several nodes: each submit is one that Flow would carry out."""

from __future__ import annotations

import shlex

import pytest

from tests.docs import test_pages_run
from tests.docs.blocks import blocks

newcomer = test_pages_run.newcomer
SUBMITS = [
    line
    for page in ("docs/guides/ending.md", "docs/guides/distributed.md")
    for block in blocks(page, "sh")
    for line in block.text.splitlines()
    if line.startswith("flow submit")
]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("line", SUBMITS)
def test_a_submit_is_one_that_flow_takes(newcomer, line):
    """Its plan is made; a ceiling says in it until when it holds."""
    planned = newcomer.run(*shlex.split(line), "--dry-run", "--provider", "mock")

    assert 0 == planned.returncode, planned.stderr
    assert ("--max-spend" in line) == ("while this machine is awake" in planned.stdout)
