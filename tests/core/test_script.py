"""The node script carries a task unchanged and stays small."""

from __future__ import annotations

import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.node_files import load_node_files
from flow_core.domain.names import TOKEN_LENGTH
from flow_core.domain.script import MAX_OWN_CHARS, NodeTask, parse_script, render_script
from flow_core.domain.squeeze import squeezed_python, squeezed_shell
from flow_core.domain.task_parts import RunOn
from flow_core.errors import InvalidRequest

FILES = load_node_files()
TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=()), max_size=50)
TASKS = st.builds(
    NodeTask,
    name=TEXT,
    token=TEXT,
    command=TEXT | st.lists(TEXT, max_size=4).map(tuple),
    env=st.dictionaries(TEXT, TEXT, max_size=3),
    working_dir=st.none() | TEXT,
    num_nodes=st.integers(1, 10_000),
    run_on=st.sampled_from(RunOn),
    wants_delivery=st.booleans(),
    gpus=st.integers(0, 72),
    workspace=TEXT,
    code=st.binary(max_size=50),
)


@given(TASKS)
def test_a_task_comes_back_as_it_went_in(task):
    """Whatever a task holds, lone surrogates included, the script carries it unchanged."""
    assert task == parse_script(render_script(task, files=FILES))


def test_threads_may_squeeze_at_once():
    """An App's workers are hired by threads of their own; CPython 3.11's parser isn't safe from each other."""
    with ThreadPoolExecutor(8) as threads:
        texts = set(threads.map(lambda _: squeezed_python(FILES.helper), range(16)))

    assert 1 == len(texts)


def test_equal_tasks_give_equal_scripts():
    """Nothing in the script depends on when or where it was made."""
    task = NodeTask(name="a", token="b", command="c", env={"X": "1"})

    assert render_script(task, files=FILES) == render_script(task, files=load_node_files())


def test_what_is_not_the_users_is_small():
    """At its largest options, and without the user's command and variables, the script leaves 4,000 of 10,000."""
    largest = NodeTask(
        name="n" * 63,
        token="t" * TOKEN_LENGTH,
        command=("x",),
        working_dir="/w" * 30,
        num_nodes=10_000,
        run_on=RunOn.FIRST_NODE,
        wants_delivery=True,
        gpus=72,
        retries=1_000,
        notice_signal="WINCH",
        notice_file="/etc/mithril/notice.yaml",
    )

    assert len(render_script(largest, files=FILES)) <= MAX_OWN_CHARS


def test_a_script_is_plain_ascii():
    """Any channel carries it: one byte a character, no carriage return, no NUL."""
    script = render_script(NodeTask(name="ü", token="b", command="echo ✓"), files=FILES)

    assert script.isascii()
    assert not set(script) & {"\0", "\r", "\t"}


@pytest.mark.parametrize("text", ["", "#!/bin/bash\necho hi\n", "x <<'FLOW'\nnope\nnope\nFLOW\n"])
def test_another_script_is_refused(text):
    """A script that carries no task of ours is told apart."""
    with pytest.raises(InvalidRequest):
        parse_script(text)


def test_the_squeezed_helper_is_python_3_8():
    """What reaches the node parses under the oldest grammar that a node may have."""
    ast.parse(squeezed_python(FILES.helper), feature_version=(3, 8))


def test_squeezing_keeps_what_a_program_does():
    """Short names and few spaces change no output: strings, attributes and keywords stay as they are."""
    source = '''#!/usr/bin/env python3
"""Doc."""
from __future__ import annotations
import os.path as where
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT: int = 3  # a comment

class Thing:
    """Doc."""
    size: int
    def __init__(self, *, amount: int = LIMIT) -> None:
        self.amount = amount
    def told(self, word: str) -> Any:
        """Doc."""
        return "%s LIMIT amount" % word if self.amount in (1, 3) else not word

def main(first: str, *rest: str) -> None:
    assert first
    def inner() -> str:
        nonlocal first
        import json
        import sys as system
        assert system
        first = json.dumps([first])
        first += "!"
        return first
    try:
        print(Thing(amount=3).told(inner()), [each for each in rest], where.basename("/a/b"), -LIMIT ** 2)
        raise ValueError(first)
    except ValueError as problem:
        print({"problem": str(problem), **{"k": lambda x=LIMIT: x}}["problem"], LIMIT if rest else "none")

main("first", "x", 'y"z')
'''
    small = squeezed_python(source)

    assert ran(source) == ran(small) != ""
    assert "TYPE_CHECKING" not in small
    assert "\n  import json,sys as system\n" in small
    assert len(small) < 0.6 * len(source)


def test_squeezing_shell_drops_comment_lines_only():
    """Comments and empty lines go; the first line and everything else stay."""
    assert "#!/bin/sh\necho '#'\n  x # y\n" == squeezed_shell(
        "#!/bin/sh\n# no\n\necho '#'\n  # no\n  x # y\n"
    )


def ran(source: str) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    return done.stdout
