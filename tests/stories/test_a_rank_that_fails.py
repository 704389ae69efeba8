"""One rank fails while no client and no watcher is awake: its fellows end, and later all is told."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sim_nodes.kit import openssh, refuse
from tests.stories.simulated_mithril import (
    PATIENCE_S,
    User,
    end_processes_of,
    kill_watchers_of,
    serving,
    set_up,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/environ").exists(), reason="processes are found by /proc"
    ),
]

NODES, FAILS = 3, 1
#: Rank 1 fails when it is told to; the others would go on for an hour.
LINE = """
echo ready
[ "$RANK" = 1 ] || exec sleep 3600
until [ -e /tmp/fail ]; do sleep 0.1; done
exit 7
"""


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """Someone in a folder of theirs; in the end nothing of theirs runs."""
    openssh()
    someone = User(tmp_path)
    someone.folder.mkdir()
    try:
        yield someone
    finally:
        left = end_processes_of(someone.home)
    assert [] == left


def test_the_others_end_within_seconds(user: User):
    """Over the allocation's key pair; afterwards the report names the rank that failed, and its code."""
    with serving(user) as simulator:
        if not simulator.said["nodes_boot"]:
            refuse("the simulator's nodes can't boot here")
        set_up(user, simulator)
        client = subprocess.Popen(
            ["flow", "submit", LINE, "-i", "a100", "-N", str(NODES), "--name", "train"],
            cwd=user.folder, env=user.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert client.stdout is not None
        with client.stdout:
            for _ in range(NODES):
                assert "ready" in client.stdout.readline()
            client.kill()
        client.wait(PATIENCE_S)
        kill_watchers_of(user.home)
        query = simulator.get("/v2/instances", {"project": simulator.said["project"]})
        hosts = {each["name"][-1]: each["ssh_destination"] for each in query["data"]}
        on_node(user, hosts[str(FAILS)], "touch /tmp/fail")
        states = [state_of(user, hosts[str(rank)]) for rank in range(NODES)]
        ended = [float(each["ended_at"]) for each in states]

        task = user.until("train", "failed")
        assert not user.is_watched()
        assert [] == simulator.live()

    reason = f"ended because node {FAILS} ended with 7"
    assert [(143, reason), (7, ""), (143, reason)] == [
        (each["exit_code"], each["reason"]) for each in states
    ]
    assert max(ended) - ended[FAILS] < 10
    assert (7, f"the command ended with 7 on node {FAILS}") == (task["exit_code"], task["reason"])


def on_node(user: User, destination: str, line: str) -> str:
    """Run a line on a node by OpenSSH's own client, with the key that `flow setup` made."""
    host, _, port = destination.partition(":")
    [key] = [each.with_suffix("") for each in (user.home / ".ssh").glob("*.pub")]
    options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
    words = [word for each in options for word in ("-o", each)]
    done = subprocess.run(
        [openssh(), "-F", "none", "-i", key, *words, "-p", port or "22", f"ubuntu@{host}", line],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return done.stdout


def state_of(user: User, destination: str) -> dict[str, object]:
    """What a node's helper keeps of its command, once that has ended."""
    line = "until sudo grep -q exited /opt/flow/state.json; do sleep 0.1; done; sudo cat /opt/flow/state.json"
    found: dict[str, object] = json.loads(on_node(user, destination, line))
    return found
