"""The kit finds a node's notebook server, starts it, or stops it; the server here is a tiny package by its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from flow_adapters.node_files import load_kit
from flow_core.domain.notebook import Notebook, ask_line, parse_answer, question
from tests.node.kit import PATIENCE_S

pytestmark = pytest.mark.slow
UV = Path(sys.executable).with_name("uv")
TOKEN = "a-token-that-nobody-guesses"
#: Listens where it is told and answers those who have the token, as far as the kit asks.
SERVER = """
import http.server, os, sys

[port] = [int(word[7:]) for word in sys.argv if word.startswith("--port=")]

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers["Authorization"] == "token " + os.environ["JUPYTER_TOKEN"]
        self.send_response(200 if known else 403)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


class Node:
    """A node whose Python has no JupyterLab, with an index that has the tiny one."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "flow"
        self.home.mkdir(mode=0o700)
        wheels = folder / "wheels"
        wheels.mkdir()
        _wheel(wheels, "jupyterlab", {"__init__.py": "", "__main__.py": SERVER})
        _wheel(wheels, "ipykernel", {"__init__.py": ""})
        (folder / "uv.toml").write_text(f"no-index = true\nfind-links = ['{wheels}']\n")
        venv.create(folder / "python", symlinks=True)
        self.python = folder / "python" / "bin" / "python"
        self.env = {
            "PATH": f"{UV.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "FLOW_HOME": str(self.home),
            "FLOW_PYTHON": sys.executable,
            "FLOW_CACHE": str(folder / "cache"),
            "UV_CONFIG_FILE": str(folder / "uv.toml"),
            "UV_CACHE_DIR": str(folder / "uv"),
            "UV_PYTHON_DOWNLOADS": "never",
        }

    def ask(self, verb: str, **told: str) -> Notebook | None:
        """Ask as Flow does over a shell."""
        done = self.asked(verb, **told)
        assert 0 == done.returncode, done.stderr.decode()
        return parse_answer(done.stdout)

    def asked(self, verb: str, **told: str) -> subprocess.CompletedProcess[bytes]:
        """Return what the question came to."""
        given = {"verb": verb, "token": "", "python": str(self.python), **told}
        return subprocess.run(
            ["sh", "-c", ask_line()], env=self.env, cwd=self.home, input=question(load_kit(), given),
            capture_output=True, timeout=5 * PATIENCE_S, check=False,
        )  # fmt: skip

    def server(self) -> dict[str, object]:
        """What the node remembers of its server."""
        return json.loads((self.home / "notebook.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture
def node(tmp_path: Path):
    """A node, and no server left on it."""
    made = Node(tmp_path)
    yield made
    made.ask("stop")


def test_a_server_is_started_once_and_found_again(node: Node):
    """A second question finds the first server; stopped, there is none; started anew, it wants the token it is told."""
    first, second = node.ask("serve"), node.ask("serve")
    words = Path(f"/proc/{node.server()['pid']}/cmdline").read_text()
    stopped, none = node.ask("stop"), node.ask("stop")
    again = node.ask("serve", token=TOKEN)

    assert first is not None
    assert second is not None
    assert (False, True) == (first.was_there, second.was_there)
    assert (first.port, first.token) == (second.port, second.token)
    assert 32 <= len(first.token)
    assert first.token not in words
    assert stopped is not None
    assert none is None
    assert again is not None
    assert TOKEN == again.token


def test_what_holds_the_token_is_for_its_owner(node: Node):
    """No file of Flow's on the node that has the token may be read by anybody else."""
    found = node.ask("serve")
    assert found is not None
    holders = [
        path
        for path in node.home.iterdir()
        if path.is_file() and found.token.encode() in path.read_bytes()
    ]

    assert ["notebook.json"] == [path.name for path in holders]
    assert 0o600 == holders[0].stat().st_mode & 0o777


def test_the_kernel_is_the_users_python(node: Node, tmp_path: Path):
    """It looks into the server's folder last, so that nothing that the user has is hidden."""
    node.ask("serve")
    [spec] = (tmp_path / "cache").glob("envs/notebook-*/share/jupyter/kernels/python3/kernel.json")
    argv = json.loads(spec.read_text())["argv"]

    assert str(node.python) == argv[0]
    assert f"sys.path.append('{spec.parents[4]}/lib/" in argv[2]


def test_a_server_that_was_killed_is_started_again(node: Node):
    """A remembered process and port count for nothing where nobody answers to the token."""
    node.ask("serve")
    os.kill(int(str(node.server()["pid"])), 9)
    found = node.ask("serve")

    assert found is not None
    assert found.was_there is False


def test_an_interpreter_that_is_none_is_named(node: Node):
    """The sentence has its name, and nothing was started."""
    done = node.asked("serve", python="no-such-python")

    assert 0 != done.returncode
    assert b"no-such-python: no such program on this node" in done.stderr
    assert not (node.home / "notebook.json").exists()


def _wheel(folder: Path, name: str, files: dict[str, str]) -> None:
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for place, text in files.items():
            wheel.writestr(f"{name}/{place}", text)
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
