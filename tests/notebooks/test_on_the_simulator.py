"""A notebook and a port of a dev box on simulated Mithril: JupyterLab on a booted node, over SSH, in a browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebooks.kit import PATIENCE_S, PYTHON, held, in_browser, notebook_python
from tests.notebooks.test_on_the_mock import NOTEBOOK
from tests.sim_nodes.kit import openssh, refuse
from tests.stories.simulated_mithril import User, end_processes_of, serving, set_up

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="nodes boot on Linux only"),
    pytest.mark.skipif(
        hasattr(os, "geteuid") and os.geteuid() != 0, reason="a node without root has one user"
    ),
]
#: Folders of this machine that the simulator's nodes don't show; their Python is the system's.
HIDDEN = ("/root", "/tmp", "/home", "/opt", "/mnt", "/media", "/workspace")
SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """Someone whom a simulator knows; its time is twenty times ours, and nothing of it is left in the end."""
    notebook_python()
    packages = PYTHON.parents[1] / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    version = f"import sys; sys.exit(sys.version_info[:2] != (3, {sys.version_info.minor}))"
    if any(packages.is_relative_to(each) for each in HIDDEN):
        pytest.skip(f"nodes don't show {packages}")
    if subprocess.run([SYSTEM_PYTHON, "-c", version], check=False).returncode:
        pytest.skip(f"{SYSTEM_PYTHON} is another version than this one")
    openssh()
    (tmp_path / "work").mkdir()
    someone = User(tmp_path)
    try:
        with serving(someone, rate=20) as running:
            if not running.said["nodes_boot"]:
                refuse("the simulator's nodes can't boot here")
            set_up(someone, running)
            yield someone
    finally:
        end_processes_of(someone.home)


def test_a_cell_is_run_and_a_port_reached(user: User, tmp_path: Path):
    """The link opens the box's JupyterLab and a cell shows its output; `flow port` leads to the same server."""
    (user.folder / "first.ipynb").write_text(json.dumps(NOTEBOOK))
    venv = PYTHON.parents[1]
    variables = {
        "PYTHONPATH": venv / "lib" / f"python3.{sys.version_info.minor}" / "site-packages",
        "JUPYTERLAB_DIR": venv / "share" / "jupyter" / "lab",
        "JUPYTER_PATH": venv / "share" / "jupyter",
    }
    exports = " ".join(f"{name}={value}" for name, value in variables.items())
    python = user.folder / "python"
    python.write_text(f'#!/bin/sh\nexport {exports}\nexec {SYSTEM_PYTHON} "$@"\n')
    python.chmod(0o755)
    user.flow("dev", "-i", "a100", "--yes", "--", "true")

    def begin(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [Path(sys.executable).with_name("flow"), *words], env=user.environ, cwd=user.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    with held(begin, "jupyter", "--python", "/workspace/python") as first:
        link = str(first.until("jupyter")["link"])
        there = link.replace("/lab?", "/lab/tree/first.ipynb?")
        shown = in_browser(there, str(tmp_path / "profile"))
        first.leave()
    with held(begin, "jupyter", "--no-open") as second:
        again = second.until("jupyter")
        with held(begin, "port", "dev-work", str(again["port"])) as forwarded:
            local = forwarded.until("port")["local_port"]
            with urllib.request.urlopen(
                f"http://127.0.0.1:{local}/api", timeout=PATIENCE_S
            ) as said:
                version = json.load(said)["version"]
            forwarded.leave()
        second.leave()
    user.flow("jupyter", "--stop")
    user.flow("dev", "stop", "--end", "--yes")

    assert "six times seven is 42 on dev-work" == shown
    assert version.split(".")[0].isdigit()
