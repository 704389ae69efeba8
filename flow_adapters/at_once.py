"""Doing a few things at once, each in a thread: for what waits for somebody else's answers.

`concurrent.futures` does more, and loads logging for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

Given = TypeVar("Given")
Found = TypeVar("Found")


def at_once(
    act: Callable[[Given], Found], given: Iterable[Given], *, lanes: int = 8
) -> list[Found]:
    """Return what `act` makes of each, in their order; so many `lanes` are acted on at a time.

    All are acted on, whatever becomes of others; then the first one's exception is raised, if there are any.
    """
    all_given = list(given)
    found: dict[int, Found] = {}
    troubles: dict[int, BaseException] = {}
    waiting = list(reversed(range(len(all_given))))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                number = waiting.pop()
            try:
                found[number] = act(all_given[number])
            except BaseException as trouble:  # noqa: BLE001  (raised below)
                troubles[number] = trouble

    threads = [threading.Thread(target=work) for _ in all_given[1:lanes]]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if troubles:
        raise troubles[min(troubles)]
    return [found[number] for number in range(len(all_given))]
