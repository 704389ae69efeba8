"""Apps on a pretend cloud in memory, and on one whose nodes are real processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import flow
from flow_adapters.wiring import connect


@pytest.fixture
def on_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[flow.Session]:
    """A session whose nodes are processes of this machine; its state is the test's own."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "FLOW_STATE_DIR": str(tmp_path / "state"),
        "FLOW_CONFIG_DIR": str(tmp_path / "config"),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "FLOW_PROVIDER": "mock",
        "FLOW_MOCK_INSTANT": "yes",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with flow.use(connect(environ=environ)) as session:
        yield session
