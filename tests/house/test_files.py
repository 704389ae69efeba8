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


def test_every_test_of_a_class_says_what_it_shows():
    """Each has a docstring, the kit's included; modules and functions are ruff's business."""
    silent = [
        f"{tree.relative(path)}:{test}"
        for path in tree.python_files("tests", "flow_providers")
        for test in silent_tests(path.read_text("utf-8"))
    ]

    assert [] == silent


def silent_tests(text: str) -> list[str]:
    """The tests in classes of a file's text that have no docstring, each with its line."""
    if "\n    def test_" not in text:
        return []
    return [
        f"{node.lineno} {node.name}"
        for kind in ast.parse(text).body
        if isinstance(kind, ast.ClassDef)
        for node in kind.body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]


def test_a_silent_test_is_found():
    """The line and the name of a test without a docstring are told."""
    assert ["2 test_x"] == silent_tests("class TestX:\n    def test_x(self): ...\n")
