"""A login that a process begins before it has loaded: taken where it is what would be begun now, else ended."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path

import pytest

from flow_adapters import ssh_ahead
from flow_adapters.ssh.trust import alias
from flow_adapters.ssh_ahead import KEPT, Ahead, Logins
from flow_core.ports.shell import NodeExit
from flow_core.services.watcher import Watcher
from tests.ssh.cloud import Cloud, told
from tests.ssh.conftest import Answer, Met, a_node, lone
from tests.ssh.uploads import packed


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the login to a task's node is kept."""
    return tmp_path / "state" / "ahead" / "train"


def called(met: Met, node, place: Path, line: str = "true", **options: object) -> Answer:
    """What a call comes to in a process that began its login ahead, where it could."""
    ahead = Ahead(place)
    ahead.begin()
    try:
        shell = met.make_shell(ssh=str(met.program), logins=Logins(place.parent, ahead), **options)
        return Answer(shell, node, line, lone=True)
    finally:
        ahead.close()


def clients_of(folder: Path) -> list[str]:
    """The processes that run with the host keys that are kept in `folder`."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{folder}/state/known_nodes".encode() in (each / "cmdline").read_bytes():
                found.append(each.name)
    return found


@pytest.mark.parametrize("end", ["exit 7", "exit 255", "kill -TERM $$", "kill -KILL 0"])
def test_a_call_is_what_it_is_without(met, node, place, end):
    """It sees what any call sees, empty input too, and ends as any call does; no other login is made."""
    line = f"pwd; umask; grep Sig[BIC] /proc/self/status; env -u _ | sort; cat; echo err >&2; {end}"
    usual = lone(met, node, line)
    assert 0 == called(met, node, place).code
    before = met.calls
    ahead = called(met, node, place, line)
    found, wanted = (
        [each for each in answer.out.splitlines() if not each.startswith(b"SSH_C")]
        for answer in (ahead, usual)
    )

    assert before + 1 == met.calls
    assert (wanted, usual.err, usual.code) == (found, ahead.err, ahead.code)


def test_an_upload_goes_there_too(met, node, place, tmp_path):
    """It is sent by what began ahead, which then becomes the call behind it."""
    called(met, node, place)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_text("it's \\ a\n")
    ahead = Ahead(place)
    ahead.begin()
    shell = met.make_shell(ssh=str(met.program), logins=Logins(place.parent, ahead))
    target, before = tmp_path / "to", met.calls
    bundle = packed(tmp_path / "tree", tmp_path / "t.tar")
    sent = list(shell.upload([node], bundle, target=str(target)))
    after = Answer(shell, node, f"cat {target}/a; cat; exit 3", lone=True)
    logins = met.calls
    ahead.close()

    assert [NodeExit(node, 0)] == sent
    assert (3, b"it's \\ a\n") == (after.code, after.out)
    assert logins <= before + 1
    assert [] == clients_of(tmp_path)


def test_what_is_kept_is_the_owner_s(met, node, place):
    """A file and a folder that nobody else may look into, with no word of the call's in it."""
    called(met, node, place, "echo s3cr3t")

    assert 0o600 == stat.S_IMODE(place.stat().st_mode)
    assert 0o700 == stat.S_IMODE(place.parent.stat().st_mode)
    assert "s3cr3t" not in place.read_text()


@pytest.mark.parametrize("other", ["node", "user", "key", "workspace"])
def test_what_would_not_be_begun_now_is_not_taken(met, node, place, sshd, tmp_path, other):
    """Another node at the address, another key or folder: the login ends unused, and the call has its own."""
    called(met, node, place)
    options: dict[str, object] = {}
    if other == "node":
        node = a_node(node.address.port, name="inst_B2")
        Answer(met.make_shell(), node, "true")
    elif other == "key":
        options["keys"] = [tmp_path / "none", sshd.user_key]
    elif other == "workspace":
        options["workspace"] = str(tmp_path / "elsewhere")
    else:
        place.write_text(place.read_text().replace("User=", "User=not-"))
    kept = place.read_text()
    answer = called(met, node, place, "pwd", **options)

    assert 0 == answer.code
    assert kept != place.read_text()
    assert [] == clients_of(tmp_path)


def test_a_login_that_failed_is_made_again(met, node, place):
    """One that has ended by the time it is wanted, or ends without the node's word, costs the call nothing."""
    called(met, node, place)
    program = met.program.read_text()
    met.program.write_text(
        f"#!/bin/sh\n[ -e '{met.notes}.2' ] || {{ >'{met.notes}.2'; exit 255; }}\n{program}"
    )

    assert b"ran\n" == called(met, node, place, "echo ran").out


def test_one_that_nobody_takes_ends_and_is_not_begun_again(met, node, place, tmp_path):
    """As of a task whose log is kept here: the next process begins nothing."""
    called(met, node, place)
    ahead = Ahead(place)
    ahead.begin()
    ahead.close()
    left = clients_of(tmp_path)
    Ahead(place).begin()

    assert not place.exists()
    assert [] == left == clients_of(tmp_path)


def test_two_calls_of_one_process_need_two_logins(met, node, place):
    """What began ahead serves one call; the next one is OpenSSH's, and the third is by a connection of ours."""
    called(met, node, place)
    ahead = Ahead(place)
    ahead.begin()
    shell = met.make_shell(ssh=str(met.program), logins=Logins(place.parent, ahead))
    logins = []
    for _ in range(3):
        assert 0 == Answer(shell, node, "true", lone=True).code
        logins.append(met.calls)
    ahead.close()

    assert [0, 1, 1] == [each - logins[0] for each in logins]


def test_a_watcher_foresees_the_first_login(met, node, place):
    """Of a node that it has met; one that it has not is passed over. It writes once, whatever it has connections to."""
    shell = met.make_shell(ssh=str(met.program), logins=Logins(place.parent))
    Answer(shell, node, "true")
    shell.foresee("stranger", a_node(node.address.port, name="inst_B2"))
    shell.foresee("train", node)
    first = place.stat().st_mtime_ns
    shell.foresee("train", node)
    before = met.calls

    assert ["train"] == [each.name for each in place.parent.iterdir()]
    assert first == place.stat().st_mtime_ns
    assert b"ran\n" == called(met, node, place, "echo ran").out
    assert before + 1 == met.calls
    assert first == place.stat().st_mtime_ns


def test_the_watcher_foresees_live_tasks(sshd, tmp_path):
    """Each look of its, which meets the nodes, keeps how the first one of a task is reached."""
    cloud = Cloud(folder=str(tmp_path), key=str(sshd.user_key), ports=[sshd.port] * 2)
    shell = cloud.shell()
    session = cloud.session(shell)
    Watcher(session.ports).tick()
    kept = (tmp_path / "state" / "ahead" / "train").read_text()
    shell.close()

    assert alias("inst_0") in kept


def test_only_the_last_tasks_are_kept(tmp_path):
    """A folder of a few files, whatever number of tasks there were."""
    for number in range(KEPT + 5):
        Ahead(tmp_path / "ahead" / f"task-{number}").note(["ssh"])

    assert KEPT == len(list((tmp_path / "ahead").iterdir()))


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        ("logs train", True),
        ("logs train -f", True),
        ("ssh train -- nvidia-smi", True),
        ("upload train", True),
        ("upload train src --yes", True),
        ("ssh train", False),
        ("ssh train -t -- htop", False),
        ("ssh train --stdin -- cat", False),
        ("logs", False),
        ("logs --json train", False),
        ("logs ../train", False),
        ("status train", False),
        ("", False),
    ],
)
def test_which_commands_begin_one(tmp_path, words, begins):
    """Those that log in to the node of a task that is their second word; a terminal has a login of its own."""
    assert begins == (ssh_ahead.begin(words.split(), {"FLOW_STATE_DIR": str(tmp_path)}) is not None)


def test_a_second_command_logs_in_ahead(sshd, tmp_path):
    """Whole processes: the first meets the node, the second keeps how, the third begins with that."""
    cloud = Cloud(folder=str(tmp_path), key=str(sshd.user_key), ports=[sshd.port])
    kept = tmp_path / "state" / "ahead" / "train"
    line = ["ssh", "train", "--", "echo $PPID; exit 3"]
    there = []
    for _ in range(3):
        code, out, err = told(cloud, *line)
        there.append(kept.exists())
        assert (3, True) == (code, out.strip().isdigit()), err

    assert [False, True, True] == there
    assert [] == [each for each in kept.parent.iterdir() if each != kept]
