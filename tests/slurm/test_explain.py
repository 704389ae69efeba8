"""`flow slurm explain` and `flow submit job.slurm`, as one types them."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from click.testing import Result

from flow_cli.app import cli
from flow_cli.invocation import Invocation
from flow_core.domain.task import RunOn
from flow_core.services.session import Session
from tests.cli.conftest import runner

GOOD = "#!/bin/bash\n#SBATCH -J mine --gres=gpu:h100:8\n#SBATCH -N 2 -p gpu\n#SBATCH -t 10:00\necho hi\n"


def flow(*words: str, session: Session | None = None, **environ: str) -> Result:
    """Call `flow` with these words, for somebody whose home is empty."""

    def connect(provider: str | None, environ: object) -> Session:
        assert session is not None, "nothing needs a provider"
        return session

    with TemporaryDirectory() as home:
        invocation = Invocation(connect=connect, environ={"HOME": home, **environ}, terminal=False)
        return runner().invoke(cli, list(words), obj=invocation)


def explained(*words: str, **environ: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the document of `flow slurm explain --json`."""
    done = flow("slurm", "explain", *words, "--json", **environ)
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that both would take."""
    path = tmp_path / "job.slurm"
    path.write_text(GOOD, "utf-8")
    return path


def test_a_script_is_explained_without_a_provider(script: Path):
    """The table, what Slurm reads and the task are shown; the exit code is 0."""
    done = flow("slurm", "explain", str(script))

    assert 0 == done.exit_code
    for text in ("--partition=gpu", "ignored", "8xh100", "num_instances", "As Slurm reads it"):
        assert text in done.stdout
    assert "10 minutes" in done.stderr


def test_the_document_has_directives_values_and_the_task(script: Path):
    """With --json there is one document, with what becomes of each directive."""
    code, found = explained(str(script))

    assert (0, "batch-script", True) == (code, found["kind"], found["accepted_by_sbatch"])
    assert {"job-name", "gres", "nodes", "partition", "time"} == {
        each["option"] for each in found["directives"]
    }
    assert (2, 600.0) == (found["effective"]["min_nodes"], found["effective"]["time_limit_s"])
    assert "8xh100" == found["task"]["instance_type"]


@pytest.mark.parametrize("directive", ["--nodes=x", "--unknown=1", "stray", "-t 1h"])
def test_what_sbatch_refuses_ends_with_two(tmp_path: Path, directive: str):
    """The exit code is 2, the reason names the line, and there is no task."""
    path = tmp_path / "bad.slurm"
    path.write_text(f"#!/bin/bash\n#SBATCH {directive}\n", "utf-8")
    code, found = explained(str(path))

    assert (2, False, None) == (code, found["accepted_by_sbatch"], found["task"])
    assert "line 2" in found["refusals"][0]


def test_strict_refuses_on_any_note(script: Path, tmp_path: Path):
    """A partition is enough for --strict; a script without a note passes."""
    clean = tmp_path / "clean.slurm"
    clean.write_text("#!/bin/bash\n#SBATCH --gres=gpu:h100:8\ntrue\n", "utf-8")

    assert 2 == flow("slurm", "explain", str(script), "--strict").exit_code
    assert 0 == flow("slurm", "explain", str(clean), "--strict").exit_code


def test_options_and_variables_outrank_the_script(script: Path):
    """--sbatch counts over SBATCH_*, and SBATCH_* over the directives."""
    _, found = explained(
        str(script), "--sbatch", "-N 4", SBATCH_TIMELIMIT="30", SBATCH_JOB_NAME="v"
    )

    assert (4, 1800.0, "v") == (
        found["effective"]["min_nodes"],
        found["effective"]["time_limit_s"],
        found["effective"]["name"],
    )


def test_yaml_is_a_tasks_file(script: Path, tmp_path: Path):
    """What --to yaml writes is read by Flow as the same task, the script in it."""
    from flow_adapters.task_files import read_task_file

    done = flow("slurm", "explain", str(script), "--to", "yaml")
    path = tmp_path / "task.yaml"
    path.write_text(done.stdout, "utf-8")
    spec = read_task_file(path)

    assert ("mine", 2, RunOn.EVERY_NODE) == (spec.name, spec.num_instances, spec.run_on)
    assert "8xh100" == yaml.safe_load(done.stdout)["instance_type"]
    assert GOOD in str(spec.command)


def test_a_missing_file_is_named(tmp_path: Path):
    """A script that isn't there is said so, also by submit, whose own failures are 125."""
    missing = str(tmp_path / "no.slurm")

    assert 2 == flow("slurm", "explain", missing).exit_code
    done = flow("submit", missing)
    assert 125 == done.exit_code
    assert "no such file" in done.stderr


def test_submit_runs_a_script(session: Session, script: Path):
    """A script is planned with its own shape and count, and words after it are its arguments."""
    done = flow("submit", str(script), "a b", "--no-code", "--dry-run", "--json", session=session)
    plan = json.loads(done.stdout)["plan"]

    assert (2, "8xh100") == (plan["num_instances"], plan["instance_type"])
    assert "set -- 'a b'" in plan["task"]["command"]
    assert GOOD in plan["task"]["command"]


def test_submits_own_options_outrank_the_scripts(session: Session, script: Path):
    """-N, -i and --name count over the directives, and variables join those of the script."""
    done = flow(
        "submit", str(script), "-N", "1", "-i", "8xa100", "--name", "other", "--env", "A=1",
        "--no-code", "--dry-run", "--json", session=session,
    )  # fmt: skip
    task = json.loads(done.stdout)["plan"]["task"]

    assert ("other", "8xa100") == (task["name"], task["instance_type"])
    assert ("1", "mine") == (task["env"]["A"], task["env"]["SLURM_JOB_NAME"])
    assert "1" == task["env"]["SLURM_TASKS_PER_NODE"]


@pytest.mark.parametrize("words", [["echo job.slurm"], ["bash", "job.slurm"], ["cat x.slurm"]])
def test_a_command_that_mentions_a_script_is_a_command(
    session: Session, script: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
):
    """Only the first word alone makes a batch script."""
    monkeypatch.chdir(script.parent)
    done = flow("submit", "--no-code", "--dry-run", "--json", "--", *words, session=session)

    assert "slurm_script" not in str(json.loads(done.stdout)["plan"]["task"]["command"])


def test_a_script_by_its_directives_alone(session: Session, tmp_path: Path):
    """A file of any name is a batch script with #! and #SBATCH; without them it is a command."""
    batch, plain = tmp_path / "run.sh", tmp_path / "plain.sh"
    batch.write_text("#!/bin/bash\n#SBATCH -N 3\ntrue\n", "utf-8")
    plain.write_text("#!/bin/bash\necho '#SBATCH'\n", "utf-8")
    counts = []
    for path in (batch, plain):
        done = flow("submit", str(path), "--no-code", "--dry-run", "--json", session=session)
        counts.append(json.loads(done.stdout)["plan"]["num_instances"])

    assert [3, 1] == counts


def test_options_for_scripts_need_a_script(session: Session):
    """--sbatch and --strict with a command are a mistake, told as one."""
    for words in (["--strict"], ["--sbatch", "-N 2"]):
        done = flow("submit", "true", *words, session=session)

        assert 125 == done.exit_code
        assert "is for batch scripts" in done.stderr
