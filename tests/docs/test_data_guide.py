"""docs/guides/data.md: its commands on the mock, and its forms of sources as Flow reads them."""

from __future__ import annotations

import re

import pytest
import yaml

from flow_core.domain.task_form import task_from_mapping
from tests.docs import test_pages_run
from tests.docs.blocks import blocks
from tests.house import tree

newcomer = test_pages_run.newcomer
PAGE = "docs/guides/data.md"


@pytest.mark.slow
def test_every_command_of_the_guide_works(newcomer):
    """In their order, in one shell, they end with 0; the second task reads what the first wrote."""
    done = newcomer.follow("sh -e", "".join(block.text for block in blocks(PAGE, "sh")))

    assert 0 == done.returncode, done.stderr
    assert re.search(r"^models\b.*100", done.stdout, re.MULTILINE)
    assert re.search(r"^scratch\b.*50", done.stdout, re.MULTILINE)


def test_every_source_of_the_guide_is_read():
    """The file at its top is a task, and each row of its table of sources a mount."""
    [block] = blocks(PAGE, "yaml")
    rows = re.findall(
        r"^\| `((?:volume|s3)://[^`]+)`", (tree.ROOT / PAGE).read_text(), re.MULTILINE
    )

    assert 3 == len(task_from_mapping(yaml.safe_load(block.text)).mounts)
    assert 6 == len(rows)
    for row in rows:
        task_from_mapping({"command": "true", "mounts": {"/x": row.replace("BUCKET", "bucket")}})
