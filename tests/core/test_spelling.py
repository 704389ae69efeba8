"""The nearest right spelling."""

from __future__ import annotations

import difflib

from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.spelling import nearest, nearest_hint

WORDS = st.text("abcde-", max_size=8)


@given(WORDS, st.lists(WORDS, max_size=6))
def test_the_quick_look_leaves_out_nothing(word: str, known: list[str]):
    """What is said is what `difflib` alone would say of the lower-case word."""
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)

    assert (close[0] if close else None) == nearest(word, known)


def test_a_hint_names_it_or_something_else():
    """Where nothing comes close, what else the caller has to say is said."""
    assert "nearest is 'region'" == nearest_hint("Regoin", ["region", "env"])
    assert "no" == nearest_hint("xyzzy", ["region", "env"], otherwise="no")
