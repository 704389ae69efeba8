"""Whatever a person types reaches the node as it is, and no shell on the way reads it."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_adapters.node_files import load_node_files
from flow_core.domain.script import NodeTask, parse_script, render_script
from flow_providers.slurm.batch import batch_script
from flow_providers.slurm.steps import Place, step_line, terminal_line

PLACE = Place(job="7", host="n1", folder="/shared/it's here", rank=3, python="python 3")
#: What can be in a command line: no NUL, and bytes that are no text as Python has them.
TYPED = st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=60)
NASTY = (
    "'; touch pwned; '",
    '"$(touch pwned)"',
    "`touch pwned`",
    "a\n#SBATCH --wrap=x\nFLOW\n",
    "$HOME \\",
    "-n 5",
    "é\t*",
)


@given(TYPED)
def test_a_line_is_one_word_of_a_step(line: str):
    """A shell makes of a step's line the words that srun is to have, the line itself last."""
    words = shlex.split(step_line(PLACE, line, has_input=False))

    assert [
        "flow",
        "/shared/it's here/work-3",
        "/shared/it's here/node-3",
        "python 3",
        line,
    ] == words[-5:]
    assert words[-5:] == shlex.split(terminal_line(PLACE, line, has_terminal=True))[-5:]


@pytest.mark.parametrize("line", NASTY)
def test_a_real_shell_agrees(tmp_path: Path, line: str):
    """`sh` itself starts srun with that line as its last argument, and nothing else is run."""
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nfor each; do :; done\nprintf %s "$each"\n')
    srun.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", step_line(PLACE, line, has_input=False)],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )

    assert line == done.stdout.decode()
    assert ["srun"] == [each.name for each in tmp_path.iterdir()]


@settings(max_examples=20)
@given(TYPED)
def test_a_command_travels_packed(command: str):
    """No line of a batch script is the user's: only the packed task, which reads back as it was."""
    files = load_node_files()
    plain = batch_script(
        render_script(NodeTask(name="t", token="k", command="true"), files=files), python="p"
    )
    task = NodeTask(name="t", token="k", command=command)
    script = batch_script(render_script(task, files=files), python="p")
    differing = [
        new for old, new in zip(plain.splitlines(), script.splitlines(), strict=True) if old != new
    ]

    assert command == parse_script(script).command
    assert all(" " not in line or line.startswith(("srun ", "FLOW-")) for line in differing)
