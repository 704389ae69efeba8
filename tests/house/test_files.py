"""How long a file may be, and what a test must say."""

from __future__ import annotations

import ast
from functools import cache
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


def test_every_test_says_what_it_shows():
    """Each test function has a docstring, those of the conformance kit included."""
    silent = [
        f"{tree.relative(path)}:{test}"
        for path in tree.python_files("tests", "flow_providers")
        for test in silence(path)[1]
    ]

    assert [] == silent


def test_every_python_file_says_why_it_is_there():
    """Each Python file with code in it opens with a docstring; samples and examples are data and may not."""
    silent = [
        tree.relative(path)
        for path in tree.python_files(*tree.PACKAGES, "tests")
        if "samples" not in path.parts and silence(path)[0]
    ]

    assert [] == silent


@cache
def silence(path: Path) -> tuple[bool, list[str]]:
    """Whether a file has code but no docstring, and its tests that have none, each with its line; parsed once."""
    text = path.read_text("utf-8")
    parsed = ast.parse(text)
    tests = [
        f"{node.lineno} {node.name}"
        for node in (ast.walk(parsed) if "def test_" in text else ())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    return bool(parsed.body) and not ast.get_docstring(parsed), tests
