"""Doing a few things at once."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as some

from flow_adapters.at_once import at_once


@given(numbers=some.lists(some.integers(), max_size=30), lanes=some.integers(1, 10))
def test_what_comes_of_each_is_in_order(numbers: list[int], lanes: int):
    """Each is acted on once, and what comes of it stands where it stood, however many lanes there are."""
    acted: list[int] = []

    def double(number: int) -> int:
        acted.append(number)
        return number * 2

    assert [number * 2 for number in numbers] == at_once(double, numbers, lanes=lanes)
    assert sorted(numbers) == sorted(acted)


def test_the_first_trouble_is_raised_when_all_have_been_acted_on():
    """One that fails keeps none of the others from being acted on."""
    acted: list[int] = []

    def fails(number: int) -> None:
        acted.append(number)
        if number > 1:
            raise ValueError(number)

    with pytest.raises(ValueError, match=r"^2$"):
        at_once(fails, range(5), lanes=2)

    assert [0, 1, 2, 3, 4] == sorted(acted)


def test_as_many_are_acted_on_at_a_time_as_there_are_lanes():
    """Four that wait for each other all come through four lanes."""
    barrier = threading.Barrier(4, timeout=10)

    assert 4 == len(at_once(lambda _: barrier.wait(), range(4), lanes=4))
