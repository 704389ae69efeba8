"""Programs for nodes, as one text each."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import flow_adapters
import flow_providers
from flow_adapters.node_texts import with_looks

PROGRAMS = [
    Path(flow_adapters.__file__).parent / "ssh" / "unpack.py",
    Path(flow_providers.__file__).parent / "local_docker" / "node" / "serve.py",
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_holds_what_it_shares(program: Path):
    """Nothing of Flow's has to be on the node for it."""
    text = with_looks(program)
    imported = {
        name.partition(".")[0]
        for each in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in each.names]
            if isinstance(each, ast.Import)
            else [each.module or ""]
            if isinstance(each, ast.ImportFrom)
            else []
        )
    }

    assert "def looks(" in text
    assert not {name for name in imported if name.startswith("flow")}
