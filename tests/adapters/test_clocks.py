"""Clocks: time never runs back, and a moved one visits all that is due."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.clocks import ManualClock, PacedClock, SystemClock
from flow_core.errors import InvalidRequest

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Every:
    """Something that is due every so often, and notes when it was stepped."""

    def __init__(self, clock: ManualClock, period: timedelta) -> None:
        self.clock = clock
        self.period = period
        self.due: datetime | None = clock.now() + period
        self.seen: list[datetime] = []

    def next_due(self) -> datetime | None:
        return self.due

    def step(self) -> None:
        self.seen.append(self.clock.now())
        while self.due is not None and self.due <= self.clock.now():
            self.due += self.period


def test_the_machines_time_is_aware():
    """SystemClock tells UTC."""
    assert timedelta(0) == SystemClock().now().utcoffset()


@given(
    readings=st.lists(
        st.tuples(st.integers(-10_000, 10_000), st.floats(0, 100)), min_size=1, max_size=20
    )
)
def test_a_clock_set_back_runs_on(readings):
    """However the machine's clock is set, SystemClock never tells an earlier time than before."""
    seconds = iter([offset for offset, _ in readings])
    ticks, total = [], 0.0
    for _, passed in readings:
        total += passed
        ticks.append(total)
    steady = iter(ticks)
    clock = SystemClock(
        wall=lambda: NOON + timedelta(seconds=next(seconds)), monotonic=lambda: next(steady)
    )
    told = [clock.now() for _ in readings]

    assert sorted(told) == told


def test_a_clock_set_back_does_not_stand_still():
    """After the machine's clock was set back an hour, a second that passes is still a second."""
    walls = iter([NOON, NOON - timedelta(hours=1), NOON - timedelta(hours=1, seconds=-1)])
    ticks = iter([0.0, 1.0, 2.0])
    clock = SystemClock(wall=lambda: next(walls), monotonic=lambda: next(ticks))
    first = clock.now()

    assert timedelta(seconds=1) == clock.now() - first
    assert timedelta(seconds=2) == clock.now() - first


def test_no_sleep_is_no_wait():
    """Sleeping for zero or less returns at once, on every clock."""
    manual = ManualClock(NOON)
    for clock in (
        SystemClock(),
        manual,
        PacedClock(manual, rate=60, real_anchor=NOON, anchor=NOON),
    ):
        clock.sleep(0)
        clock.sleep(-5)

    assert NOON == manual.now()


def test_sleeping_moves_a_manual_clock():
    """A sleep on a ManualClock is over at once, and the time has passed."""
    clock = ManualClock(NOON)
    clock.sleep(90)

    assert NOON + timedelta(seconds=90) == clock.now()


def test_a_manual_clock_refuses_to_go_back():
    """A negative advance is refused, and the time stays."""
    clock = ManualClock(NOON)
    with pytest.raises(InvalidRequest):
        clock.advance(hours=1, minutes=-61)

    assert NOON == clock.now()


def test_a_manual_clock_starts_in_a_zone():
    """A start without a time zone is refused; one in another zone is told in UTC."""
    with pytest.raises(InvalidRequest):
        ManualClock(datetime(2026, 1, 1))  # noqa: DTZ001
    away = timezone(timedelta(hours=5))

    assert timedelta(0) == ManualClock(NOON.astimezone(away)).now().utcoffset()


@given(
    periods=st.lists(st.integers(1, 500), min_size=1, max_size=4),
    moves=st.lists(st.integers(0, 2_000), max_size=6),
)
def test_every_due_time_is_visited_in_order(periods, moves):
    """Moving the time steps each stepper at exactly its due times, whatever the moves were."""
    clock = ManualClock(NOON)
    steppers = [Every(clock, timedelta(seconds=period)) for period in periods]
    visits: list[datetime] = []
    for stepper in steppers:
        clock.add_stepper(stepper.next_due, stepper.step)
        clock.add_stepper(lambda: None, lambda: visits.append(clock.now()))
    for move in moves:
        clock.advance(seconds=move)
    passed = sum(moves)

    assert NOON + timedelta(seconds=passed) == clock.now()
    assert [] == visits
    for period, stepper in zip(periods, steppers, strict=True):
        assert [
            NOON + timedelta(seconds=at) for at in range(period, passed + 1, period)
        ] == stepper.seen


def test_what_is_overdue_is_stepped_without_moving():
    """A due time in the past is stepped at the present, once, before the time moves."""
    clock = ManualClock(NOON)
    stepper = Every(clock, timedelta(hours=1))
    stepper.due = NOON - timedelta(days=1)
    clock.add_stepper(stepper.next_due, stepper.step)
    clock.advance()

    assert [NOON] == stepper.seen


def test_a_stepper_that_stays_due_is_told_apart():
    """A step that leaves its due time where it is ends in an error that names it, not in a hang."""
    clock = ManualClock(NOON)

    def stuck() -> None:
        """Leave everything as it was."""

    clock.add_stepper(lambda: NOON + timedelta(seconds=1), stuck)
    with pytest.raises(RuntimeError, match=r"stuck.*must move its next due time on"):
        clock.advance(seconds=2)


def test_a_sleep_inside_a_step_moves_the_time():
    """Steps may sleep: the time moves past the target if need be, and those due meanwhile are stepped after."""
    clock = ManualClock(NOON)
    other = Every(clock, timedelta(seconds=7))
    slow = Every(clock, timedelta(seconds=5))

    def dawdle() -> None:
        slow.step()
        slow.due = None
        clock.sleep(10)

    clock.add_stepper(slow.next_due, dawdle)
    clock.add_stepper(other.next_due, other.step)
    clock.advance(seconds=6)

    assert NOON + timedelta(seconds=15) == clock.now()
    assert [NOON + timedelta(seconds=15)] == other.seen


def test_a_step_that_raises_leaves_the_clock_usable():
    """What a step raises reaches whoever moved the time, and the time can be moved again."""
    clock = ManualClock(NOON)
    due: list[datetime] = [NOON + timedelta(seconds=1)]

    def fall() -> None:
        due.clear()
        raise ValueError("fell")

    clock.add_stepper(lambda: due[0] if due else None, fall)
    with pytest.raises(ValueError, match="fell"):
        clock.advance(seconds=5)
    clock.advance(seconds=4)

    assert NOON + timedelta(seconds=5) == clock.now()


def test_a_removed_stepper_is_left_alone():
    """What add_stepper returns takes the stepper away again; twice is once."""
    clock = ManualClock(NOON)
    stepper = Every(clock, timedelta(seconds=1))
    remove = clock.add_stepper(stepper.next_due, stepper.step)
    remove()
    remove()
    clock.advance(minutes=1)

    assert [] == stepper.seen


@given(rate=st.integers(1, 5_000), seconds=st.integers(0, 1_000_000))
def test_a_paced_clock_runs_at_its_rate(rate, seconds):
    """While the real clock moves by s, the paced one moves by rate × s from its anchor."""
    real = ManualClock(NOON)
    anchor = NOON - timedelta(days=400)
    clock = PacedClock(real, rate=rate, real_anchor=NOON, anchor=anchor)
    real.advance(seconds=seconds)

    assert anchor + timedelta(seconds=seconds * rate) == clock.now()


def test_a_paced_sleep_is_short():
    """An hour of sleep on a clock of rate 60 takes a real minute."""
    real = ManualClock(NOON)
    clock = PacedClock(real, rate=60, real_anchor=NOON, anchor=NOON)
    clock.sleep(3_600)

    assert NOON + timedelta(minutes=1) == real.now()
    assert NOON + timedelta(hours=1) == clock.now()


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_pace_is_more_than_nothing(rate):
    """A rate under which time would stand or run back is refused."""
    with pytest.raises(InvalidRequest):
        PacedClock(ManualClock(), rate=rate, real_anchor=NOON, anchor=NOON)


def test_now_may_be_asked_from_many_threads():
    """Each thread sees a time that never runs back."""
    clock = SystemClock()
    wrong: list[bool] = []

    def look() -> None:
        told = [clock.now() for _ in range(500)]
        wrong.append(told != sorted(told))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [False] * 4 == wrong
