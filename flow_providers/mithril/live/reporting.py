"""The checks, run one after another, and the report of them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from random import Random

from attrs import frozen

from flow_core.domain.money import Spend
from flow_core.errors import FlowError, Unsupported
from flow_core.ports.clock import Clock
from flow_core.ports.provider import Provider
from flow_providers.mithril.live.checks import READING
from flow_providers.mithril.live.hiding import Hider
from flow_providers.mithril.live.listening import Exchange, Listening
from flow_providers.mithril.live.spending import Spending

VERSION = 1


@frozen(kw_only=True)
class Result:
    """What one check came to; `says` is fit to be sent to anyone."""

    check: str
    passed: bool
    says: str


class Live:
    """Runs checks at a provider whose requests `listening` hears."""

    def __init__(
        self, provider: Provider, *, clock: Clock, listening: Listening, hider: Hider
    ) -> None:
        self.results: list[Result] = []
        self.moments: list[tuple[float, str]] = []
        self._provider = provider
        self._clock = clock
        self._listening = listening
        self._hider = hider

    def read(self, tell: Callable[[Result], None]) -> None:
        """Run every check that changes nothing."""
        for check in READING:
            name = check.__name__.replace("_", " ")
            self._run(name, lambda check=check: check(self._provider, self._clock), tell)  # type: ignore[misc]

    def spend(self, most: Spend, *, chance: Random, tell: Callable[[Result], None]) -> None:
        """Run the one check that costs money."""
        spending = Spending(self._provider, most=most, chance=chance)
        self.moments = spending.moments
        self._run("one bid", spending.run, tell)

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(each.passed for each in self.results)

    def report(self) -> dict[str, object]:
        """Return everything that may be told, as plain JSON."""
        return {
            "version": VERSION,
            "python": platform.python_version(),
            "passed": self.passed,
            "checks": [
                {"check": each.check, "passed": each.passed, "says": each.says}
                for each in self.results
            ],
            "bid": [{"after_s": after, "seen": seen} for after, seen in self.moments],
            "requests": [_told(each) for each in self._listening.heard],
        }

    def _run(self, name: str, check: Callable[[], str], tell: Callable[[Result], None]) -> None:
        try:
            result = Result(check=name, passed=True, says=self._hider.hidden(check()))
        except (FlowError, LookupError) as trouble:
            kind = type(trouble).__name__
            words = trouble.message if isinstance(trouble, FlowError) else str(trouble)
            says = f"{kind}: {self._hider.hidden(words)}"
            result = Result(check=name, passed=isinstance(trouble, Unsupported), says=says)
        self.results.append(result)
        tell(result)


def _told(each: Exchange) -> Mapping[str, object]:
    return {
        "request": f"{each.method} {each.path}",
        "query": list(each.query),
        "status": each.status,
        "took_ms": each.took_ms,
        "answer": each.answer,
    }
