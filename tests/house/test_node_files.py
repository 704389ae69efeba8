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
    beside = Path(sys.executable).parent / "shellcheck"
    shellcheck = str(beside) if beside.exists() else shutil.which("shellcheck")
    assert shellcheck, "shellcheck comes with `make venv`, or from the system's packages"
    found = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)

    assert "" == found.stdout + found.stderr


@pytest.mark.parametrize("helper", HELPERS, ids=tree.relative)
def test_a_node_helper_is_python_3_8(helper):
    """It parses under Python 3.8's grammar."""
    ast.parse(helper.read_text("utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("helper", HELPERS, ids=tree.relative)
def test_a_node_helper_needs_only_the_standard_library(helper):
    """It imports nothing that a bare machine's Python lacks, nor what came after 3.8."""
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(helper.read_text("utf-8")))
        for name in imported_names(node)
    }
    later = {"tomllib", "zoneinfo", "graphlib"}

    assert set() == imported - set(sys.stdlib_module_names)
    assert set() == imported & later


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
