"""What `flow completion` prints does its work in the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flow_adapters.wiring import open_journal
from tests.records import record

#: shell -> how it takes the script in, and asks what follows `flow logs re`.
ASKED = {
    "bash": [
        "bash",
        "--norc",
        "-c",
        'source "$1"; COMP_WORDS=(flow logs re); COMP_CWORD=2; _flow_completion flow; printf "%s\\n" "${COMPREPLY[@]}"',
        "bash",
    ],
    "fish": ["fish", "--no-config", "-c", 'source $argv[1]; complete -C "flow logs re"'],
    "zsh": [
        "zsh",
        "-f",
        "-c",
        'autoload -Uz compinit; compinit -u -D; source "$1"; [[ $_comps[flow] == _flow_completion ]] && '
        'COMP_WORDS="flow logs re" COMP_CWORD=2 _FLOW_COMPLETE=zsh_complete flow',
        "zsh",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("shell", sorted(ASKED))
def test_a_shell_completes_a_tasks_name(shell: str, tmp_path: Path):
    """Having read the script, bash, zsh and fish complete the name of a task from the journal."""
    if shutil.which(shell) is None:
        assert not os.environ.get("CI"), f"{shell} must be installed where CI runs"
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "state").mkdir()
    open_journal(tmp_path / "state").add(record(name="resnet"))
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "FLOW_STATE_DIR": str(tmp_path / "state"),
        "FLOW_CONFIG_DIR": str(tmp_path / "config"),
    }
    script = tmp_path / f"flow.{shell}"
    script.write_bytes(subprocess.check_output(["flow", "completion", shell], env=environ))

    found = subprocess.run(
        [*ASKED[shell], script],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert "resnet" in found.stdout.split(), found.stderr
