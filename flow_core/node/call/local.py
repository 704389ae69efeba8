"""A function of an App as code on a node sees it. Python 3.8, standard library only."""

from __future__ import annotations

from typing import Any


class LocalFunction:
    """Stands for a function of an App on a node: each way to call it runs it there and then."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it here."""
        return self.raw(*args, **kwargs)

    local = remote = __call__
