"""Which sentence of which port a test shows: the kit's own bookkeeping.

A contract test carries `@states("market.bid", "Return one bid, live or ended.")`: the port's file and the method or
class whose docstring holds the sentence, then the sentence. `sentences` reads the docstrings the same way, so that a
test of ours can compare both ways: no sentence without a test, no test of a sentence that is gone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from textwrap import dedent
from typing import TypeVar

from attrs import frozen

Test = TypeVar("Test", bound=Callable[..., None])

_MARK = "__states__"
_END = re.compile(r"(?<=\.)\s+(?=[A-Z`])")


@frozen(order=True)
class Statement:
    """One sentence of a port, and where it stands: `market.place`, or `shell.Call` for a class."""

    place: str
    sentence: str


def states(place: str, sentence: str) -> Callable[[Test], Test]:
    """Mark a test as showing that `sentence`, at `place`, is kept; a test may carry several marks."""

    def mark(test: Test) -> Test:
        setattr(test, _MARK, (Statement(place, sentence), *stated(test)))
        return test

    return mark


def stated(test: object) -> tuple[Statement, ...]:
    """Return what `test` is marked with, in reading order."""
    found: tuple[Statement, ...] = getattr(test, _MARK, ())
    return found


def sentences(port: str, source: str) -> Iterator[Statement]:
    """Yield every sentence in the docstrings of the classes of one port's `source`, and of their methods.

    Each entry of a `Raises:` section is one sentence. The file's own docstring is an introduction and not read.
    """
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            yield from _of(f"{port}.{node.name}", node)
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield from _of(f"{port}.{inner.name}", inner)


def _of(place: str, node: ast.ClassDef | ast.FunctionDef) -> Iterator[Statement]:
    prose, _, raises = (ast.get_docstring(node) or "").partition("\nRaises:\n")
    for paragraph in re.split(r"\n\s*\n", prose.strip()):
        for sentence in _END.split(" ".join(paragraph.split())):
            if sentence:
                yield Statement(place, sentence)
    for entry in dedent(raises).strip().splitlines():
        yield Statement(place, entry)
