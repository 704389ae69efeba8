"""The two ways that the README names to have `flow` in every terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("tool", ["uv", "pipx"])
def test_a_tool_installs_the_wheel_and_a_task_runs(tool: str, wheel: Path, tmp_path: Path):
    """Installed from a built wheel by uv or pipx, away from any checkout, `flow` runs a task on the mock."""
    bin_dir = tmp_path / "bin"
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FLOW_", "MITHRIL_", "PYTHON", "VIRTUAL_ENV"))
    } | {
        "UV_TOOL_DIR": str(tmp_path / "uv"),
        "UV_TOOL_BIN_DIR": str(bin_dir),
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(bin_dir),
        "FLOW_STATE_DIR": str(tmp_path / "state"),
        "FLOW_CONFIG_DIR": str(tmp_path / "config"),
        "FLOW_PROVIDER": "mock",
        "FLOW_MOCK_INSTANT": "yes",
    }
    install = {
        "uv": [sys.executable, "-m", "uv", "tool", "install", "--python", sys.executable, wheel],
        "pipx": [sys.executable, "-m", "pipx", "install", "--python", sys.executable, wheel],
    }[tool]

    made = subprocess.run(
        install, check=False, env=environ, capture_output=True, text=True, timeout=300
    )
    assert 0 == made.returncode, made.stderr
    ran = subprocess.run(
        [bin_dir / "flow", "submit", "python -c 'print(6 * 7)'", "-i", "8xh100"],
        check=False,
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (0, "42\n") == (ran.returncode, ran.stdout)
