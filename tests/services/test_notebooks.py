"""What nodes answer about their notebook server, over a cloud in memory."""

from __future__ import annotations

import base64
import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flow
from flow_core.domain.notebook import Notebook, ask_line, link, parse_answer
from flow_core.errors import TaskFailed
from flow_core.ports.shell import Call
from flow_core.services.notebooks import Notebooks
from flow_core.services.session import Session
from flow_providers.mock import PretendCloud

TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture
def notebooks(pretend_cloud: PretendCloud, session: Session) -> Notebooks:
    """What is asked of a task's one node."""
    pretend_cloud.on("wait", takes="10h")
    flow.run("wait", name="box", session=session)
    for _ in session.tasks.follow("box"):
        if session.tasks.view("box").state.value == "running":
            break
    return Notebooks(session.ports)


def answering(cloud: PretendCloud, code: int, words: bytes) -> list[Call]:
    """Have the nodes answer; return the calls that come."""
    calls: list[Call] = []

    def answer(call: Call) -> tuple[int, bytes]:
        calls.append(call)
        return code, words

    cloud.on_shell(ask_line(), answer)
    return calls


def test_a_server_is_where_the_node_says(
    pretend_cloud: PretendCloud, session: Session, notebooks: Notebooks
):
    """The question carries its own program and, out of sight, the token; the answer is the last line."""
    told = {"port": 7001, "token": TOKEN, "was_there": False}
    calls = answering(pretend_cloud, 0, b"banner\n" + json.dumps(told).encode() + b"\n")
    [node] = session.remote.nodes("box")
    found = notebooks.serve(node, token=TOKEN)

    assert Notebook(port=7001, token=TOKEN, was_there=False) == found
    assert TOKEN not in repr(found)
    assert TOKEN not in calls[0].line
    question = json.loads(b"".join(calls[0].pieces()))
    assert ("serve", TOKEN, "") == (question["verb"], question["token"], question["python"])
    kit = zipfile.ZipFile(io.BytesIO(base64.b64decode(question["kit"])))
    assert "flow_core/node/kit/notebook.py" in kit.namelist()


@pytest.mark.parametrize(
    "code, words", [(1, b""), (0, b""), (0, b"no json"), (0, b"{}"), (0, b"[1]")]
)
def test_no_server_is_told(
    pretend_cloud: PretendCloud, session: Session, notebooks: Notebooks, code: int, words: bytes
):
    """A refusal, silence and nonsense are failures of the task's node, never a port."""
    answering(pretend_cloud, code, words)
    [node] = session.remote.nodes("box")

    with pytest.raises(TaskFailed, match="node 0"):
        notebooks.serve(node)


@pytest.mark.parametrize("there", [True, False])
def test_stopping_says_whether_there_was_one(
    pretend_cloud: PretendCloud, session: Session, notebooks: Notebooks, there: bool
):
    """No server to stop is no failure."""
    told = {"port": 7001, "token": TOKEN, "was_there": True} if there else {}
    answering(pretend_cloud, 0, json.dumps(told).encode())
    [node] = session.remote.nodes("box")

    assert there is notebooks.stop(node)


@given(st.integers(1, 65_535), st.text("abcXYZ019-_", min_size=1))
def test_links_lead_to_the_loopback(port: int, token: str):
    """The link names this machine's own address, the local port and the token, and nothing else."""
    assert f"http://127.0.0.1:{port}/lab?token={token}" == link(port, token)


@given(st.binary(max_size=60))
def test_any_answer_is_read_or_refused(said: bytes):
    """Whatever a node says, there is a server, none, or a ValueError."""
    try:
        found = parse_answer(said)
    except ValueError:
        return

    assert found is None or found.port > 0
