"""Ports and notebooks of the mock's nodes, by real processes: JupyterLab from PyPI, in Debian's Chromium."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.cli.test_process import Shell, shell
from tests.notebooks.kit import PATIENCE_S, browser, held, output_of

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
    """A task that holds a node, with a notebook among its code."""
    (Path(shell.folder) / "first.ipynb").write_text(json.dumps(NOTEBOOK))
    done = shell.flow("submit", "sleep 1h", "-i", "a100", "--name", "box", "-d")
    assert 0 == done.returncode, done.stderr.decode()
    return "box"


def test_a_cell_is_run_in_a_browser_and_the_server_outlives_the_way_to_it(
    shell: Shell, box: str, tmp_path: Path
):
    """The link opens JupyterLab, a cell shows its output, an editor attaches; the next call finds the server there."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.wait import WebDriverWait

    with held(shell.begin, "jupyter", box) as first:
        told = first.until("jupyter")
        with browser(tmp_path / "profile") as page:
            wait = WebDriverWait(page, PATIENCE_S)
            page.get(str(told["link"]).replace("/lab?", "/lab/tree/first.ipynb?"))
            wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, ".jp-Cell .cm-content"))
            wait.until(lambda page: "Idle" in _kernel_says(page))
            page.find_element(By.CSS_SELECTOR, ".jp-Cell .cm-content").click()
            page.switch_to.active_element.send_keys(Keys.SHIFT, Keys.ENTER)
            shown = wait.until(
                lambda page: page.find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output pre")
            )
            text = shown[0].text
        code = first.leave()
    with held(shell.begin, "jupyter", box) as second:
        again = second.until("jupyter")
        attached = output_of(str(again["server"]), "print(1 + 1)")
        stopped = shell.flow("jupyter", box, "--stop", "--json")

    assert "six times seven is 42 on box" == text
    assert 130 == code
    assert told["port"] == again["port"]
    assert told["link"].split("token=")[1] == again["link"].split("token=")[1]  # type: ignore[attr-defined]
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


def _kernel_says(page: object) -> str:
    found = page.find_elements("css selector", ".jp-Notebook-ExecutionIndicator")  # type: ignore[attr-defined]
    return found[0].get_attribute("data-status").title() if found else ""
