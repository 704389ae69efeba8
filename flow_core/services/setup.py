"""Setting up: a provider's questions, each answer tried on the provider before it counts.

Nothing is kept here for longer than the asking: the caller writes `answers` into the user's settings, and `secrets`
where secrets are kept, once all is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from flow_core.errors import FlowError, InvalidRequest
from flow_core.ports.provider import Provider
from flow_core.ports.setup import Choice, Question, Takes

#: answers by setting -> the provider that is made with them over what is set already.
Connect = Callable[[Mapping[str, object]], Provider]

#: Asked of every provider: each has a market.
REGION = Question(
    setting="region", words="Region", help="where tasks go that don't say; none is the cheapest"
)
ANYWHERE = "the cheapest at the time"


@frozen(kw_only=True)
class Standing:
    """How one question stands: what its answer comes to, or why it doesn't work."""

    question: Question
    words: str = ""
    problem: FlowError | None = None

    @property
    def works(self) -> bool:
        """Whether the provider can be used as far as this goes."""
        return self.problem is None


class SettingUp:
    """One user's way through one provider's questions."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._given: dict[str, str] = {}
        self._secret: set[str] = set()
        self._provider = connect({})

    @property
    def provider(self) -> Provider:
        """The provider as it is with the answers so far."""
        return self._provider

    @property
    def origin(self) -> str | None:
        """Where secrets are for; see `Setup.origin`."""
        return self._provider.setup.origin() if self._provider.setup is not None else None

    @property
    def answers(self) -> Mapping[str, str]:
        """What was answered and may be written down, by setting."""
        return {name: value for name, value in self._given.items() if name not in self._secret}

    @property
    def secrets(self) -> Mapping[str, str]:
        """What was answered and is nobody else's to read."""
        return {name: value for name, value in self._given.items() if name in self._secret}

    def questions(self) -> Sequence[Question]:
        """Return what to ask, in order."""
        own = self._provider.setup.questions() if self._provider.setup is not None else ()
        return [*own, REGION]

    def choices(self, question: Question) -> Sequence[Choice]:
        """Return the answers that can be chosen now; empty where anything may be said."""
        if question == REGION:
            return [Choice(region) for region in _regions(self._provider)]
        return self._provider.setup.choices(question.setting) if self._provider.setup else ()

    def take(
        self, question: Question, value: str, *, besides: Mapping[str, str] | None = None
    ) -> str:
        """Take an answer that works, and return what it comes to; one that doesn't changes nothing.

        `besides` are settings that go with it, such as the private key beside a public one.

        Raises:
            InvalidRequest: it is empty, or there is no such thing.
            FlowError: whatever `Setup.check` raises.
        """
        text = value.strip()
        if not text:
            raise InvalidRequest({question.setting: "nothing was said"})
        given = {**self._given, **(besides or {}), question.setting: text}
        provider = self._connect(given)
        words = _checked(provider, question, text)
        self._given, self._provider = given, provider
        if question.takes is Takes.UNSEEN:
            self._secret.add(question.setting)
        return words

    def standing(self, question: Question, value: object = None) -> Standing:
        """Return how a question stands with what is set and was answered so far; `value` is what is set."""
        try:
            told = self._given.get(question.setting, value)
            words = _checked(self._provider, question, None if told is None else str(told))
        except FlowError as problem:
            return Standing(question=question, problem=problem)
        return Standing(question=question, words=words)


def _checked(provider: Provider, question: Question, value: str | None) -> str:
    if question != REGION:
        return provider.setup.check(question.setting) if provider.setup is not None else ""
    if value is None:
        return ANYWHERE
    there = _regions(provider)
    if value not in there:
        raise InvalidRequest(
            {"region": f"{value!r} is no region of {provider.name}; there are {', '.join(there)}"}
        )
    offers = sum(quote.region == value for quote in provider.market.quotes())
    return f"{value}: {offers} instance type{'s' if offers != 1 else ''} on offer"


def _regions(provider: Provider) -> list[str]:
    return sorted({quote.region for quote in provider.market.quotes()})
