"""The fenced blocks of a Markdown page, as things to run."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# ([\w-]+\.\w+)\n")


@frozen
class Block:
    """One fenced block: the page and line it begins at, its language, and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str | None:
        """The file name that a comment in its first line gives it."""
        found = _NAME.match(self.text)
        return found[1] if found else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, language: str | None = None) -> list[Block]:
    """The blocks of a page of the tree in their order, all or those in one language."""
    text = (ROOT / page).read_text("utf-8")
    found = [
        Block(page, text.count("\n", 0, match.start()) + 2, match[1], match[2])
        for match in _FENCE.finditer(text)
    ]
    return [block for block in found if language in (None, block.language)]
