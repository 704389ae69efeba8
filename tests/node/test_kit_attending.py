"""Beside the command the kit keeps the log on a volume, and lets nodes find each other there when nobody tells them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_adapters.node_files import load_kit
from flow_core.node.kit.keeping import SEGMENT
from flow_core.node.kit.meeting import TICK
from tests.node.conftest import BareNode
from tests.node.kit import PATIENCE_S, pythons, wait_for_bytes, wait_for_lock, wait_for_word

pytestmark = pytest.mark.slow

#: The second is nobody's here, as an address is after a preemption. Source: RFC 5737.
HOSTS = ("127.1.0.1", "192.0.2.7")
#: The first attempt lasts until the node stops; the others say whom they met.
LINE = 'echo $RANK of $FLOW_NODES; [ "$FLOW_RESTART_COUNT" = 0 ] || exit 0; exec sleep 600'


class Pair:
    """Two nodes with a folder for their volume."""

    def __init__(self, folder: Path) -> None:
        self.volume = folder / "volume" / ".flow" / "train-abcdefgh"
        self.nodes = [BareNode(made(folder / name), python) for name, python in PYTHONS.items()]
        for node in self.nodes:
            node.take(LINE, num_nodes=2)
            node.env["HOME"] = str(node.home.parent)

    def deliver(self, number: int, *, after_s: float = 1) -> None:
        """Deliver as a client does."""
        place = {"folder": str(self.volume), "mounted": ""}
        for rank, node in enumerate(self.nodes):
            assert 0 == node.deliver(
                number, rank=rank, hosts=HOSTS, setup={"attending": {"log": place, "meeting": place}},
                kit=load_kit(), env={"FLOW_MEET_AFTER_S": str(after_s)},
            )  # fmt: skip

    def run_and_stop(self) -> None:
        """Have both run the command, and stop them as the market does."""
        started = [node.start() for node in self.nodes]
        self.deliver_when_asked()
        for node, process in zip(self.nodes, started, strict=True):
            wait_for_word(node.home / "log", " of ")
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)

    def deliver_when_asked(self) -> None:
        """Deliver the first membership once both wait for it."""
        for node in self.nodes:
            wait_for_word(node.home / "log", "waiting for all 2 nodes")
        self.deliver(1)

    def kept(self, rank: int) -> bytes:
        """What the volume has of a node's log."""
        files = sorted(self.volume.glob(f"log/node-{rank}-*/*.log"))
        return b"".join(each.read_bytes() for each in files)

    def close(self) -> None:
        """End all that runs."""
        for node in self.nodes:
            node.ask("stop")
            node.close()
            if (node.home / "attend.lock").exists():
                wait_for_lock(node.home / "attend.lock")


def introduced(node: BareNode) -> Path:
    """Have a node that logs in to its fellow; return the folder that names whose key it is."""
    folder, allowed = made(node.home / "ssh"), made(node.home.parent / ".ssh") / "authorized_keys"
    (folder / "id").touch()
    (folder / "config").write_text(f"Host node-1 {HOSTS[1]}\n  HostName {HOSTS[1]}\n")
    allowed.write_text(f'from="192.0.2.7" theirs\nfrom="127.1.0.1,{HOSTS[1]}" key flow:{folder}\n')
    return folder


#: Each node has an interpreter of its own, where there are two.
PYTHONS = {"a": pythons()[0], "b": pythons()[-1]}


def made(folder: Path) -> Path:
    """Return a folder that now exists."""
    folder.mkdir()
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two nodes that end with the test."""
    pair = Pair(tmp_path)
    yield pair
    pair.close()


def test_nodes_that_nobody_tells_find_each_other(pair: Pair):
    """Back from a preemption with no client, they run on with the ranks before and addresses of now, and say so.

    Logins among them go to the new addresses, and come from there. A client's next membership is newer. The volume has
    both logs byte for byte, across restarts and with the last words before the nodes went.
    """
    pair.run_and_stop()
    mark = f"flow:{introduced(pair.nodes[0])}"
    for node in pair.nodes:
        node.start()
    for node in pair.nodes:
        wait_for_word(node.home / "state.json", '"exited"')
    reports = [node.report() for node in pair.nodes]
    logs = [node.log().data.decode() for node in pair.nodes]

    assert [(0, 1 + TICK, 1)] * 2 == [
        (each.exit_code, each.membership, each.attempt) for each in reports
    ]
    for rank, log in enumerate(logs):
        assert f"{rank} of 127.1.0.1 192.0.2.7\n" in log
        assert f"{rank} of 127.1.0.1 127.0.0.1\n" in log
        assert "they found each other on the volume" in log
    pair.deliver(2)
    pair.close()
    root = pair.nodes[0].home.parent
    assert "  HostName 127.0.0.1\n" in (root / "flow" / "ssh" / "config").read_text()
    assert (
        f'from="192.0.2.7" theirs\nfrom="127.1.0.1,127.0.0.1" key {mark}\n'
        == (root / ".ssh" / "authorized_keys").read_text()
    )
    assert [node.log().data for node in pair.nodes] == [pair.kept(0), pair.kept(1)]


def test_one_that_waits_is_met_by_those_that_run(pair: Pair):
    """A node that rebooted alone is no longer alone: its fellow, whose command runs, begins again with it."""
    stays = pair.nodes[0].start()
    goes = pair.nodes[1].start()
    pair.deliver_when_asked()
    for node in pair.nodes:
        wait_for_word(node.home / "log", " of ")
    goes.send_signal(signal.SIGTERM)
    goes.wait(PATIENCE_S)
    pair.nodes[1].start()
    for node in pair.nodes:
        wait_for_word(node.home / "state.json", '"exited"')

    assert stays.poll() is None
    assert [1 + TICK] * 2 == [node.report().membership for node in pair.nodes]


def test_a_long_log_is_kept_in_files_of_one_size(pair: Pair):
    """What is longer than a file goes on in the next, whose name says at which offset."""
    node = pair.nodes[0]
    place = {"folder": str(pair.volume), "mounted": ""}
    kit = load_kit()
    node.take(f"head -c {SEGMENT + 1000} /dev/zero | tr '\\0' x", wants_delivery=True)
    started = node.start()
    wait_for_word(node.home / "log", "waiting")
    node.deliver(1, setup={"attending": {"log": place}}, kit=kit)
    started.wait(PATIENCE_S)
    wait_for_bytes(node.home / "attend.lock")
    wait_for_lock(node.home / "attend.lock")
    files = sorted(pair.volume.glob("log/node-0-*/*.log"))

    assert ["000000000000.log", f"{SEGMENT:012d}.log"] == [each.name for each in files]
    assert (node.home / "log").read_bytes() == pair.kept(0)
