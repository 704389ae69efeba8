"""Calls and uploads to a node that is known, by OpenSSH's client: as by a connection of ours, but nothing is kept."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.ssh import SshShell
from flow_adapters.ssh.lines import Head, Tail
from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput
from tests.ssh.conftest import Answer, a_node, lone
from tests.ssh.test_ending import PIDS, living, pids_of
from tests.ssh.uploads import packed


def test_the_first_lone_call_is_openssh_s(met, node, tmp_path, monkeypatch):
    """It loads no connection of ours, which the next one has; nothing of the user's settings is in its way."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        "Host *\n RemoteCommand false\n SendEnv *\n RequestTTY force\n PreferredAuthentications password\n"
    )
    monkeypatch.setenv("LC_FLOW_TEST", "ours")
    line = "head -c 3000000 /dev/zero; echo $LC_FLOW_TEST. >&2; exit 3"
    shell = met.shell()
    first = Answer(shell, node, line, lone=True)
    again = Answer(shell, node, line, lone=True)
    other = Answer(met.shell(), node, line)

    assert 1 == met.calls
    for answer in (first, again, other):
        assert (bytes(3_000_000), b".\n", 3) == (answer.out, answer.err, answer.code)


@pytest.mark.parametrize("code", [0, 1, 127, 254, 255])
def test_every_code_is_the_commands_own(met, node, code):
    """255 too, which is what ssh ends with by itself; what was said on standard error stays whole."""
    answer = lone(met, node, f"printf no >&2; exit {code}")

    assert (b"no", b"", code) == (answer.err, answer.out, answer.code)


def test_a_signal_is_128_and_its_number(met, node):
    """A command that a signal ends has a code, even one that ends its whole group."""
    assert 137 == lone(met, node, "kill -KILL $$").code
    assert 143 == lone(met, node, "kill -TERM $$").code
    assert 143 == lone(met, node, "kill -TERM 0; sleep 60").code


def test_what_openssh_cant_do_is_done_by_ours(met, node):
    """Who doesn't answer is told of in the same words; a call that is too late is lost."""
    dead = a_node(1, name=node.id)
    said = lone(met, dead, "true")
    late = lone(met, node, "exec sleep 60", timeout_s=1)

    assert "connection refused by 127.0.0.1:1" in said.lost
    assert "did not end within 1 s" in late.lost


def test_who_stops_listening_ends_the_command(met, node, shell):
    """When the events have closed, the command and its own children have ended on the node."""
    with closing(met.shell().run_many([Call(node=node, line=PIDS, lone=True)])) as events:
        pids = pids_of(events)
        before = living(shell, node, pids)

    assert pids == before
    assert [] == living(shell, node, pids)


def test_who_stops_listening_at_once(met, node, shell, tmp_path):
    """A command that writes without end is ended as well, by whoever has read a little of it."""
    events = met.shell().run_many([Call(node=node, line="echo $$; yes", lone=True)])
    first = next(events)
    events.close()

    assert [] == living(shell, node, first.data.decode().split()[:1])


def test_a_lost_connection_is_no_code(met, own_sshd, make_shell):
    """A command whose connection ends before it did is lost, and isn't begun a second time."""
    own_sshd.start()
    there = a_node(own_sshd.port, name="inst_own")
    assert 0 == Answer(make_shell(keys=[own_sshd.user_key]), there, "rm -f begun").code
    shell = make_shell(keys=[own_sshd.user_key], ssh=str(met.program))
    line = "echo x >>begun; kill -KILL $PPID $(ps -o ppid= -p $PPID); sleep 60"
    last = list(shell.run_many([Call(node=there, line=line, lone=True)], timeout_s=60))[-1]
    count = Answer(make_shell(keys=[own_sshd.user_key]), there, "wc -l <begun")

    assert isinstance(last, NodeLost | NodeExit)
    assert "1" == count.out.decode().strip()


def test_an_upload_to_one_node_is_openssh_s(met, node, tmp_path):
    """A whole snapshot, then what changed, and nothing where all is there; each by a shell of its own."""
    folder, target = tmp_path / "tree", tmp_path / "target"
    folder.mkdir()
    (folder / "same").write_bytes(bytes(3_000_000))
    for change in ("a", "b", "b"):
        (folder / "changed").write_text(change)
        bundle = packed(folder, tmp_path / "tree.tar", digest=change)
        events = list(met.shell().upload([node], bundle, target=str(target)))

        assert [NodeExit(node, 0)] == events
        assert change == (target / "changed").read_text()
    assert 3 == met.calls


def test_an_upload_that_cannot_be(met, node, tmp_path):
    """Where the files can't be put, the reason is the node's."""
    (tmp_path / "file").write_text("")
    bundle = packed(tmp_path, tmp_path.parent / f"{tmp_path.name}.tar")
    (lost,) = met.shell().upload([node], bundle, target=str(tmp_path / "file" / "x"))

    assert isinstance(lost, NodeLost)
    assert "the files were not unpacked" in lost.reason


@given(
    st.lists(st.sampled_from([b"\x1e", b"\x1eflow-", b"ended\n", b"x", b"\n", b"flow-leader 12\n"]))
)
def test_what_is_no_word_of_ours_is_the_commands(pieces):
    """However the bytes come apart: what isn't the leader's line at the head, or the last word, is passed on whole."""
    head, tail = Head(), Tail()
    said = [b"\x1eflow-leader 7\n", *pieces]
    own = b"".join(tail.without(head.without(each)) for each in said) + head.rest() + tail.rest()

    assert 7 == head.leader
    assert b"".join(pieces).replace(b"\x1eflow-ended\n", b"") == own
    assert tail.is_ended == (b"\x1eflow-ended\n" in b"".join(pieces))


def test_no_output_is_lost_behind_an_open_stream(met, node):
    """A command that leaves a child with its streams ends with it, as by a connection of ours."""
    events = list(
        met.shell().run_many([Call(node=node, line="(sleep 0.2; echo late) & exit 5", lone=True)])
    )

    assert NodeExit(node, 5) == events[-1]
    assert b"late\n" == b"".join(each.data for each in events if isinstance(each, NodeOutput))


def test_folders_of_odd_names_are_entered(met, make_shell, node, tmp_path):
    """Its workspace is the same as any call's."""
    place = tmp_path / "it's a $HOME"
    shell = make_shell(ssh=str(met.program), workspace=str(place))

    assert f"{Path(place)}\n".encode() == Answer(shell, node, "pwd", lone=True).out


@pytest.fixture
def brought(met, node, tmp_path) -> SshShell:
    """A shell that has uploaded something just now."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_text("a")
    shell = met.shell()
    bundle = packed(tmp_path / "tree", tmp_path / "t.tar")
    assert [NodeExit(node, 0)] == list(shell.upload([node], bundle, target=str(tmp_path / "to")))
    return shell


@pytest.mark.parametrize("end", ["exit 7", "exit 255", "kill -TERM $$", "kill -KILL 0"])
def test_who_comes_after_an_upload_logs_in_no_more(met, node, brought, end):
    """The call is made where the upload was, and what it finds there is what any call does, empty input too."""
    line = f"pwd; umask; grep Sig[BIC] /proc/self/status; env -u _ | sort; cat; echo err >&2; {end}"
    before = met.calls
    after = Answer(brought, node, line, lone=True)
    assert before == met.calls
    usual = lone(met, node, line)
    found, wanted = (
        [each for each in answer.out.splitlines() if not each.startswith(b"SSH_C")]
        for answer in (after, usual)
    )

    assert (wanted, usual.err, usual.code) == (found, after.err, after.code)


def test_a_second_upload_shares_the_connection_of_the_first(met, node, shell, brought, tmp_path):
    """And so does a terminal; when the shell has closed, what kept the connection has ended."""
    target = str(tmp_path / "to")
    bundle = packed(tmp_path / "tree", tmp_path / "u.tar", digest="d2")
    of_the_first = Answer(shell, node, f"pgrep -f '[-]X utf8 -c .* {target} d1'").out.split()
    kept = Path("/proc", of_the_first[-1].decode(), "environ").read_bytes().split(b"\0")
    (again,) = brought.upload([node], bundle, target=target)
    seen = tmp_path / "seen"
    code = brought.attach(node, f"echo $SSH_CONNECTION >{seen}")
    brought.close()

    assert (NodeExit(node, 0), 0) == (again, code)
    assert b"SSH_CONNECTION=" + seen.read_bytes().strip() in kept
    assert [] == living(shell, node, [each.decode() for each in of_the_first])


def test_who_comes_after_an_upload_can_be_ended(node, shell, brought):
    """Who stops listening ends it, and one that takes too long is lost."""
    with closing(brought.run_many([Call(node=node, line=PIDS, lone=True)])) as events:
        pids = pids_of(events)

    assert [] == living(shell, node, pids)


def test_who_comes_after_an_upload_has_its_time(node, brought):
    """One that takes longer is lost."""
    assert (
        "did not end within 1 s"
        in Answer(brought, node, "exec sleep 60", lone=True, timeout_s=1).lost
    )


def test_who_comes_after_an_upload_outlasts_its_door(node, brought):
    """The call goes on when nobody may share its connection any more."""
    line = "echo begun; until [ -e go ]; do sleep 0.1; done; exit 5"
    with closing(brought.run_many([Call(node=node, line=line, lone=True)])) as events:
        next(events)
        # By a connection of ours, before which the door is shut.
        other = Answer(brought, node, "touch go")
        last = list(events)[-1]

    assert (0, NodeExit(node, 5)) == (other.code, last)
