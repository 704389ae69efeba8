"""`flow ssh-config`: what OpenSSH's own programs make of it, against a real server."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from flow_adapters.ssh_hosts import FolderSshHosts
from flow_core.domain.ssh_hosts import SshHost, rendered
from flow_core.services.watcher import Watcher
from tests.ssh.cloud import PATIENCE_S, Cloud, told
from tests.ssh.conftest import a_node
from tests.ssh.sshd import new_key

OWN = "# mine\r\nHost  far\n\tPort 2222   # kept\nMatch all\n  ServerAliveInterval 7"


@pytest.fixture
def cloud(sshd, tmp_path) -> Cloud:
    """Two nodes that are one server, of a task with an odd name."""
    return Cloud(
        folder=str(tmp_path), key=str(sshd.user_key), ports=[sshd.port] * 2, name="train.v=2"
    )


def ran(cloud: Cloud, *words: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """One of OpenSSH's programs, or one that uses it, with the user's settings."""
    config = Path(cloud.folder) / ".ssh" / "config"
    line = [str(word).replace("CONFIG", str(config)) for word in words]
    return subprocess.run(line, input=given, capture_output=True, check=False, timeout=PATIENCE_S)


def test_ssh_knows_nodes_by_name(cloud):
    """`ssh TASK` and `ssh TASK-1` reach the nodes with Flow's key and pins; what no host may be called is a dash."""
    code, out, err = told(cloud, "ssh-config", "--write")
    answers = [
        ran(cloud, "ssh", "-F", "CONFIG", "-o", "BatchMode=yes", name, "cat; exit 3", given=b"hi")
        for name in ("train.v-2", "train.v-2-0", "train.v-2-1")
    ]

    assert (0, 2) == (code, len(out.splitlines()))
    assert [(3, b"hi", b"")] * 3 == [(a.returncode, a.stdout, a.stderr) for a in answers]
    assert "begins with Include" in err


def test_scp_and_rsync_reach_them_too(cloud, tmp_path):
    """scp copies there, rsync back, through nothing but the task's name."""
    if shutil.which("rsync") is None:
        pytest.skip("needs rsync")
    told(cloud, "ssh-config", "--write")
    (tmp_path / "here").write_bytes(b"\x00data")
    there, back = tmp_path / "there", tmp_path / "back"
    first = ran(cloud, "scp", "-q", "-F", "CONFIG", tmp_path / "here", f"train.v-2-1:{there}")
    second = ran(cloud, "rsync", "-a", "-e", "ssh -F CONFIG", f"train.v-2:{there}", back)

    assert (0, 0) == (first.returncode, second.returncode), first.stderr + second.stderr
    assert b"\x00data" == back.read_bytes()


def test_own_settings_stay(cloud, tmp_path):
    """The user's settings get one line at the top and keep every byte; once is enough; --remove takes it back."""
    folder = tmp_path / ".ssh"
    folder.mkdir()
    (folder / "kept").write_bytes(OWN.encode())
    (folder / "kept").chmod(0o644)
    (folder / "config").symlink_to("kept")
    told(cloud, "ssh-config", "--write")
    once = (folder / "kept").read_bytes()
    told(cloud, "ssh-config")
    twice = (folder / "kept").read_bytes()
    far = ran(cloud, "ssh", "-F", "CONFIG", "-G", "far").stdout.decode()
    mode = stat.S_IMODE((folder / "kept").stat().st_mode)
    told(cloud, "ssh-config", "--remove")

    assert once == twice
    assert once.endswith(OWN.encode())
    assert once.startswith(f"Include {tmp_path}/state/ssh_hosts/*.conf\n\n".encode())
    assert 0o600 == mode
    assert "port 2222" in far
    assert "serveraliveinterval 7" in far
    assert (folder / "config").is_symlink()
    assert OWN.encode() == (folder / "kept").read_bytes()
    assert not (tmp_path / "state" / "ssh_hosts").exists()


def test_a_state_folder_with_spaces(sshd, tmp_path):
    """Folders with spaces and percent signs in their names, Flow's own among them, change nothing."""
    folder = tmp_path / "a home at 100%"
    folder.mkdir()
    cloud = Cloud(folder=str(folder), key=str(sshd.user_key), ports=[sshd.port])
    told(cloud, "ssh-config", "--write")
    answer = ran(cloud, "ssh", "-F", "CONFIG", "train", "echo there")

    assert b"there\n" == answer.stdout, answer.stderr


def test_nothing_is_written_unasked(cloud, tmp_path):
    """Without a terminal nothing is written, and the message says what to do; --print writes nothing either."""
    code, out, err = told(cloud, "ssh-config")
    printed = told(cloud, "ssh-config", "--print")

    assert (2, "") == (code, out)
    assert "--write" in err
    assert "Host train.v-2\n" in printed[1]
    assert not (tmp_path / ".ssh").exists()
    assert not (tmp_path / "state" / "ssh_hosts").exists()


def test_a_changed_key_is_refused_by_ssh_too(own_sshd, tmp_path):
    """ssh holds a node to the key that Flow pinned, and so refuses another."""
    own_sshd.start()
    cloud = Cloud(folder=str(tmp_path), key=str(own_sshd.user_key), ports=[own_sshd.port])
    told(cloud, "ssh-config", "--write")
    before = ran(cloud, "ssh", "-F", "CONFIG", "train", "true")
    own_sshd.change_host_key()
    after = ran(cloud, "ssh", "-F", "CONFIG", "train", "touch ran")

    assert (0, 255) == (before.returncode, after.returncode)
    assert b"REMOTE HOST IDENTIFICATION HAS CHANGED" in after.stderr


def test_a_node_that_was_not_met(sshd, tmp_path):
    """A node that doesn't answer is told by its name, is in the file, and is refused by ssh until Flow has met it."""
    cloud = Cloud(folder=str(tmp_path), key=str(sshd.user_key), ports=[sshd.port, 1])
    code, out, err = told(cloud, "ssh-config", "--write")
    document = json.loads(told(cloud, "ssh-config", "--json")[1])

    assert (0, 2) == (code, len(out.splitlines()))
    assert "train-1 has no host key yet" in err
    assert "connection refused" in err
    assert ["train", "train-0", "train-1"] == [host["host"] for host in document["hosts"]]
    assert document["included"]


def test_the_way_to_an_address_is_kept(sshd, own_sshd, tmp_path):
    """A ProxyJump and a key that the user's settings have for the address hold for the task's name as well."""
    own_sshd.start()
    key = new_key(tmp_path / "a key")
    with sshd.authorized_keys.open("a") as file:
        file.write((tmp_path / "a key.pub").read_text())
    user = a_node(1).address.user
    known = tmp_path / "known"
    known.write_text(f"[localhost]:{own_sshd.port} {(own_sshd.folder / 'host.pub').read_text()}")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        f'Host 127.0.0.1\n ProxyJump {user}@bastion\n IdentityFile "{key}"\n'
        f"Host bastion\n HostName localhost\n Port {own_sshd.port}\n IdentityFile {own_sshd.user_key}\n"
        f" UserKnownHostsFile {known}\n"
    )
    cloud = Cloud(folder=str(tmp_path), key="", ports=[sshd.port])
    pins = Path(cloud.folder) / "state" / "loopback"
    pins.mkdir(parents=True)
    direct = cloud.shell()
    direct.known_nodes.pin("inst_0", " ".join((sshd.folder / "host.pub").read_text().split()[:2]))
    told(cloud, "ssh-config", "--write")
    answer = ran(cloud, "ssh", "-F", "CONFIG", "-o", "BatchMode=yes", "train", "echo there")

    assert (0, b"there\n") == (answer.returncode, answer.stdout), answer.stderr
    assert any("Accepted publickey" in line for line in own_sshd.said)


def test_entries_go_when_nodes_go(cloud, tmp_path):
    """The watcher writes nodes at new addresses and takes away those that are gone; unwanted, it writes nothing."""
    files = FolderSshHosts(tmp_path / "state" / "ssh_hosts", config=tmp_path / ".ssh" / "config")
    entries = tmp_path / "state" / "ssh_hosts" / "loopback.conf"
    Watcher(cloud.session(ssh_hosts=files).ports).tick()
    unwanted = entries.exists()
    told(cloud, "ssh-config", "--write")
    moved = Cloud(**{**_fields(cloud), "hosts": ["10.1.2.3", "10.1.2.4"], "ids": ["x", "y"]})
    Watcher(moved.session(ssh_hosts=files).ports).tick()
    later = entries.read_text()
    Watcher(Cloud(**{**_fields(cloud), "state": "open"}).session(ssh_hosts=files).ports).tick()

    assert not unwanted
    assert "HostName 10.1.2.4" in later
    assert "127.0.0.1" not in later
    assert "Host " not in entries.read_text()
    assert 0o600 == stat.S_IMODE(entries.stat().st_mode)


def _fields(cloud: Cloud) -> dict[str, object]:
    return {name: getattr(cloud, name) for name in ("folder", "key", "ports", "name")}


def test_a_task_named_like_another_s_node():
    """A task's own name comes before a node of another that is called the same."""

    def host(task: str, rank: int, names: tuple[str, ...]) -> SshHost:
        return SshHost(
            names=names, task=task, rank=rank, settings={"HostName": [task], "Port": [str(rank)]}
        )

    text = rendered([host("a", 1, ("a-1",)), host("a-1", 0, ("a-1", "a-1-0"))])

    assert text.index("HostName a-1") < text.index("HostName a\n")


def test_settings_that_no_line_can_hold():
    """A host of which a value would be a line of its own is left out."""
    settings = {"HostName": ["x\nProxyCommand evil"], "Port": ["1"]}

    assert "evil" not in rendered([SshHost(names=("a",), task="a", rank=0, settings=settings)])
