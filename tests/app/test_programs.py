"""Whole programs with an App, each a process of its own: one that is killed and resumed, and cells of a notebook."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import flow
from tests.notebooks.kit import in_kernel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the mock's nodes need POSIX processes"),
]
PROGRAM = """
import sys
from pathlib import Path
import flow

app = flow.App("killed", environment="none", keep_warm=5)

@app.function(gpu="a100")
def square(x, folder):
    with Path(folder, str(x)).open("a") as file:
        file.write("x")
    return x * x

if __name__ == "__main__":
    if app.runs():
        print(list(app.resume(app.runs()[0])))
    else:
        results = square.starmap([(x, sys.argv[1]) for x in range(60)])
        print(next(results), next(results), flush=True)
        sys.stdin.read()
"""
CELLS = [
    "import flow",
    "app = flow.App('cells', environment='none', keep_warm=5)",
    "@app.function(gpu='a100')\ndef double(x):\n    print('there')\n    return 2 * x",
    "print(double.remote(2), await double.aio.remote(3), [each async for each in double.aio.map([4])])",
    "app.close()",
]


def test_a_killed_program_is_resumed(on_processes, tmp_path):
    """After SIGKILL a second process gets all results, and computes none twice; its end ends its workers."""
    program, traces = tmp_path / "program.py", tmp_path / "traces"
    program.write_text(PROGRAM, "utf-8")
    traces.mkdir()
    words = [sys.executable, str(program), str(traces)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert "0 1\n" == first.stdout.readline()
        first.send_signal(signal.SIGKILL)
    second = subprocess.run(words, capture_output=True, text=True, check=True)

    assert f"{[each**2 for each in range(60)]}\n" == second.stdout
    assert ["x", "x"] == [Path(traces, each).read_text() for each in "01"]
    assert 2 == len(flow.tasks())
    assert all(each.wait(60).is_final for each in flow.tasks())


def test_cells_of_a_notebook_call_functions(on_processes):
    """A real IPython kernel, whose event loop runs, calls a function of its `__main__` each way."""
    assert "4 6 [8]\n" == in_kernel(*CELLS)
