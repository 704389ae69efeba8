"""The kit and the ports say the same things: no sentence without a test, no test without its sentence."""

from __future__ import annotations

import inspect
from collections import Counter

import pytest

from flow_providers.conformance import ProviderContract
from flow_providers.conformance.stating import Statement, sentences, stated, states
from tests.house import tree

PORTS = ("market", "fleet", "shell", "logs", "volumes", "account", "usage", "catalog")


def spoken() -> list[Statement]:
    """Every sentence of the ports that the kit covers."""
    return [
        statement
        for port in PORTS
        for statement in sentences(
            port, (tree.ROOT / "flow_core" / "ports" / f"{port}.py").read_text("utf-8")
        )
    ]


def contract_tests() -> dict[str, object]:
    """The kit's tests by name."""
    return {
        name: test
        for name, test in inspect.getmembers(ProviderContract, inspect.isfunction)
        if name.startswith("test_")
    }


def test_every_sentence_of_a_port_has_a_test():
    """Each sentence in the docstrings of the provider's ports is stated by at least one contract test."""
    shown = {statement for test in contract_tests().values() for statement in stated(test)}

    assert [] == [each for each in spoken() if each not in shown]


def test_every_contract_test_states_a_sentence_that_stands():
    """Each contract test states at least one sentence, each of them in the port it names, word for word."""
    standing = set(spoken())
    tests = contract_tests()

    assert [] == [name for name, test in tests.items() if not stated(test)]
    assert {} == {
        name: lost
        for name, test in tests.items()
        if (lost := [each for each in stated(test) if each not in standing])
    }


def test_no_test_hides_another():
    """No two contract classes have a test of the same name, so that a class of all of them runs each."""
    names = Counter(
        name
        for contract in ProviderContract.__mro__
        for name in vars(contract)
        if name.startswith("test_")
    )

    assert {} == {name: count for name, count in names.items() if count > 1}


SOURCE = '''
"""An introduction. It is not read."""

class Thing(Protocol):
    """Does it. Says `so`, e.g. to
    Tom.

    `x` is one.
    """

    def go(self):
        """Return, at once.

        Never: late; early.

        Raises:
            NotFound: it isn't. There.
            Conflict: it is.
        """
'''


def test_sentences_are_cut_where_they_end():
    """A sentence ends at a full stop before a capital or a backquote; each line of a Raises section is one."""
    expected = [
        Statement("thing.Thing", "Does it."),
        Statement("thing.Thing", "Says `so`, e.g. to Tom."),
        Statement("thing.Thing", "`x` is one."),
        Statement("thing.go", "Return, at once."),
        Statement("thing.go", "Never: late; early."),
        Statement("thing.go", "NotFound: it isn't. There."),
        Statement("thing.go", "Conflict: it is."),
    ]

    assert expected == list(sentences("thing", SOURCE.replace("to\n    Tom", "to Tom")))


@pytest.mark.parametrize("count", [1, 2])
def test_a_test_may_state_several_sentences(count):
    """Marks add up, in reading order."""

    def test(self: object) -> None:
        """Nothing."""

    for number in reversed(range(count)):
        test = states("a.b", f"Sentence {number}.")(test)

    assert [f"Sentence {number}." for number in range(count)] == [
        each.sentence for each in stated(test)
    ]
