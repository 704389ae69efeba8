"""The node helper runs a command, keeps what it says, and survives what happens to nodes."""

from __future__ import annotations

import os
import signal
import tarfile
from io import BytesIO

import pytest

from flow_core.domain.run import RunPhase, Stream
from flow_core.domain.task_parts import RunOn
from tests.node.conftest import BareNode
from tests.node.kit import PATIENCE_S, is_alive, is_held, pythons, wait_for_bytes


@pytest.mark.parametrize("python", pythons(), ids=os.path.basename)
def test_a_command_runs_under_old_and_new_pythons(tmp_path, python):
    """Output, exit code and stream are kept, whichever Python the node has."""
    node = BareNode(tmp_path, python)
    node.take("echo out; echo err >&2; exit 7")
    report = node.finish()

    assert (RunPhase.EXITED, 7, 0) == (report.phase, report.exit_code, report.attempt)
    assert b"err\nout\n" == b"".join(sorted(piece.data for piece in node.log().pieces))
    assert {Stream.OUT, Stream.ERR} == {piece.stream for piece in node.log().pieces}


def test_a_line_is_the_shells_and_arguments_are_not(node):
    """A tuple's words reach the command as they are; a line is expanded."""
    node.take(("printf", "%s|", "$HOME", "a b", "*"))
    node.finish()

    assert b"$HOME|a b|*|" == node.log().data


def test_a_missing_command_exits_127_and_says_so(node):
    """A tuple whose program doesn't exist ends with 127 and a note that names it."""
    node.take(("no-such-program", "x"))

    assert 127 == node.finish().exit_code
    assert [Stream.NOTE] == [piece.stream for piece in node.log().pieces]
    assert b"flow: no-such-program: command not found\n" == node.log().data


def test_a_missing_command_in_a_line_exits_127(node):
    """The shell's own 127 and its words are kept."""
    node.take("no-such-program x")

    assert 127 == node.finish().exit_code
    assert b"no-such-program" in node.log().data


def test_a_command_that_may_not_run_exits_126(node):
    """A file without the executable bit ends with 126."""
    node.workspace.mkdir()
    (node.workspace / "script").write_text("echo hi")
    node.take(("./script",))

    assert 126 == node.finish().exit_code
    assert b"./script: Permission denied" in node.log().data


def test_a_missing_working_dir_is_named(node):
    """A working directory that isn't there ends with 127 and its path."""
    node.take("true", working_dir="nowhere")

    assert 127 == node.finish().exit_code
    assert f"{node.workspace}/nowhere: is not a folder on this node".encode() in node.log().data


def test_death_by_signal_is_128_plus_its_number(node):
    """The exit code follows the shell."""
    node.take(("sh", "-c", "kill -9 $$"))

    assert 128 + signal.SIGKILL == node.finish().exit_code


def test_the_users_variables_win(node):
    """A variable that the user set, even one that Flow sets too, has the user's value."""
    node.take(
        "echo $MASTER_PORT $FLOW_TASK $PET_NNODES $GREETING",
        env={"MASTER_PORT": "1", "GREETING": "hi"},
    )
    node.finish()

    assert b"1 train 1 hi\n" == node.log().data


def test_a_log_keeps_every_byte(node):
    """Bytes that are no text, no last newline and a line larger than any buffer arrive as they were."""
    node.take("printf '\\377\\0\\r'; head -c 300000 /dev/zero; printf end")
    report = node.finish()

    assert b"\xff\0\r" + bytes(300_000) + b"end" == node.log().data
    assert 300_006 == report.log_bytes


def test_a_million_short_lines_are_kept(node):
    """Many lines make few index entries, and all of them arrive."""
    node.take("seq 1 1000000")
    report = node.finish()

    assert sum(len(f"{each}\n") for each in range(1, 1_000_001)) == report.log_bytes
    assert (node.home / "log.index").stat().st_size < 24 * 1_000
    assert node.log(report.log_bytes - 8).data == b"1000000\n"


def test_a_log_is_read_in_pieces_without_gap_or_repeat(node):
    """Reading on from `next_offset` with any limit gives the same bytes as reading at once."""
    node.take("for i in 1 2 3; do echo out $i; echo err $i >&2; done")
    node.finish()
    whole = node.log()
    found, offset = b"", 0
    while offset < len(whole.data):
        part = node.log(offset, 7)
        found, offset = found + part.data, part.next_offset
        assert part.is_last == (offset == len(whole.data))

    assert whole.data == found
    assert (99, b"", 99) == (node.log(99).offset, node.log(99).data, node.log(99).next_offset)


@pytest.mark.slow
def test_the_last_line_is_kept_though_a_grandchild_holds_the_pipe(node):
    """What was written before the exit is kept, and a background process doesn't hold up the end for long."""
    node.take("sleep 30 & echo $! ; printf last")
    report = node.finish()

    assert 0 == report.exit_code
    pid, last = node.log().data.split(b"\n")
    os.kill(int(pid), signal.SIGKILL)
    assert b"last" == last


def test_a_second_run_leaves_at_once(node, bell):
    """While one helper lives, another does nothing and exits 0."""
    node.take(f"{bell.ring}; sleep 30")
    node.start()
    bell.wait()

    assert 0 == node.ask("run").returncode
    assert is_held(node.home / "lock")
    assert 0 == node.report().attempt


def test_a_stopped_node_is_interrupted_not_ended(node, bell):
    """TERM to the helper ends the command, even one that exits 0 on it; the next boot runs it again."""
    node.take(f"trap 'echo saved; exit 0' TERM; {bell.ring}; while :; do sleep 0.05; done")
    started = node.start()
    bell.wait()
    started.terminate()
    started.wait(PATIENCE_S)

    assert (RunPhase.INTERRUPTED, None) == (node.report().phase, node.report().exit_code)
    assert b"saved\n" in node.log().data
    assert not node.log().is_last

    node.start()
    bell.wait()

    assert (RunPhase.RUNNING, 1) == (node.report().phase, node.report().attempt)


def test_a_deaf_command_is_killed_after_the_grace(node, bell):
    """What ignores TERM gets KILL, its children too."""
    node.take(f"trap '' TERM; sleep 30 & echo $!; {bell.ring}; wait")
    started = node.start()
    bell.wait()
    started.terminate()
    started.wait(PATIENCE_S)

    assert not is_alive(int(node.log().data.split()[0]))


def test_a_finished_command_is_not_run_again(node):
    """A boot after the end changes nothing."""
    node.take("echo once; exit 3")
    node.finish()
    report = node.finish()

    assert (3, 0, b"once\n") == (report.exit_code, report.attempt, node.log().data)


def test_stop_ends_for_good(node, bell):
    """The stop verb returns when the command has ended, which then counts as exited with 143."""
    node.take(f"{bell.ring}; exec sleep 30")
    node.start()
    bell.wait()

    assert 0 == node.ask("stop").returncode
    assert (RunPhase.EXITED, 128 + signal.SIGTERM) == (node.report().phase, node.report().exit_code)


def test_a_task_of_many_nodes_waits_for_its_membership(node, bell):
    """The helper says what it waits for, and gives the command its rank and its fellows."""
    node.take(
        f"echo $RANK/$WORLD_SIZE $MASTER_ADDR:$MASTER_PORT $FLOW_NODES $PET_NODE_RANK; {bell.ring}",
        num_nodes=2,
    )
    started = node.start()
    wait_for_note(node)

    assert (RunPhase.WAITING, True, "all 2 nodes") == (
        node.report().phase,
        node.report().wants_delivery,
        node.report().waiting_for,
    )
    assert 0 == node.deliver(1, rank=1, hosts=("10.0.0.7", "10.0.0.8"))
    bell.wait()
    started.terminate()
    started.wait(PATIENCE_S)
    assert (
        b"flow: waiting for all 2 nodes\n1/2 10.0.0.7:29501 10.0.0.7 10.0.0.8 1\n"
        == node.log().data
    )


def test_a_restart_of_many_nodes_wants_a_newer_membership(node, bell):
    """The number an attempt has used doesn't do for the next one."""
    node.take(f"{bell.ring}; sleep 30", num_nodes=2)
    started = node.start()
    wait_for_note(node)
    node.deliver(1, hosts=("a", "b"))
    bell.wait()
    started.terminate()
    started.wait(PATIENCE_S)
    offset = node.report().log_bytes
    node.start()
    wait_for_note(node, offset)

    assert (RunPhase.WAITING, 1) == (node.report().phase, node.report().attempt)
    assert 0 == node.deliver(1, hosts=("a", "b"))
    assert RunPhase.WAITING is node.report().phase
    assert 0 == node.deliver(2, hosts=("a", "b"))
    bell.wait()
    assert RunPhase.RUNNING is node.report().phase


def test_a_stale_delivery_is_refused(node):
    """A number under one seen before exits 3 and changes nothing."""
    node.take("echo $V", wants_delivery=True)
    started = node.start()
    wait_for_note(node)

    assert 0 == node.deliver(5, env={"V": "five"})
    assert 3 == node.deliver(4, env={"V": "four"})
    started.wait(PATIENCE_S)
    assert node.log().data.endswith(b"five\n")


def test_a_single_node_restarts_with_what_it_had(node, bell):
    """A task of one node waits for its first delivery only."""
    node.take(f"echo $V; {bell.ring}; sleep 30", wants_delivery=True)
    started = node.start()
    wait_for_note(node)
    node.deliver(1, env={"V": "secret"})
    bell.wait()
    started.terminate()
    started.wait(PATIENCE_S)
    started = node.start()
    bell.wait()

    assert (RunPhase.RUNNING, 1) == (node.report().phase, node.report().attempt)
    started.terminate()
    started.wait(PATIENCE_S)
    assert 2 == node.log().data.count(b"secret\n")


def test_other_nodes_idle_when_the_first_runs_the_command(node):
    """A rank above 0 of a first-node task stays up as running and runs nothing."""
    node.take("echo ran", num_nodes=2, run_on=RunOn.FIRST_NODE)
    started = node.start()
    wait_for_note(node)
    node.deliver(1, rank=1, hosts=("a", "b"))
    wait_for_note(node, len(b"flow: waiting for all 2 nodes\n"))

    assert (RunPhase.RUNNING, None) == (node.report().phase, node.report().exit_code)
    started.terminate()
    started.wait(PATIENCE_S)
    assert b"ran\n" not in node.log().data


def test_a_killed_helper_is_reported_as_interrupted(node, bell):
    """Without a held lock nobody runs the command, whatever the state file says."""
    node.take(f"echo $$ >pid; {bell.ring}; exec sleep 30")
    started = node.start()
    bell.wait()
    started.kill()
    started.wait(PATIENCE_S)

    assert RunPhase.INTERRUPTED is node.report().phase
    os.kill(int((node.workspace / "pid").read_text()), signal.SIGKILL)


def wait_for_note(node: BareNode, offset: int = 0) -> None:
    """Return once the log has grown past `offset`: the helper notes what it waits for after it wrote its state."""
    wait_for_bytes(node.home / "log", offset)


def test_code_that_rode_along_is_there_once(node):
    """Files in the script lie in the workspace before the first attempt; what the command made of them stays."""
    tar = BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo("deep/run.sh")
        member.size, member.mode = 10, 0o755
        archive.addfile(member, BytesIO(b"echo \0rode"))
    node.take(
        "tail -c 4 deep/run.sh; echo changed > deep/run.sh; exit 1", retries=1, code=tar.getvalue()
    )
    node.finish()
    again = node.finish()

    assert b"rode" == node.log().pieces[0].data
    assert 1 == again.attempt
    assert "changed\n" == (node.workspace / "deep" / "run.sh").read_text()
    assert os.access(node.workspace / "deep" / "run.sh", os.X_OK)
