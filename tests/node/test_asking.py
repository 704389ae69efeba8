"""What it takes a node to answer: the helper is kept compiled, and loads little."""

from __future__ import annotations

import shutil

from flow_adapters.node_files import load_node_files
from flow_core.domain.node_files import log_line

LATE = {"json", "shutil", "site", "socket", "subprocess"}


def test_an_answer_loads_nothing_of_a_run(node):
    """Who asks a node waits for no module that only a command's start needs; who reads its log, for none of JSON's."""
    node.take("echo hi")
    node.finish()
    seen = f"{node.env['FLOW_PYTHON']} -X importtime"
    wrapper = node.home / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {seen} "$@"\n')
    wrapper.chmod(0o755)
    reader = log_line(load_node_files().log_reader, offset=0, limit=10)
    asked = node.ask("report", FLOW_PYTHON=str(wrapper)).stderr.decode().split()
    read = node.call(reader, FLOW_PYTHON=str(wrapper)).stderr.decode().split()

    assert {"json"} == set(asked) & LATE
    assert "zlib" in read
    assert not set(read) & (LATE | {"re", "threading"})


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
