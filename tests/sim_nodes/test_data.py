"""Data at its paths on nodes that boot, by `flow` alone: volumes made on request, and buckets of a real service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_providers.mock.boot import loops
from tests.node.kit import wait_for_bytes
from tests.s3_service import Service, s3fs_problem
from tests.s3_service import serving as serving_buckets
from tests.sim_nodes.kit import openssh, refuse
from tests.stories.simulated_mithril import (
    LOOKS,
    Simulator,
    User,
    end_processes_of,
    kill_watchers_of,
    serving,
    set_up,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Someone with an empty home."""
    (tmp_path / "work").mkdir()
    return User(tmp_path)


@pytest.fixture
def simulator(user: User) -> Iterator[Simulator]:
    """The simulator, which `user` has set Flow up for; in the end nothing of either is left, no mount either."""
    openssh()
    with serving(user) as running:
        if not running.said["nodes_boot"]:
            refuse("the simulator's nodes can't boot here")
        set_up(user, running)
        yield running
        assert not user.is_watched()
    assert [] == end_processes_of(user.home)
    assert str(user.home) not in Path("/proc/mounts").read_text()


@pytest.fixture
def service() -> Iterator[Service]:
    """An S3 service that checks keys, with one object."""
    problem = s3fs_problem()
    if problem is not None:
        refuse(problem)
    with serving_buckets(set__a="from the bucket\n") as service:
        yield service


def test_a_volume_is_made_shared_and_found_again(user, simulator):
    """`?size=` makes a file volume before the first bid; both nodes see it at the task's path, and so does the next."""
    mount = ("--mount", "volume://models?size=100gb:/models", "--no-code", "-i", "a100")
    planned = user.flow("submit", "true", "--dry-run", *mount)
    assert [] == user.asked("volume", "list")["volumes"]
    user.flow("submit", 'hostname > "/models/$FLOW_NODE_RANK"', "-N", "2", *mount)
    (volume,) = user.asked("volume", "list")["volumes"]
    again = ("--mount", "volume://models:/models:ro", *mount[2:])
    read = user.flow("submit", "ls /models; touch /models/no", *again, code=1)

    assert "volume 'models' will be made in" in planned.out
    assert ("models", 100) == (volume["name"], volume["size_gb"])
    assert "0\n1\n" == read.out
    assert "Read-only file system" in read.err


def test_nodes_with_a_volume_go_on_with_no_client(user, simulator):
    """With client and watcher dead, nodes that the market gave back find each other on the volume and run on.

    A client that comes then finds the task at its end; the volume has all of the log by itself.
    """
    line = """
echo $FLOW_NODE_RANK of $FLOW_NODES, attempt $FLOW_RESTART_COUNT
[ $FLOW_RESTART_COUNT = 0 ] && exec sleep 3600
echo on > /ckpt/$FLOW_NODE_RANK"""
    mount = ("--mount", "volume://ckpt?size=10gb:/ckpt", "--no-code", "-i", "a100")
    wait = ("--env", "FLOW_MEET_AFTER_S=2")
    user.flow("submit", line, "-N", "2", "--name", "train", "--detach", *mount, *wait)
    user.until("train", "running")
    kill_watchers_of(user.home)
    (bid_id,) = simulator.billed("Bid")
    simulator.control("outbid", bid=bid_id, lasts="30m")
    (volume,) = {each.parents[1] for each in user.home.rglob(".flow/train-*")}
    for rank in (0, 1):
        wait_for_bytes(volume / str(rank))
    task = user.until("train", "completed")
    logs = [user.flow("logs", "train", "--node", str(rank)) for rank in (0, 1)]
    kept = [
        b"".join(each.read_bytes() for each in sorted(volume.glob(f".flow/*/log/node-{rank}-*/*")))
        for rank in (0, 1)
    ]

    assert 0 == task["exit_code"]
    for rank, log in enumerate(logs):
        first, why, second = log.out.splitlines()
        assert f"{first[:-1]}1" == second
        assert first.startswith(f"{rank} of 127.")
        assert "they found each other on the volume" in why
        assert (log.out + log.err).count("\n") == kept[rank].count(b"\n")


def test_a_block_volume_is_formatted_by_its_first_task(user, simulator):
    """The second task finds what the first wrote; on two nodes it is refused before anything is bid or made."""
    if (reason := loops.problem()) is not None:
        refuse(reason)
    mount = ("--mount", "volume://disk?size=1gb&interface=block:/disk", "--no-code", "-i", "a100")
    refused = user.flow("submit", "true", "-N", "2", *mount, code=125)
    assert [] == user.asked("volume", "list")["volumes"]
    first = user.flow("submit", "echo kept > /disk/file", *mount)
    second = user.flow("submit", "cat /disk/file; df --output=fstype /disk", *mount)

    assert "block volume 'disk' belongs to one node at a time" in refused.err
    assert "formatting volume 'disk'" in first.err
    assert ["kept", "Type", "ext4"] == second.out.split()


def test_a_bucket_is_mounted_with_the_shells_own_keys(user, simulator, service):
    """Keys that only this shell has open the bucket on the node, where no process list or script shows them."""
    look = "cat /data/a; ps axww -o args; cat /var/lib/foundry/startup_script.sh /opt/flow/log"
    mount = ("--mount", "s3://data/set:/data", "--no-code", "-i", "a100")
    planned = user.flow("submit", "true", "--dry-run", *mount, **service.environ)
    ran = user.flow("submit", look, *mount, **service.environ)
    wrong = {**service.environ, "AWS_SECRET_ACCESS_KEY": "wrong"}
    failed = user.flow("submit", "true", "--name", "wrong", *mount, code=125, **wrong)
    none = user.flow("submit", "true", *mount, code=125)

    assert f"s3:// at {service.url} opens with the keys of the environment" in planned.out
    assert "from the bucket\n" in ran.out
    assert service.secret_key not in planned.out + ran.out + ran.err
    assert "the secret key doesn't belong to the access key" in failed.err
    assert "the secret key doesn't belong" in user.task("wrong")["reason"]
    assert "no keys to open s3:// with" in none.err
    holders = [
        path for path in (user.home / ".local").rglob("*")
        if path.is_file() and "nodes" not in path.parts and service.secret_key.encode() in path.read_bytes()
    ]  # fmt: skip
    assert [] == holders


def test_expiring_keys_are_renewed_by_the_watcher(user, simulator, service):
    """Keys of a credential_process that soon expire are replaced on the node while its command runs."""
    process = user.home / "keys.py"
    told = {"Version": 1, "AccessKeyId": service.access_key, "SecretAccessKey": service.secret_key}
    process.write_text(
        "import datetime as d, json\n"
        "end = d.datetime.now(d.timezone.utc) + d.timedelta(minutes=5)\n"
        f"print(json.dumps({{**{told!r}, 'Expiration': end.isoformat()}}))\n"
    )
    (user.home / ".aws").mkdir()
    (user.home / ".aws" / "config").write_text(
        f"[default]\ncredential_process = python3 {process}\nendpoint_url = {service.url}\n"
    )
    line = "ls /opt/flow/s3; cat /data/a; until [ -e done ]; do sleep 0.1; done; ls /opt/flow/s3; cat /data/a"
    mount = ("--mount", "s3://data/set:/data", "--no-code", "-i", "a100")
    planned = user.flow("submit", "true", "--dry-run", *mount)
    user.flow("submit", line, "--name", "long", "--detach", *mount)
    for _ in range(LOOKS):
        if "its nodes have new keys" in user.flow("status", "long", "--json").out:
            break
    user.flow("ssh", "long", "--", "touch done")
    user.until("long", "completed")
    log = user.flow("logs", "long").out.splitlines()

    assert "which expire in 4m" in planned.out
    assert ["from the bucket", "from the bucket"] == log[1::2]
    assert log[0] != log[2]
