"""The command that is a stream's other end: `stream.py` as text, in whatever Python the node has."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib import resources


def receiving_line(target: str, *, into: bool) -> str:
    """Return what makes files of the stream on its input, below `target` of the node."""
    return _line("receive", target, "into" if into else "as")


def sending_line(paths: Sequence[str], *, recursive: bool) -> str:
    """Return what writes what lies at `paths` of the node to its output, as a stream."""
    return _line("send", "recursive" if recursive else "plain", *paths)


def _line(*words: str) -> str:
    script = (resources.files("flow_adapters.copying") / "stream.py").read_text("utf-8")
    return f'exec "${{FLOW_PYTHON:-python3}}" -c {shlex.join([script, *words])}'
