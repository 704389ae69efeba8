"""What runs on a node is checked as what it is: shell by shellcheck, Python by an old grammar."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import tree

NODE = [path for path in tree.files() if tree.relative(path).startswith("flow_core/node/")]
SCRIPTS = [
    path for path in tree.files() if path.suffix == ".sh" or tree.relative(path) == ".ci/run"
]
HELPERS = [path for path in NODE if path.suffix == ".py"]


@pytest.mark.parametrize("script", SCRIPTS, ids=tree.relative)
def test_shellcheck_has_nothing_to_say(script):
    """shellcheck finds no fault with a script, in the dialect its first line names."""
    found = subprocess.run(
        [beside_python("shellcheck"), script], capture_output=True, text=True, check=False
    )

    assert "" == found.stdout + found.stderr


@pytest.mark.parametrize("helper", HELPERS, ids=tree.relative)
def test_a_node_helper_is_python_3_8(helper):
    """It parses under Python 3.8's grammar."""
    ast.parse(helper.read_text("utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("helper", HELPERS, ids=tree.relative)
def test_a_node_helper_calls_nothing_newer_than_python_3_8(helper):
    """It uses no module, function or method that came to the standard library after 3.8."""
    vermin = [beside_python("vermin"), "--target=3.8-", "--violations", "--no-tips"]
    found = subprocess.run([*vermin, helper], capture_output=True, text=True, check=False)

    assert (0, "") == (found.returncode, found.stderr), found.stdout


@pytest.mark.parametrize("helper", HELPERS, ids=tree.relative)
def test_a_node_helper_needs_only_the_standard_library(helper):
    """It imports nothing that a bare machine's Python lacks, but what travels with it."""
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(helper.read_text("utf-8")))
        for name in imported_names(node)
        if not name.startswith("flow_core.node.")
    }

    assert set() == imported - set(sys.stdlib_module_names)


def imported_names(node: ast.AST) -> list[str]:
    """The modules that one statement imports."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case ast.ImportFrom():
            return ["."]
    return []


def beside_python(name: str) -> str:
    """The path of a program that `make venv` installs, else of the system's."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} comes with `make venv`"
    return found
