"""What `import flow` is: names, and where to find them when they are first used."""

from __future__ import annotations

import ast
import importlib

import pytest

from tests.house import tree

FACADE = tree.ROOT / "flow" / "__init__.py"
LIGHT = {"__future__", "typing", "importlib", "sys"}

needs_facade = pytest.mark.skipif(not FACADE.exists(), reason="flow/__init__.py is not written yet")


def test_the_facade_is_two_files():
    """The folder holds `__init__.py` and `py.typed`, and no third file."""
    there = {tree.relative(path) for path in tree.files() if path.parts[-2] == "flow"}
    deeper = [path for path in tree.files() if tree.ROOT / "flow" in path.parent.parents]

    assert there <= {"flow/__init__.py", "flow/py.typed"}
    assert [] == deeper


@needs_facade
def test_the_facade_only_points():
    """It defines no class and does no work: imports for the type checker, tables of names, PEP 562's hooks."""
    surprises = [
        f"line {node.lineno}: {ast.unparse(node).splitlines()[0]}"
        for node in ast.parse(FACADE.read_text("utf-8")).body
        if not is_pointing(node)
    ]

    assert [] == surprises


@needs_facade
def test_the_facade_finds_all_that_it_promises():
    """Each name in `__all__` can be had, and the type checker is told of exactly those."""
    flow = importlib.import_module("flow")
    missing = [name for name in flow.__all__ if not hasattr(flow, name)]
    told = {
        alias.asname or alias.name
        for node in ast.parse(FACADE.read_text("utf-8")).body
        if isinstance(node, ast.If)
        for entry in ast.walk(node)
        if isinstance(entry, ast.ImportFrom)
        for alias in entry.names
    }

    assert [] == missing
    assert told == {name for name in flow.__all__ if not name.startswith("__")}


@needs_facade
def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name is refused as Python refuses it, so that `hasattr` and completion keep working."""
    flow = importlib.import_module("flow")

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = flow.no_such_name


def is_pointing(node: ast.stmt) -> bool:
    """Whether a top-level statement is one that a table of contents may have."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.ImportFrom(module=str(module)):
            return module.split(".")[0] in LIGHT
        case ast.Import(names=names):
            return all(alias.name.split(".")[0] in LIGHT for alias in names)
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body):
            return all(isinstance(inner, ast.Import | ast.ImportFrom) for inner in body)
        case ast.Assign(value=value) | ast.AnnAssign(value=value):
            calls = [inner for inner in ast.walk(value or node) if isinstance(inner, ast.Call)]
            return not calls
        case ast.FunctionDef(name=name):
            return name in {"__getattr__", "__dir__"}
    return False
