"""The script on its node: the wrapper under real shells, with the variables that the helper would set."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from flow_cli.commands.slurm import conversion

SHELLS = [each for each in ("bash", "dash", "sh") if shutil.which(each)]


def has_ended(pid: int) -> bool:
    """Whether a process ends within ten seconds; one that nobody has buried yet has."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


def ran(
    tmp_path: Path, text: str, *arguments: str, shell: str = "sh", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a script as the helper would on a node, in a session of its own."""
    script = tmp_path / "job.slurm"
    script.write_text(text, "utf-8")
    found = conversion(str(script), arguments, environ={}, number=77)
    assert found.task is not None, found.refusals
    env = {
        "PATH": os.environ["PATH"],
        "FLOW_HOME": str(tmp_path / "flow"),
        "FLOW_NODES": "10.0.0.1 10.0.0.2",
        "FLOW_NUM_NODES": "2",
        "FLOW_GPUS": "2",
        "RANK": "0",
        "WORLD_SIZE": "2",
        "PET_NNODES": "2",
        **{str(name): str(value) for name, value in dict(found.task["env"]).items()},  # type: ignore[call-overload]
        **more,
    }
    return subprocess.run(
        [shell, "-c", str(found.task["command"])],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_finds_its_variables_arguments_and_exit_code(tmp_path: Path, shell: str):
    """Variables of the batch step, $1 and on, and the exit code are the script's own under every shell."""
    done = ran(
        tmp_path,
        "#!/bin/bash\n#SBATCH -N 2 -J mine\n"
        'echo "$SLURM_JOB_ID $SLURM_JOBID $SLURM_JOB_NAME $SLURM_NNODES $SLURM_JOB_NODELIST"\n'
        'echo "$SLURM_JOB_GPUS $SLURM_PROCID $SLURM_SUBMIT_DIR ${RANK-none} ${PET_NNODES-none}"\n'
        'echo "$# $2"; test -d "$SLURM_TMPDIR" && exit 3\n',
        "a",
        "b c",
        shell=shell,
    )

    assert 3 == done.returncode
    assert [
        "77 77 mine 2 10.0.0.1,10.0.0.2",
        f"0,1 0 {tmp_path} none none",
        "2 b c",
    ] == done.stdout.splitlines()


def test_any_interpreter_runs_its_script(tmp_path: Path):
    """A script need not be a shell's; $0 is its copy, called slurm_script."""
    done = ran(
        tmp_path,
        "#!/usr/bin/env python3\n#SBATCH -n 1\nimport sys\nprint(sys.argv[0][-12:], sys.argv[1:])\n",
        "x",
    )

    assert "slurm_script ['x']\n" == done.stdout


def test_standard_input_is_empty_or_the_file_that_was_named(tmp_path: Path):
    """Without --input there is nothing to read."""
    (tmp_path / "in.txt").write_text("hello\n", "utf-8")

    assert "" == ran(tmp_path, "#!/bin/sh\n#SBATCH -n 1\ncat\n").stdout
    assert "hello\n" == ran(tmp_path, "#!/bin/sh\n#SBATCH -i in.txt\ncat\n").stdout


@pytest.mark.slow
def test_a_signal_comes_before_the_time_limit(tmp_path: Path):
    """--signal=B: reaches the script itself, and a script that then ends keeps its exit code."""
    done = ran(
        tmp_path,
        "#!/bin/bash\n#SBATCH -t 1 --signal=B:USR1@57\ntrap 'echo told; exit 5' USR1\n"
        "sleep 50 >/dev/null 2>&1 &\nwait\n",
    )

    assert (5, "told\n") == (done.returncode, done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_the_time_limit_ends_the_script_and_all_it_started(tmp_path: Path, shell: str):
    """When its time is over, TERM goes to the script and what it started, and the log says why."""
    done = ran(
        tmp_path,
        "#!/bin/bash\n#SBATCH -t 1\nsleep 50 & echo $! ; wait\n",
        shell=shell,
        FLOW_SLURM_TIME_S="1",
    )
    started = int(done.stdout)

    assert -signal.SIGTERM == done.returncode
    assert "time limit of 1 s is over" in done.stderr
    assert has_ended(started)


@pytest.mark.slow
def test_what_does_not_end_is_killed(tmp_path: Path):
    """A script that ignores TERM, and what it started, are killed when the wait after it is over."""
    done = ran(
        tmp_path,
        "#!/bin/bash\ntrap '' TERM\n(while :; do sleep 0.1; done) & echo $!\nwhile :; do sleep 0.1; done\n",
        FLOW_SLURM_TIME_S="1",
        FLOW_SLURM_KILL_WAIT_S="1",
    )
    started = int(done.stdout)

    assert -signal.SIGKILL == done.returncode
    assert has_ended(started)


def test_a_restart_is_counted_and_may_be_declined(tmp_path: Path):
    """After lost nodes SLURM_RESTART_COUNT is set; with --no-requeue the script ends instead."""
    again = {"FLOW_RESTART_COUNT": "2"}
    text = "#!/bin/sh\n#SBATCH {}\necho ${{SLURM_RESTART_COUNT-none}}\n"

    assert "none\n" == ran(tmp_path, text.format("-n 1")).stdout
    assert "2\n" == ran(tmp_path, text.format("--requeue"), **again).stdout
    declined = ran(tmp_path, text.format("--no-requeue"), **again)
    assert (143, "") == (declined.returncode, declined.stdout)
    assert "--no-requeue" in declined.stderr
