"""docs/guides/setup.md, followed as far as the mock goes."""

from __future__ import annotations

import pytest

from tests.docs import test_pages_run
from tests.docs.blocks import blocks

newcomer = test_pages_run.newcomer
PAGE = "docs/guides/setup.md"


@pytest.mark.slow
def test_what_the_guide_runs_on_the_mock_works(newcomer):
    """In their order, in one shell, its commands end with 0; the mock is then the configured provider."""
    done = newcomer.follow("sh -e", "".join(block.text for block in blocks(PAGE, "sh")))

    assert 0 == done.returncode, done.stderr
    assert "✓ ok" in done.stdout
    assert 'provider = "mock"' in (newcomer.folder.parent / "config" / "config.toml").read_text()
