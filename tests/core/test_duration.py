"""Durations: what people write, read exactly, and written back."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.duration import LONGEST, format_duration, parse_duration, rough_duration
from flow_core.errors import InvalidRequest
from tests import strategies


@given(strategies.durations)
def test_what_is_written_reads_back_the_same(duration):
    """A duration survives its text to the microsecond."""
    assert duration == parse_duration(format_duration(duration))


@given(
    days=st.integers(0, 999),
    hours=st.integers(0, 99),
    minutes=st.integers(0, 99),
    seconds=st.integers(0, 99),
)
def test_units_add_up(days, hours, minutes, seconds):
    """Each unit counts as often as it says, in upper case and with spaces, too."""
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    text = f" {days}D {hours}h {minutes}m {seconds}s"
    if duration:
        assert duration == parse_duration(text)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90),
        ("90", 90),
        (0.5, 0.5),
        ("1.5s", 1.5),
        ("15m", 900),
        ("1h30m", 5_400),
        ("2d", 172_800),
        (timedelta(1), 86_400),
    ],
)
def test_a_bare_number_is_in_seconds(written, seconds):
    """Numbers and their text are seconds; units say otherwise."""
    assert timedelta(seconds=seconds) == parse_duration(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "soon",
        "1h30",
        "1d2",
        "m5",
        "5m1h",
        "1.5h",
        "-5",
        "1e3",
        "1:30",
        True,
        None,
        [],
        float("nan"),
    ],
)
def test_what_is_no_duration_is_refused(written):
    """Other texts and types are told under their field; minutes after hours need their unit."""
    with pytest.raises(InvalidRequest) as caught:
        parse_duration(written, field="max_run_time")

    assert "is no duration" in caught.value.problems["max_run_time"]


@pytest.mark.parametrize(
    "written",
    [0, "0s", -5, timedelta(0), timedelta(seconds=-1), LONGEST + timedelta(seconds=1), "99999d"],
)
def test_a_duration_has_its_bounds(written):
    """Nothing and less, and more than a century, are refused."""
    with pytest.raises(InvalidRequest, match="more than nothing and at most a century"):
        parse_duration(written)


@given(
    st.text(max_size=12) | st.text("0123456789dhms. ", max_size=12) | st.floats() | st.integers()
)
def test_whatever_is_written_is_read_or_refused(written):
    """Nothing gets past reading but a duration within its bounds or a problem."""
    found = timedelta(1)
    try:
        found = parse_duration(written)
    except InvalidRequest as error:
        assert ["duration"] == list(error.problems)  # noqa: PT017  # either end is right here

    assert timedelta(0) < found <= LONGEST


@given(strategies.durations)
def test_a_glance_is_two_units(duration):
    """A rough duration has one or two neighbouring units, and is less than one of the smaller off."""
    text = rough_duration(duration)
    sizes = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
    parts = re.fullmatch(r"(\d+)([dhms])(?: (\d+)([dhms]))?", text)
    shown = sum(
        int(number) * sizes[unit]
        for number, unit in zip(parts.groups()[::2], parts.groups()[1::2], strict=True)
        if unit
    )
    off = duration.total_seconds() - shown
    units = "dhms"

    assert 0 <= off
    assert parts[4] is None or units.index(parts[4]) == units.index(parts[2]) + 1
    assert off < sizes[units[min(units.index(parts[2]) + 1, 3)]]


def test_less_than_a_second_is_none_at_a_glance():
    """What is under a second, or negative, shows as nothing."""
    assert "0s" == rough_duration(timedelta(seconds=0.9)) == rough_duration(timedelta(seconds=-5))
    assert "0s" == format_duration(timedelta(0))
