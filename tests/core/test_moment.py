"""Moments as people write them."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from flow_core.domain.moment import parse_moment
from flow_core.errors import InvalidRequest

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=timezone.utc)


def at(*numbers: int) -> datetime:
    """A moment in UTC."""
    return datetime(*numbers, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "text, moment",
    [
        ("now", at(2026, 3, 1, 12, 1)),
        ("+2h", at(2026, 3, 1, 14, 1)),
        ("2026-03-02", at(2026, 3, 2)),
        ("2026-03-02T09:00", at(2026, 3, 2, 9)),
        ("2026-03-02T09:00Z", at(2026, 3, 2, 9)),
        ("2026-03-02 09:00:15+01:00", at(2026, 3, 2, 8, 0, 15)),
    ],
)
def test_a_moment_is_read(text, moment):
    """Without a zone it is in UTC; what is reckoned from now is never past before it is read."""
    assert moment == parse_moment(text, now=NOW)


def test_a_full_minute_is_itself():
    """Nothing is added where nothing has to be."""
    assert at(2026, 3, 1) == parse_moment("now", now=at(2026, 3, 1))


@pytest.mark.parametrize("text", ["", "soon", "+", "+soon", "2026-13-01", "tomorrow"])
def test_what_is_no_moment_is_refused(text):
    """The message shows how one is written, under the field's name."""
    with pytest.raises(InvalidRequest) as caught:
        parse_moment(text, now=NOW, field="--start")

    assert ["--start"] == list(caught.value.problems)
