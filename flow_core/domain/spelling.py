"""The nearest right spelling of a word that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that is spelled most like `word`, or None when none comes close."""
    import difflib

    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def nearest_hint(word: str, known: Iterable[str], *, otherwise: str | None = None) -> str | None:
    """Return 'nearest is ...' as a hint, or `otherwise` when nothing comes close."""
    close = nearest(word, known)
    return f"nearest is {close!r}" if close else otherwise
