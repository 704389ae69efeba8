"""What it takes a node to answer: the helper is kept compiled, and loads little."""

from __future__ import annotations

import shutil

import pytest


@pytest.mark.parametrize("verb", [("report",), ("log", "0", "10")])
def test_an_answer_loads_nothing_of_a_run(node, verb):
    """Who asks a node waits for no module that only a command's start needs."""
    node.take("echo hi")
    node.finish()
    seen = f"{node.env['FLOW_PYTHON']} -X importtime"
    wrapper = node.home / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {seen} "$@"\n')
    wrapper.chmod(0o755)
    loaded = node.ask(*verb, FLOW_PYTHON=str(wrapper)).stderr.decode().split()

    assert {"json"} == set(loaded) & {"json", "shutil", "site", "socket", "subprocess"}


def test_a_newer_helper_is_not_answered_for_by_an_older(node):
    """What is kept compiled is what the file says now."""
    node.take("echo hi")
    node.finish()
    before = node.ask("report").stdout
    helper = node.home / "bin" / "flow-node"
    helper.write_text("print('newer')\n")
    after = node.ask("report").stdout

    assert b"exited" in before
    assert b"newer\n" == after


def test_a_folder_that_may_not_be_written_to(node):
    """Nothing is kept there, and the answer is the same."""
    node.take("echo hi")
    node.finish()
    kept = node.home / "bin" / "__pycache__"
    shutil.rmtree(kept)
    kept.write_text("")

    assert b"exited" in node.ask("report").stdout
