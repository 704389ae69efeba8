"""Things that are made with their first use, for what is expensive to load and often not needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Once(Generic[T]):
    """Makes a thing with the first call, and returns that one ever after; threads that come together wait for it.

    A making that fails is tried again with the next call.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._made: list[T] = []

    def __call__(self) -> T:
        """Return the thing."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


def later(find: Callable[[], T]) -> T:
    """Return what stands for the thing that `find` returns: `find` is called whenever an attribute is wanted."""
    return cast("T", _Later(find))


class _Later:
    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)
