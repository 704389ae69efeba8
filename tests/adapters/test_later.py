"""Things made with their first use."""

from __future__ import annotations

import threading

import pytest

from flow_adapters.later import Once, later


def test_nothing_is_made_before_it_is_used():
    """An attribute is what needs the thing; it is made once, however many threads come together."""
    made: list[str] = []

    def make() -> str:
        made.append("word")
        return made[-1]

    thing = later(Once(make))
    assert [] == made
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(thing.upper())) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert ["WORD"] * 8 == found
    assert ["word"] == made


def test_a_making_that_failed_is_tried_again():
    """The error is the caller's, and the next caller's making may go well."""
    answers = [ValueError("not yet"), "made"]

    def make() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    once = Once(make)
    with pytest.raises(ValueError, match="not yet"):
        once()

    assert ["made", "made"] == [once(), once()]
