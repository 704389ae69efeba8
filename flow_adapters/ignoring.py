"""What ignore files leave out, decided as git decides it.

A pattern is tried on one path at a time, from the folder whose file holds it: on the last part of the path where the
pattern has no slash but a final one, else on all of it. The last pattern of a file that fits decides, files further
down outrank those above, and what lies in an ignored folder is not looked at. All of it works on bytes, as git does,
so that names in any encoding match alike. Source: gitignore(5), and git's wildmatch for what it doesn't say.

Libraries that match whole paths at once let a negated folder bring back what a pattern below it ignores; git does not.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable

_CLASSES = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "cntrl": "".join(map(chr, range(32))) + "\x7f",
    "digit": string.digits,
    "graph": string.ascii_letters + string.digits + string.punctuation,
    "lower": string.ascii_lowercase,
    "print": string.ascii_letters + string.digits + string.punctuation + " ",
    "punct": string.punctuation,
    "space": " \t\n\v\f\r",
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}
_NEVER = rb"(?!)"
_SPECIAL = re.compile(rb"[*?\[\\]")
_SPACES_AT_END = re.compile(rb"((?:\\.|[^\\ ]| +(?=[^ ]))*\\?) *", re.DOTALL)

#: (is it negated, is it for folders only, is it for the last part only, what the text must be, or must match)
_Rule = tuple[bool, bool, bool, bytes, "Callable[[bytes], object] | None"]


class IgnoreRules:
    """The patterns of one ignore file."""

    def __init__(self, content: bytes) -> None:
        lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        rules = [_rule(line.removesuffix(b"\r")) for line in lines]
        self._last_first = [rule for rule in reversed(rules) if rule is not None]

    def verdict(self, path: bytes, name: bytes, *, is_folder: bool) -> bool | None:
        """Whether `path`, seen from this file's folder, is ignored; `name` is its last part. None: nothing fits."""
        for negated, folders_only, by_name, literal, matches in self._last_first:
            if folders_only and not is_folder:
                continue
            text = name if by_name else path
            if matches(text) if matches is not None else text == literal:
                return not negated
        return None


def _rule(line: bytes) -> _Rule | None:
    spaces = _SPACES_AT_END.fullmatch(line)
    pattern = spaces[1] if spaces else line
    if pattern.startswith(b"#"):
        return None
    negated = pattern.startswith(b"!")
    pattern = pattern[negated:]
    folders_only = pattern.endswith(b"/")
    pattern = pattern[: len(pattern) - folders_only]
    by_name = b"/" not in pattern
    pattern = pattern.removeprefix(b"/")
    if not pattern:
        return None
    if _SPECIAL.search(pattern) is None:
        return negated, folders_only, by_name, pattern, None
    return negated, folders_only, by_name, b"", re.compile(_regex(pattern), re.DOTALL).fullmatch


def _regex(pattern: bytes) -> bytes:
    """Return a regex for the whole text that a pattern stands for."""
    first = _SPECIAL.search(pattern)
    start = first.start() if first else 0
    parts: list[bytes] = []
    place = 0
    while place < len(pattern):
        char = pattern[place : place + 1]
        if char == b"*":
            part, place = _stars(pattern, place, start)
        elif char == b"?":
            part, place = rb"[^/]", place + 1
        elif char == b"[":
            part, place = _bracket(pattern, place + 1)
        elif char == b"\\":
            escaped = pattern[place + 1 : place + 2]
            part, place = (re.escape(escaped) if escaped else _NEVER), place + 2
        else:
            part, place = re.escape(char), place + 1
        parts.append(part)
    return b"".join(parts)


def _stars(pattern: bytes, place: int, start: int) -> tuple[bytes, int]:
    """Translate a run of stars: two or more cross folders where they stand between slashes or ends.

    What comes before the first special character was compared already when git looks for these, so it counts as an end.
    """
    end = place
    while pattern[end : end + 1] == b"*":
        end += 1
    rest = pattern[end:]
    opens = place == start or pattern[place - 1 : place] == b"/"
    if end - place < 2 or not opens or not (not rest or rest.startswith((b"/", b"\\/"))):
        return rb"[^/]*", end
    return (rb"(?:.*/)?", end + 1) if rest.startswith(b"/") else (rb".*", end)


def _bracket(pattern: bytes, place: int) -> tuple[bytes, int]:
    """Translate what stands in brackets, from behind the opening one; unclosed, it matches nothing."""
    negated = pattern[place : place + 1] in (b"!", b"^")
    place += negated
    members: set[int] = set()
    previous: int | None = None
    begun = False
    while True:
        char = pattern[place : place + 1]
        if not char:
            return _NEVER, len(pattern)
        if char == b"]" and begun:
            break
        begun = True
        after = pattern[place + 1 : place + 2]
        if char == b"\\":
            if not after:
                return _NEVER, len(pattern)
            previous, place = after[0], place + 1
            members.add(previous)
        elif char == b"-" and previous is not None and after not in (b"", b"]"):
            place += 1
            if after == b"\\":
                place += 1
                after = pattern[place : place + 1]
                if not after:
                    return _NEVER, len(pattern)
            members.update(range(previous, after[0] + 1))
            previous = None
        elif char == b"[" and after == b":":
            close = pattern.find(b"]", place + 2)
            if close < 0:
                return _NEVER, len(pattern)
            if pattern[close - 1 : close] == b":" and close - 1 >= place + 2:
                known = _CLASSES.get(pattern[place + 2 : close - 1].decode("latin-1"))
                if known is None:
                    return _NEVER, len(pattern)
                members.update(known.encode())
                previous, place = None, close
            else:
                members.add(char[0])
                previous = char[0]
        else:
            members.add(char[0])
            previous = char[0]
        place += 1
    chosen = (set(range(256)) - members if negated else members) - {ord("/")}
    return _one_of(chosen), place + 1


def _one_of(members: set[int]) -> bytes:
    if not members:
        return _NEVER
    return b"[" + b"".join(b"\\x%02x" % member for member in sorted(members)) + b"]"
