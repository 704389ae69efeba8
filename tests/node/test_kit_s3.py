"""The kit mounts parts of buckets by the real s3fs, from a real service that checks signatures."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.kit import Bell, wait_for_bytes, wait_for_lock
from tests.node.mounting import MountingNode
from tests.s3_service import BUCKET, Service, s3fs_problem, serving
from tests.sim_nodes.kit import refuse

pytestmark = pytest.mark.slow
#: An expiry that no test lives to see.
NEVER = 4_000_000_000


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service with three objects."""
    problem = s3fs_problem()
    if problem is not None:
        refuse(problem)
    with serving(set__a="one", set__deep__b="two", other="three") as service:
        yield service


@pytest.fixture
def node(tmp_path: Path) -> Iterator[MountingNode]:
    """A node that may mount, ended with the test."""
    node = MountingNode(tmp_path)
    yield node
    node.close()


def setup_of(service: Service, node: MountingNode, **about: object) -> dict[str, object]:
    """What a node is told of one mount at `<its folder>/data`."""
    mount = {
        "path": str(node.home.parent / "data"), "bucket": BUCKET, "prefix": "set",
        "writable": False, "copied": False, "endpoint": service.url, "region": "",
    }  # fmt: skip
    return {"s3": {"keys": service.keys(), "mounts": [{**mount, **about}]}}


def test_a_prefix_is_mounted_read_only(service, node):
    """The command reads what lies under the prefix, and can't write; no key is left in a file but the delivery."""
    folder = node.home.parent / "data"
    node.set_up(
        f"cd {folder} && cat a deep/b; touch new || ls; ls {node.home}/s3",
        setup_of(service, node),
    )

    assert 0 == node.report().exit_code, node.said
    assert "onetwo" in node.said
    assert "Read-only file system" in node.said
    assert ".keys" not in node.said
    holders = [
        each.name
        for each in node.home.rglob("*")
        if each.is_file() and service.secret_key.encode() in each.read_bytes()
    ]
    assert ["delivery.json"] == holders
    assert 0o600 == (node.home / "delivery.json").stat().st_mode & 0o777


def test_temporary_keys_open_with_their_token(service, node):
    """A session token reaches s3fs, and neither a file beside the delivery nor a process list has a secret."""
    told = setup_of(service, node)
    told["s3"]["keys"] = dict(service.temporary)  # type: ignore[index]
    node.set_up(f"cat {node.home.parent}/data/a; ps axww -o args; ls -A {node.home}/s3", told)

    assert 0 == node.report().exit_code, node.said
    assert "one" in node.said
    assert ".keys" not in node.said
    assert str(service.temporary["secret"]) not in node.said
    assert str(service.temporary["token"]) not in node.said


def test_what_is_written_reaches_the_bucket(service, node):
    """A writable mount of a prefix that isn't there yet makes it, keeps what the command writes, and the node's log."""
    told = setup_of(service, node, prefix="made/here", writable=True)
    place = f"{node.home.parent}/data"
    told["attending"] = {"log": {"folder": ".flow/train-1", "bucket": place}}
    node.set_up(f"echo kept > {place}/file; echo said", told)
    wait_for_bytes(node.home / "attend.lock")
    wait_for_lock(node.home / "attend.lock")
    (log,) = [
        text for name, text in service.texts().items() if "/.flow/train-1/log/node-0-" in name
    ]

    assert 0 == node.report().exit_code, node.said
    assert "kept\n" == service.texts()["made/here/file"]
    assert node.said == log


def test_a_copy_is_the_nodes_own(service, node, tmp_path):
    """A copied prefix lies on the scratch disk, can be written to, and the bucket stays as it was."""
    (tmp_path / "fast").mkdir()
    told = setup_of(service, node, copied=True)
    told["s3"]["scratch"] = str(tmp_path / "fast")  # type: ignore[index]
    before = service.texts()
    data = tmp_path / "data"
    node.set_up(f"cat {data}/deep/b; echo more >> {data}/a; cat {tmp_path}/fast/*/a", told)

    assert 0 == node.report().exit_code, node.said
    assert "twoonemore\n" in node.said
    assert before == service.texts()


@pytest.mark.parametrize(
    ("about", "keys", "reason"),
    [
        ({"bucket": "nowhere"}, {}, "there is no such bucket"),
        ({"prefix": "nothing"}, {}, "nothing in the bucket lies under that prefix"),
        ({}, {"access": "AKIAIOSFODNN7EXAMPLE"}, "the service doesn't know the access key"),
        ({}, {"secret": "wrong"}, "the secret key doesn't belong to the access key"),
        ({"endpoint": "http://127.0.0.1:9"}, {}, "can't be reached"),
    ],
)
def test_what_does_not_open_fails_the_start_by_name(about, keys, reason, service, node):
    """A wrong bucket, prefix, key or address ends the task before its command, with no retry, and says which."""
    told = setup_of(service, node, **about)
    told["s3"]["keys"].update(keys)  # type: ignore[index]
    node.set_up("echo never", told, retries=2)
    report = node.report()

    assert (125, 0) == (report.exit_code, report.attempt)
    assert report.reason.startswith(f"s3://{about.get('bucket', BUCKET)}/")
    assert reason in report.reason
    assert "never" not in node.said
    assert service.secret_key not in node.said


@pytest.fixture
def bare(tmp_path: Path, node: MountingNode) -> Path:
    """A folder with all of the node's programs but s3fs and apt-get."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for each in Path("/usr/bin").iterdir():
        if each.name not in ("s3fs", "apt-get"):
            (folder / each.name).symlink_to(each)
    node.path = str(folder)
    return folder


def test_s3fs_is_installed_where_it_is_missing(service, node, bare):
    """A node with apt gets it by itself, and says so."""
    apt = bare / "apt-get"
    apt.write_text(f'#!/bin/sh\n[ "$2" = update ] || ln -s {shutil.which("s3fs")} {bare}/s3fs\n')
    apt.chmod(0o755)
    node.set_up(f"cat {node.home.parent}/data/a", setup_of(service, node))

    assert 0 == node.report().exit_code, node.said
    assert "flow: installing s3fs\none" in node.said


@pytest.mark.parametrize("apt", ["", "#!/bin/sh\necho 'E: no network' >&2; exit 100\n"])
def test_a_missing_s3fs_is_named(apt, service, node, bare):
    """Without apt, or where that can't install it, the task fails and says what is missing."""
    if apt:
        (bare / "apt-get").write_text(apt)
        (bare / "apt-get").chmod(0o755)
    node.set_up("true", setup_of(service, node))
    why = "could not be installed: apt-get: E: no network" if apt else "is not on this node"

    assert 125 == node.report().exit_code
    assert f"s3:// needs s3fs, which {why}" in node.report().reason


def test_keys_are_renewed_under_a_running_command(service, node, tmp_path):
    """New keys take over between two reads: files that are open go on, and s3fs of the old keys ends."""
    went, go = Bell(tmp_path / "went"), Bell(tmp_path / "go")
    data = tmp_path / "data"
    line = f"exec 3< {data}/a; {went.ring}; read x < '{go.path}'; cat {data}/deep/b; cat <&3"
    line += f"; ls {node.home}/s3 | wc -l"
    node.take(line, wants_delivery=True)
    started = node.start()
    node.deliver_setup(setup_of(service, node))
    went.wait()
    renewed = node.inside(
        sys.executable, str(node.home / "kit.zip"), "renew-s3",
        stdin=json.dumps(service.keys(expires=NEVER)).encode(),
    )  # fmt: skip
    node.inside("sh", "-c", go.ring)
    started.wait(20)

    assert (0, b"") == (renewed.returncode, renewed.stderr)
    assert "twoone1\n" in node.said
    kept = json.loads((node.home / "delivery.json").read_text())["setup"]["s3"]["keys"]
    assert NEVER == kept["expires"]


def test_expired_keys_are_waited_out(service, node):
    """A node that comes back with keys that have expired says that it waits for new ones, and gives up by name."""
    told = setup_of(service, node)
    told["s3"]["keys"]["expires"] = 1.0  # type: ignore[index]
    node.env["FLOW_MOUNT_WAIT_S"] = "0.1"
    node.set_up("true", told)

    assert 125 == node.report().exit_code
    assert "waiting for keys to the bucket that have not expired" in node.said
    assert "did not appear" in node.report().reason
