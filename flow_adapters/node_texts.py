"""Programs for nodes as one text each, with what they share in them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_IMPORT = re.compile(r"^from flow_adapters\.node_looks import (?:\([^)]*\)|.*)\n", re.MULTILINE)
_FUTURE = "from __future__ import annotations\n"


@cache
def with_looks(program: Path) -> str:
    """Return a program's text with that of `node_looks` where it imports from there."""
    shared = Path(__file__).with_name("node_looks.py").read_text("utf-8").partition(_FUTURE)[2]
    return _IMPORT.sub(lambda _: shared, program.read_text("utf-8"), count=1)
