"""The room: beside a loop that runs already, and gone when the program is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flow_adapters.ssh.room import Room
from tests.ssh.conftest import Answer

ROOT = Path(__file__).resolve().parents[2]
PREAMBLE = """
import sys
from pathlib import Path
from flow_adapters.ssh import SshShell
from flow_core.ports.shell import Call
from tests.ssh.conftest import a_node
folder, key, port = sys.argv[1:]
shell = SshShell(state_dir=Path(folder) / "s", keys=[Path(key)], workspace=folder, home=Path(folder), sudo=())
node = a_node(int(port))
"""


def program(text: str, sshd, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a fresh interpreter says when it runs `text` after the preamble."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + text, str(folder), str(sshd.user_key), str(sshd.port)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_notebook_s_loop_is_left_alone(shell, node):
    """Calls work inside a running loop, which goes on afterwards."""

    async def cell() -> tuple[int | None, bool]:
        answer = Answer(shell, node, "exit 4")
        await asyncio.sleep(0)
        return answer.code, asyncio.get_running_loop().is_running()

    assert (4, True) == asyncio.run(cell())


def test_threads_share_a_shell(shell, node):
    """Ten threads that use one shell at once each get their own answers."""
    said: dict[int, bytes] = {}

    def ask(number: int) -> None:
        said[number] = Answer(shell, node, f"echo {number}").out

    threads = [threading.Thread(target=ask, args=(each,)) for each in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {each: f"{each}\n".encode() for each in range(10)} == said


def test_importing_loads_no_asyncssh():
    """Importing the package loads no asyncio, and making a shell no asyncssh."""
    text = (
        "import sys; from pathlib import Path; from flow_adapters.ssh import SshShell;"
        "print('asyncio' in sys.modules);"
        "SshShell(state_dir=Path('.')); print(sorted({'asyncssh', 'cryptography'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "False\n[]\n" == run.stdout


@pytest.mark.slow
def test_a_program_leaves_without_closing(sshd, tmp_path):
    """A program that never closes its shell ends at once, quietly, with no thread left to wait for."""
    run = program(
        "print([type(e).__name__ for e in shell.run_many([Call(node=node, line='true')])])",
        sshd,
        tmp_path,
    )

    assert ("['NodeExit']\n", "", 0) == (run.stdout, run.stderr, run.returncode)


@pytest.mark.slow
def test_a_program_that_fails_midway_ends_its_commands(shell, node, sshd, tmp_path):
    """A program that dies of an exception between two events leaves no command running."""
    text = (
        "events = shell.run_many([Call(node=node, line='echo $$; sleep 86400')])\n"
        "print(next(events).data.decode(), flush=True)\n"
        "raise SystemExit(3)"
    )
    run = program(text, sshd, tmp_path)
    pid = run.stdout.strip()

    assert ("", 3) == (run.stderr, run.returncode)
    assert 0 != Answer(shell, node, f"grep -q 'State:.[^Z]' /proc/{pid}/status").code


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_its_own_connections(sshd, tmp_path):
    """A child made by fork answers over a connection of its own, and the parent's goes on."""
    text = (
        "import os, warnings\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"
        "def where(): return b''.join(getattr(e, 'data', b'') for e in "
        "shell.run_many([Call(node=node, line='echo $SSH_CONNECTION')]))\n"
        "first = where()\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    other = where(); shell.close(); os._exit(0 if other and other != first else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), where() == first)"
    )
    run = program(text, sshd, tmp_path)

    assert ("0 True\n", "") == (run.stdout, run.stderr)


def test_work_that_fails_raises_where_it_was_asked_for():
    """What a coroutine raises is raised in the caller's thread, a timeout of its own included."""
    room = Room()

    async def fail(error: Exception) -> None:
        raise error

    for error in (KeyError("x"), TimeoutError("its own")):
        with pytest.raises(type(error)):
            room.run(fail(error))
    loop = room.loop()
    room.close()

    assert not room.runs(loop)
