"""Logs are read whole, from the end, and while they grow."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import flow
from flow_adapters.wiring import connect_in_memory
from flow_providers.mock import PretendCloud
from flow_providers.mock.rules import IN_MEMORY

#: Nodes that are up when they are granted: nobody waits for what isn't about logs.
AT_ONCE = evolve(IN_MEMORY, instant=True)

lines = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40), max_size=30
)


def run_and_end(prints: list[str], nodes: int = 1) -> flow.Task:
    """Return an ended task whose command printed `prints` on each of its nodes."""
    cloud = PretendCloud(rules=AT_ONCE)
    cloud.on("talk", prints=prints)
    task = flow.run("talk", num_instances=nodes, session=connect_in_memory(cloud))
    task.wait()
    return task


@given(prints=lines, count=st.integers(0, 40))
def test_a_log_holds_what_was_printed(prints: list[str], count: int):
    """Every printed line is in the log, in order, to the last one; `tail=n` is exactly its last n lines, or all."""
    task = run_and_end(prints)
    printed = [line for line in task.logs() if not line.startswith("flow: ")]
    whole = task.logs().data().split(b"\n")[:-1]
    tail = task.logs(tail=count).data()

    assert [line for line in prints if not line.startswith("flow: ")] == printed
    assert b"".join(line + b"\n" for line in whole[max(0, len(whole) - count) :]) == tail


def test_lines_of_several_nodes_carry_their_rank():
    """With more than one node each line says whose it is; asked of one node, it doesn't."""
    task = run_and_end(["hello"], nodes=2)

    assert ["[0] hello", "[1] hello"] == [line for line in task.logs() if line.endswith("hello")]
    assert ["hello"] == [line for line in task.logs(node=1) if line.endswith("hello")]


def test_a_followed_log_ends_with_its_task():
    """Following a log yields all of it and ends when the task has ended."""
    cloud = PretendCloud()
    cloud.on("talk", takes="2h", prints=["begin", "end"])
    task = flow.run("talk", session=connect_in_memory(cloud))

    followed = list(task.logs(follow=True))

    assert "end" == followed[-1]
    assert task.done()
