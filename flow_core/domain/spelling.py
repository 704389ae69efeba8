"""The nearest right spelling of a word that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable

#: How much of two words must be alike: twice the letters in common, as a part of all.
_CUTOFF = 0.6


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that is spelled most like `word`, or None when none comes close."""
    word = word.lower()
    likely = [each for each in known if _may_be(word, each)]
    if not likely:
        return None
    import difflib

    close = difflib.get_close_matches(word, likely, n=1, cutoff=_CUTOFF)
    return close[0] if close else None


def _may_be(word: str, other: str) -> bool:
    """Whether letters in common, in whatever order, would be enough: most are not, and `difflib` takes long to load."""
    common = sum(min(word.count(letter), other.count(letter)) for letter in set(word))
    return 2 * common >= _CUTOFF * (len(word) + len(other))


def nearest_hint(word: str, known: Iterable[str], *, otherwise: str | None = None) -> str | None:
    """Return 'nearest is ...' as a hint, or `otherwise` when nothing comes close."""
    close = nearest(word, known)
    return f"nearest is {close!r}" if close else otherwise
