"""Ports and notebooks of the mock's nodes, by real processes: JupyterLab from PyPI, in Debian's Chromium."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.cli.test_process import Shell, shell
from tests.notebooks.kit import PATIENCE_S, held, in_browser, in_editor, notebook_python

__all__ = ["shell"]
pytestmark = pytest.mark.slow

CELL = "import os; print('six times seven is', 6 * 7, 'on', os.environ['FLOW_TASK'])"
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code", "id": "one", "execution_count": None, "metadata": {}, "outputs": [], "source": CELL
        }
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}  # fmt: skip
SERVE = "python3 -m http.server 0 --bind 127.0.0.1 2>&1 | sed -u 's/.*port \\([0-9]*\\) .*/\\1/'"


@pytest.fixture
def box(shell: Shell) -> str:
    """The dev box of the folder, with a notebook among its code."""
    (Path(shell.folder) / "first.ipynb").write_text(json.dumps(NOTEBOOK))
    done = shell.flow("dev", "-i", "a100", "--yes", "--", "true")
    assert 0 == done.returncode, done.stderr.decode()
    return "dev-work"


def test_a_cell_is_run_in_a_browser_and_the_server_outlives_the_way_to_it(
    shell: Shell, box: str, tmp_path: Path
):
    """The link opens JupyterLab, a cell shows its output, an editor attaches; the next call finds the server there."""
    python = notebook_python()
    with held(shell.begin, "jupyter", "--python", python) as first:
        told = first.until("jupyter")
        link = str(told["link"]).replace("/lab?", "/lab/tree/first.ipynb?")
        shown = in_browser(link, str(tmp_path / "profile"))
        code = first.leave()
    with held(shell.begin, "jupyter", box) as second:
        again = second.until("jupyter")
        attached = in_editor(again["server"], "print(1 + 1)")
        stopped = shell.flow("jupyter", box, "--stop", "--json")

    assert f"six times seven is 42 on {box}" == shown
    assert 130 == code
    assert told["port"] == again["port"]
    assert str(told["link"]).split("token=")[1] == str(again["link"]).split("token=")[1]
    assert "2\n" == attached
    assert json.loads(stopped.stdout)["stopped"] is True


def test_a_port_leads_to_what_listens_on_the_node(shell: Shell):
    """The chosen local port reaches a server of the node's loopback, until the task's end."""
    (Path(shell.folder) / "hello").write_text("from the node")
    done = shell.flow("submit", SERVE, "-i", "a100", "--name", "web", "-d")
    assert 0 == done.returncode, done.stderr.decode()
    logs = shell.begin("logs", "web", "-f")
    assert logs.stdout is not None
    there = logs.stdout.readline().decode().strip()
    logs.kill()
    logs.communicate()
    with held(shell.begin, "port", "web", there) as port:
        told = port.until("port")
        address = f"http://127.0.0.1:{told['local_port']}/hello"
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            said = answer.read()
        shell.flow("cancel", "web", "--yes")
        code = port.process.wait(PATIENCE_S)

    assert b"from the node" == said
    assert int(there) == told["port"]
    assert 0 == code
