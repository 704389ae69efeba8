"""Every clock keeps the promises of the port, whatever its time is made of."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow_adapters.clocks import ManualClock, PacedClock, SystemClock
from flow_core.ports.clock import Clock
from flow_providers.conformance.stating import sentences, stated, states
from tests.house import tree


def paced() -> Clock:
    """A thousand seconds in a real one."""
    real = SystemClock()
    start = real.now()
    return PacedClock(real, rate=1000.0, real_anchor=start, anchor=start)


@pytest.fixture(params=[ManualClock, SystemClock, paced], ids=["manual", "system", "paced"])
def clock(request: pytest.FixtureRequest) -> Clock:
    """One of the clocks."""
    return request.param()


@states("clock.Clock", "Tells the time and lets it pass.")
def test_time_passes_in_a_sleep(clock):
    """After a sleep the clock shows more than before it."""
    before = clock.now()
    clock.sleep(0.02)

    assert clock.now() > before


@states("clock.now", "Return the time, aware, in UTC; never earlier than it returned before.")
def test_time_is_utc_and_never_runs_back(clock):
    """Every reading is in UTC and at least the one before it."""
    readings = [clock.now() for _ in range(1000)]

    assert {timedelta(0)} == {reading.utcoffset() for reading in readings}
    assert readings == sorted(readings)


@states(
    "clock.sleep",
    "Return when `seconds` of this clock have passed; at once for zero or less.",
)
def test_a_sleep_lasts_as_long_as_asked(clock):
    """A sleep of so many seconds moves the clock by that much at least."""
    before = clock.now()
    clock.sleep(0.05)

    # The machine's monotonic time, which sleeps are counted in, and its calendar may part by a little.
    assert clock.now() - before >= timedelta(seconds=0.045)


@states(
    "clock.sleep",
    "Return when `seconds` of this clock have passed; at once for zero or less.",
)
@pytest.mark.parametrize("seconds", [0, -1, -1e9])
def test_a_sleep_of_nothing_is_over_at_once(clock, seconds):
    """Sleeping for zero seconds or less returns, and moves a held clock by nothing."""
    before = clock.now()
    clock.sleep(seconds)

    assert clock.now() - before < timedelta(seconds=60)
    if isinstance(clock, ManualClock):
        assert before == clock.now()


def test_every_sentence_of_the_clock_has_a_test():
    """The sentences of the port and those stated here are the same."""
    text = (tree.ROOT / "flow_core" / "ports" / "clock.py").read_text("utf-8")
    shown = {each for test in globals().values() for each in stated(test)}

    assert set(sentences("clock", text)) == shown
