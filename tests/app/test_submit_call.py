"""`flow submit FILE.py::FUNCTION` calls a function from the shell."""

from __future__ import annotations

import pytest

from flow_cli.app import main

pytestmark = pytest.mark.slow

PROGRAM = """
import flow
app = flow.App("shell", environment="none")

@app.function(gpu="a100")
def train(lr: float, name: str = "x"):
    if lr < 0:
        raise ValueError("negative")
    return {"loss": lr * 2, "name": name}
"""


@pytest.fixture
def program(tmp_path, on_processes):
    """A user's file with an App."""
    file = tmp_path / "users_program.py"
    file.write_text(PROGRAM, "utf-8")
    return str(file)


def test_it_prints_what_the_function_returns(program, capfd):
    """Arguments are JSON where they can be and text otherwise; the result is printed as JSON."""
    code = main(["submit", f"{program}::train", "--arg", "lr=0.5", "--arg", "name=foo"])

    assert (0, '{"loss": 1.0, "name": "foo"}\n') == (code, capfd.readouterr().out)


def test_an_exception_is_told_with_its_remote_traceback(program, capfd):
    """The exit code is 1, and stderr has the function's own error."""
    code = main(["submit", f"{program}::train", "--arg", "lr=-1"])

    assert 1 == code
    assert "ValueError: negative" in capfd.readouterr().err


def test_what_is_wrong_is_told_before_any_node_is_asked_for(program, capfd):
    """An unknown function, an argument without a value, and an option of tasks are refused."""
    assert 0 != main(["submit", f"{program}::trian"])
    assert "'train'" in capfd.readouterr().err
    assert 0 != main(["submit", f"{program}::train", "--arg", "lr"])
    assert 0 != main(["submit", f"{program}::train", "-i", "8xh100"])
    assert "decorator" in capfd.readouterr().err
