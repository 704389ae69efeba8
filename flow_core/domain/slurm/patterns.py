"""Where output goes: the `%` patterns of a file's name."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PATTERN = re.compile(r"%([0-9]*)([a-zA-Z%])")


def expanded(pattern: str, values: Mapping[str, str]) -> str:
    """Replace `%j` and its kin; `%5j` pads a number with zeros, a backslash turns patterns off, others stay."""
    if "\\" in pattern:
        return pattern.replace("\\", "")

    def replaced(found: re.Match[str]) -> str:
        width, letter = found[1], found[2]
        if letter == "%":
            return "%"
        value = values.get(letter)
        if value is None:
            return found[0]
        return value.zfill(min(int(width), 10)) if width and value.isdecimal() else value

    return _PATTERN.sub(replaced, pattern)
