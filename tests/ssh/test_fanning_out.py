"""`flow ssh TASK -- COMMAND` as a whole process, over a real server: what is written, in which order, and the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.ssh.cloud import PATIENCE_S, Cloud, flow, told
from tests.ssh.conftest import Answer
from tests.ssh.sshd import free_port
from tests.ssh.test_ending import ALIVE


@pytest.fixture
def cloud(sshd, tmp_path) -> Cloud:
    """Four nodes, all of them the one server."""
    return Cloud(folder=str(tmp_path), key=str(sshd.user_key), ports=[sshd.port] * 4)


def table(err: str) -> list[list[str]]:
    """The table of exit codes, as words."""
    rows = [line.split() for line in err.splitlines()]
    return rows[rows.index(["exit", "code", "nodes"]) + 1 :]


def test_every_node_answers_behind_its_rank(cloud):
    """Each line carries its node's rank, the table every code with its nodes, and the worst code is the command's."""
    code, out, err = told(cloud, "ssh", "train", "--", "mkdir one 2>/dev/null && exit 7; exit 3")

    assert 7 == code
    assert {"3": 3, "7": 1} == {row[0]: _count(row[1]) for row in table(err)}
    code, out, err = told(cloud, "ssh", "train", "--node", "1,3", "--", "echo here; echo there >&2")
    assert (0, ["[1] here", "[3] here"]) == (code, sorted(out.splitlines()))
    assert ["[1] there", "[3] there"] == sorted(err.splitlines()[:2])
    assert [["0", "1,3"]] == table(err)


def _count(ranks: str) -> int:
    return sum(
        int(last or first) - int(first) + 1
        for first, _, last in (part.partition("-") for part in ranks.split(","))
    )


def test_one_node_is_not_spoken_of(cloud):
    """One node's bytes are passed on as they are, with no table where all went well."""
    code, out, err = told(cloud, "ssh", "train", "--node", "2", "--", "printf 'a\\nb'")

    assert (0, "a\nb", "") == (code, out, err)


def test_a_failure_of_one_node_is_told(cloud):
    """Of one node that fails there is a table of one row."""
    code, _, err = told(cloud, "ssh", "train", "--node", "2", "--", "exit 9")

    assert (9, [["9", "2"]]) == (code, table(err))


def test_lines_come_as_they_are_written(cloud):
    """A line of each node is there while the command still runs on all of them."""
    process = flow(cloud, "ssh", "train", "--", "echo begun; sleep 86400")
    first = [process.stdout.readline() for _ in range(4)]
    is_running = process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)

    assert is_running
    assert [f"[{rank}] begun\n".encode() for rank in range(4)] == sorted(first)


def test_identical_outputs_are_folded(cloud, sshd):
    """What several nodes wrote alike is written once behind all their ranks, stderr on its own."""
    line = "mkdir lock 2>/dev/null && echo first || echo later; echo warned >&2"
    code, out, err = told(cloud, "ssh", "train", "--fold", "--", line)

    groups = dict(row[1:].split("] ") for row in out.splitlines())
    assert 0 == code
    assert {"first": 1, "later": 3} == {text: _count(ranks) for ranks, text in groups.items()}
    assert "[0-3] warned" in err


def test_folded_output_as_json(cloud):
    """Folded documents name all ranks that wrote the same, base64 where it is no text."""
    _, out, _ = told(cloud, "ssh", "train", "--fold", "--json", "--", "printf '\\377'")
    first, last = map(json.loads, out.splitlines())

    assert ([0, 1, 2, 3], "out", "/w==") == (first["ranks"], first["stream"], first["base64"])
    assert ("ssh", {"0": 0, "1": 0, "2": 0, "3": 0}) == (last["kind"], last["exit_codes"])


def test_input_for_all_and_for_one(cloud):
    """Standard input reaches every node whole, or only the one that is named; the others read its end."""
    given = os.urandom(3 << 20)
    _, everywhere, _ = told(cloud, "ssh", "train", "--stdin", "--", "cksum", typed=given)
    _, chosen, _ = told(cloud, "ssh", "train", "--stdin-node", "2", "--", "wc -c", typed=given)

    sums = {line.split("] ")[1] for line in everywhere.splitlines()}
    assert 4 == len(everywhere.splitlines())
    assert 1 == len(sums)
    assert str(len(given)) in sums.pop()
    assert [f"[{rank}] {len(given) if rank == 2 else 0}" for rank in range(4)] == sorted(
        chosen.splitlines()
    )


def test_input_from_a_file_is_read_where_it_lies(cloud, tmp_path):
    """A file as standard input reaches every node from where it stands, and nothing of it is copied."""
    (tmp_path / "given").write_bytes(b"skipped" + b"x" * 1000)
    with (tmp_path / "given").open("rb", buffering=0) as file:
        file.read(7)
        process = flow(cloud, "ssh", "train", "--stdin", "--", "wc -c", stdin=file)
        out, _ = process.communicate(timeout=PATIENCE_S)

    assert [f"[{rank}] 1000" for rank in range(4)] == sorted(out.decode().splitlines())


def test_dead_and_absent_nodes_hold_up_nobody(cloud, sshd, tmp_path):
    """A node where nobody listens and one without an address are told, count as 125, and the others answer."""
    partly = Cloud(
        folder=str(tmp_path), key=str(sshd.user_key), ports=[sshd.port, free_port(), 0, sshd.port]
    )
    code, out, err = told(partly, "ssh", "train", "--", "echo hi; exit 3")

    assert 125 == code
    assert ["[0] hi", "[3] hi"] == sorted(out.splitlines())
    assert "node 1 was lost: connection refused by 127.0.0.1:" in err
    assert "node 2 was lost: it is starting" in err
    assert [["3", "0,3"], ["lost", "1-2"]] == table(err)


def test_a_silent_node_holds_up_nobody(cloud, sshd, tmp_path, silent):
    """Answers are there before a node that says nothing has been given up; no question is asked of it first."""
    partly = Cloud(
        folder=str(tmp_path), key=str(sshd.user_key), ports=[silent, sshd.port], connect_timeout_s=3600.0
    )  # fmt: skip
    process = flow(partly, "ssh", "train", "--", "echo quick")
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)

    assert b"[1] quick\n" == first
    assert 130 == process.returncode


@pytest.fixture
def silent():
    """The port of something that accepts connections and never says a word."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_ctrl_c_ends_the_remote_processes(cloud, shell, node):
    """Ctrl-C ends the command on every node; Flow is gone with 130 when it has."""
    process = flow(cloud, "ssh", "train", "--", "echo $$; exec sleep 86400")
    pids = [process.stdout.readline().decode().split()[1] for _ in range(4)]
    look = ALIVE.format(" ".join(pids))
    before = Answer(shell, node, look).out.decode().split()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    after = Answer(shell, node, look).out.decode().split()

    assert (130, sorted(pids), []) == (process.returncode, sorted(before), after)


def test_a_reader_that_has_gone_ends_the_remote_processes(cloud, shell, node):
    """`flow ssh … | head` ends the commands whose output nobody reads any more."""
    process = flow(cloud, "ssh", "train", "--", "echo $$; while echo y; do sleep 0.05; done")
    pids: set[str] = set()
    for line in process.stdout:
        word = line.decode().split()[1]
        pids |= {word} - {"y"}
        if len(pids) == 4:
            break
    process.stdout.close()
    process.wait(PATIENCE_S)
    process.stderr.close()

    assert 141 == process.returncode
    assert b"" == Answer(shell, node, ALIVE.format(" ".join(pids))).out


def test_a_node_for_stdin_that_is_not_asked(cloud):
    """Input for a node that the command doesn't run on is a mistake, told before anything runs."""
    code, out, err = told(
        cloud, "ssh", "train", "--node", "0", "--stdin-node", "1", "--", "echo ran", typed=b""
    )

    assert (125, "") == (code, out)
    assert "--stdin-node" in err


def test_a_node_is_lost_after_its_time(cloud):
    """--timeout ends the command, and the node counts as lost."""
    code, _, err = told(cloud, "ssh", "train", "--timeout", "1", "--", "sleep 86400")

    assert (125, [["lost", "0-3"]]) == (code, table(err))


@pytest.mark.slow
def test_much_input_for_many_is_not_held_in_memory(cloud, tmp_path):
    """Half a gigabyte through a pipe to three nodes arrives whole, and Flow never holds a third of it."""
    size = 512 << 20
    with subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE) as given:
        process = flow(
            cloud, "ssh", "train", "--node", "0-2", "--stdin", "--", "wc -c", stdin=given.stdout
        )
        out, _ = process.communicate(timeout=2 * PATIENCE_S)

    assert [f"[{rank}] {size}" for rank in range(3)] == sorted(out.decode().splitlines())
    assert int((tmp_path / "peak-kb").read_text()) << 10 < size / 3
