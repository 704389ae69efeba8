"""How long a file may be, and what a test must say."""

from __future__ import annotations

import ast
from itertools import chain
from pathlib import Path

from tests.house import tree

LONGEST = 400


def test_no_python_file_is_longer_than_a_reader_can_hold():
    """No Python file has more than 400 lines, tests included."""
    lengths = {
        tree.relative(path): len(path.read_text("utf-8").splitlines())
        for path in tree.python_files()
    }

    assert {} == {name: length for name, length in lengths.items() if length > LONGEST}


def test_every_file_and_every_test_says_why_it_is_there():
    """Files with code in them open with a docstring, samples apart, and each test has one, the kit's included."""
    silent = [
        f"{tree.relative(path)}:{what}"
        for path in tree.python_files(*tree.PACKAGES, "tests")
        for what in silence(path)
    ]

    assert [] == silent


def silence(path: Path) -> list[str]:
    """What of a file has no docstring: it itself, and its tests, each with its line."""
    parsed = ast.parse(path.read_text("utf-8"))
    says = "samples" in path.parts or not parsed.body or ast.get_docstring(parsed)
    classes = [node.body for node in parsed.body if isinstance(node, ast.ClassDef)]
    return ([] if says else ["1"]) + [
        f"{node.lineno} {node.name}"
        for node in chain(parsed.body, *classes)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
