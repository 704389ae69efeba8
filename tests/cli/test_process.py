"""`flow` as a process, against the pretend cloud on disk: what a shell sees."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

pytestmark = pytest.mark.slow


@frozen
class Shell:
    """A terminal of a user with nothing but the mock."""

    environ: dict[str, str]
    folder: str

    def command(self, *words: str) -> list[str]:
        """The words of one call."""
        return [
            sys.executable,
            "-c",
            "import sys; from flow_cli.app import main; sys.exit(main())",
            *words,
        ]

    def flow(self, *words: str, **given) -> subprocess.CompletedProcess[bytes]:
        """Run `flow` to its end."""
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            timeout=60,
            check=False,
            **given,
        )

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Start `flow` and hold it."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture
def shell(tmp_path):
    """A shell in an empty folder, with an instant market; all that lives in it ends with the test."""
    (tmp_path / "work").mkdir()
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLOW_")},
        "FLOW_PROVIDER": "mock",
        "FLOW_MOCK_INSTANT": "yes",
        "FLOW_STATE_DIR": str(tmp_path / "state"),
        "FLOW_CONFIG_DIR": str(tmp_path / "config"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    made = Shell(environ, str(tmp_path / "work"))
    yield made
    made.environ["FLOW_PROVIDER"] = "mock"
    live = [
        each["name"]
        for each in json.loads(made.flow("status", "--json").stdout)["tasks"]
        if each["is_live"]
    ]
    if live:
        made.flow("cancel", *live, "--yes")


def test_a_submit_is_the_command_run_elsewhere(shell):
    """stdout, stderr and the exit code are the command's, to the byte."""
    result = shell.flow(
        "submit", "printf 'a\\000\\377b'; echo oops >&2; exit 7", "-i", "8xh100", "--no-code"
    )

    assert (7, b"a\x00\xffb") == (result.returncode, result.stdout)
    assert b"oops\n" in result.stderr
    assert b"\x1b" not in result.stderr


@pytest.mark.parametrize("command, code", [("no-such-command-here", 127), ("kill -TERM $$", 143)])
def test_how_a_command_ends_is_told_as_a_shell_does(shell, command, code):
    """Not found is 127, a signal is 128 more than its number."""
    assert code == shell.flow("submit", command, "-i", "a100", "--no-code").returncode


def test_megabytes_arrive_whole(shell):
    """A large log is passed on without a byte lost."""
    result = shell.flow("submit", "seq 300000", "-i", "a100", "--no-code")
    expected = "".join(f"{number}\n" for number in range(1, 300001)).encode()

    assert hashlib.sha256(expected).hexdigest() == hashlib.sha256(result.stdout).hexdigest()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_failure_worth_words(shell, unbuffered):
    """`flow logs | head` ends with 141 and without a traceback, with an unbuffered stdout too."""
    shell.flow("submit", "seq 100000", "-i", "a100", "--name", "long", "--no-code")
    shell.environ["PYTHONUNBUFFERED"] = unbuffered
    process = shell.begin("logs", "long")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()

    assert 141 == process.wait(30)
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()


def test_ctrl_c_leaves_and_another_terminal_follows(shell):
    """After an interrupt the task goes on; a second terminal reads its log from the start, to the end."""
    command = "echo begun; while [ ! -e ../../go ] && [ ! -e go ]; do sleep 0.05; done; echo done"
    process = shell.begin("submit", command, "-i", "a100", "--name", "loop", "--no-code")
    assert process.stdout is not None
    assert process.stderr is not None

    assert b"begun\n" == process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert 130 == process.wait(30)
    assert b"flow logs loop -f" in said
    assert b"flow cancel loop" in said
    assert 0 == shell.flow("ssh", "loop", "--", "touch", "go").returncode
    followed = shell.flow("logs", "loop", "-f")
    assert b"begun\ndone\n" == followed.stdout
    process.stdout.close()
    process.stderr.close()


def test_nothing_configured_says_how_to_begin(shell):
    """Without any provider, one hint names the mock and the set-up."""
    del shell.environ["FLOW_PROVIDER"]
    result = shell.flow("submit", "true")

    assert 125 == result.returncode
    assert b"--provider mock" in result.stderr
    assert b"flow setup" in result.stderr


def test_the_mock_is_chosen_for_good(shell):
    """`flow config set provider mock` is enough from then on, and says which file it wrote."""
    del shell.environ["FLOW_PROVIDER"]
    written = shell.flow("config", "set", "provider", "mock")
    shown = json.loads(shell.flow("config", "show", "provider", "--json").stdout)

    assert b"config.toml" in written.stderr
    assert "mock" == shown["settings"][0]["value"]
    assert "config.toml:1" in shown["settings"][0]["from"]
    assert 0 == shell.flow("price").returncode


def test_providers_are_listed_with_their_roles(shell):
    """The mock is listed as chosen and simulated, with all its roles."""
    document = json.loads(shell.flow("provider", "list", "--json").stdout)
    (mock,) = [each for each in document["providers"] if each["name"] == "mock"]

    assert (True, True, None) == (mock["chosen"], mock["simulated"], mock["problem"])
    assert {"market", "fleet", "shell", "volumes"} <= set(mock["roles"])


def test_a_task_file_is_submitted_with_changes(shell):
    """Options on the command line outrank the file's."""
    Path(shell.folder, "task.yaml").write_text(
        "command: echo $A $B\ninstance_type: 8xa100\nenv:\n  A: 1\n  B: x\n"
    )
    result = shell.flow("submit", "task.yaml", "--env", "B=y", "--no-code")

    assert (0, b"1 y\n") == (result.returncode, result.stdout)


def test_a_task_files_mistakes_are_told_by_line(shell):
    """Each problem names the file and the line."""
    Path(shell.folder, "task.yaml").write_text("command: true\ninstance_typ: 8xa100\n")
    result = shell.flow("submit", "task.yaml")

    assert 125 == result.returncode
    assert b"task.yaml:2" in result.stderr
    assert b"'instance_type'" in result.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes in /proc")
def test_a_killed_watcher_is_missed_and_started_again(shell):
    """`flow status` says that none was running, and the task that needs one ends all the same."""
    shell.flow("submit", "sleep 1", "-i", "a100", "--name", "nap", "--no-code", "--detach")
    for process in Path("/proc").glob("[0-9]*"):
        if is_watcher(process, shell.environ["FLOW_STATE_DIR"]):
            os.kill(int(process.name), signal.SIGKILL)
    document = json.loads(shell.flow("status", "--json").stdout)
    said = shell.flow("logs", "nap", "-f")

    assert not document["watcher_running"]
    assert 0 == said.returncode


def is_watcher(process: Path, state_dir: str) -> bool:
    """Whether a process is the watcher of that folder."""
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"flow_adapters.watch_process" in words and state_dir.encode() in words
