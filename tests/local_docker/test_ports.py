"""Ways to what listens in a container: a server of the command's, and a real JupyterLab."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.local_docker.test_torch import python_of_image
from tests.local_docker.user import HANGS_S, User
from tests.notebooks.kit import held, in_editor, notebook_python

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def test_a_server_and_a_notebook_in_a_container_are_reached(user: User):
    """A port here leads to the container's loopback until the task's end; an editor runs code in its JupyterLab."""
    there, python = "/notebook", "python" + python_of_image(user.host)
    packages = Path(notebook_python()).parents[1].resolve()
    if not (packages / "lib" / python).is_dir():
        pytest.skip(
            "the image has another Python than this machine, whose JupyterLab it would borrow"
        )
    (user.home / "code").mkdir()
    (user.home / "code" / "hello").write_text("from the container")
    borrowed = {
        "PYTHONPATH": f"{there}/lib/{python}/site-packages",
        "JUPYTERLAB_DIR": f"{there}/share/jupyter/lab",
        "WHERE": "a container",
    }
    env = [word for name, value in borrowed.items() for word in ("--env", f"{name}={value}")]
    mount = ["--mount", f"{packages}:{there}:ro"]
    serve = "python3 -m http.server 8000 --bind 127.0.0.1"
    user.flow("submit", serve, "-i", "cpu", "--name", "web", *env, *mount, "--yes", "-d")
    with held(user.begin, "jupyter", "web") as notebook:
        server = notebook.until("jupyter")["server"]
        ran = in_editor(server, "import os; print(os.environ['WHERE'], os.getcwd())")
        left = notebook.leave()
    stopped = json.loads(user.run("jupyter", "web", "--stop", "--json").stdout)
    with held(user.begin, "port", "web", "8000") as port:
        told = port.until("port")
        address = f"http://127.0.0.1:{told['local_port']}/hello"
        with urllib.request.urlopen(address, timeout=HANGS_S) as answer:
            said = answer.read()
        user.flow("cancel", "web", "--yes")
        code = port.process.wait(HANGS_S)

    assert "a container /workspace\n" == ran
    assert (130, True) == (left, stopped["stopped"])
    assert b"from the container" == said
    assert 0 == code
