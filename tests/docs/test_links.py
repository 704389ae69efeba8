"""Links between pages lead somewhere."""

from __future__ import annotations

import re

import pytest

from tests.docs.blocks import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_link_leads_to_a_file(page):
    """Each relative link of a page names a file of the tree."""
    targets = [match[1] for match in _LINK.finditer(page.read_text("utf-8"))]
    missing = [
        target for target in targets if "://" not in target and not (page.parent / target).exists()
    ]

    assert [] == missing
