"""How long a file may be, and what a test must say."""

from __future__ import annotations

import ast

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
        f"{tree.relative(path)}:{node.lineno} {node.name}"
        for path in tree.python_files("tests", "flow_providers")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert [] == silent


def test_every_python_file_says_why_it_is_there():
    """Each Python file with code in it opens with a docstring; samples and examples are data and may not."""
    silent = [
        tree.relative(path)
        for path in tree.python_files(*tree.PACKAGES, "tests")
        if "samples" not in path.parts
        and (parsed := ast.parse(path.read_text("utf-8"))).body
        and not ast.get_docstring(parsed)
    ]

    assert [] == silent
