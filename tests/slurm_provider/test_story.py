"""A person with a cluster: a task from submit to its end, a look inside, a cancel, limits, a cluster that is full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm_provider.cluster import RunningCluster
from tests.slurm_provider.user import User
from tests.stories.simulated_mithril import end_processes_of

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

#: Its ranks fail together, for one that fails ends the others.
COMMAND = """sort words.txt | sed "s/^/$GREETING it's rank $RANK of $FLOW_NUM_NODES: /"
touch "$MEETING/$RANK"; until [ -e "$MEETING/0" ] && [ -e "$MEETING/1" ]; do sleep 0.1; done; exit 3"""


@pytest.fixture
def user(tmp_path: Path, slurm: RunningCluster) -> Iterator[User]:
    """Somebody on the cluster's login node; what a failed test leaves running ends with it."""
    yield User(tmp_path, slurm)
    slurm.run("scancel", "--me")
    end_processes_of(tmp_path)


def test_a_task_from_submit_to_its_end(user: User):
    """Two nodes run the command with the code and the variables; log and exit code are there when they have gone."""
    (user.home / "code").mkdir()
    (user.home / "code" / "words.txt").write_text("two\none\n")
    user.flow(
        "submit",
        COMMAND,
        "-i",
        "cpu",
        "-N",
        "2",
        "--env",
        "GREETING=hello 'you'",
        "--env",
        f"MEETING={user.home}",
        "--name",
        "greet",
        "--yes",
        code=3,
    )
    said = sorted(line for line in user.flow("logs", "greet").splitlines() if "rank" in line)

    assert [
        f"[{rank}] hello 'you' it's rank {rank} of 2: {word}"
        for rank in (0, 1)
        for word in ("one", "two")
    ] == said
    assert [] == user.left()


def test_a_script_a_look_inside_and_a_cancel(user: User):
    """A script's partition, account, features and share of a node are what the cluster's sbatch was told.

    A command on the node of a running task is heard with its exit code; a cancelled task leaves Slurm's queue.
    """
    script = user.home / "code" / "nap.slurm"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/bash\n#SBATCH -J nap -p urgent,short -A lab --nice=5 -c 2 --mem=300M\nsleep 86400\n"
    )
    user.flow("submit", "nap.slurm", "--region", "short", "--dry-run")
    said = user.flow("submit", "nap.slurm", "--sbatch=-p urgent", "--yes", "--detach")
    user.until("nap", state="running")
    [row] = user.cluster.run("squeue", "-h", "-o", "%P|%a|%C|%m").stdout.split()

    assert ("urgent|lab|2|300M", True) == (row, "ignored" not in said)
    said = user.flow("ssh", "nap", "--", 'echo "in $(basename "$PWD")"; exit 7', code=7)
    user.flow("cancel", "nap", "--yes")
    user.until("nap", state="cancelled")

    assert "in work-0" in said
    assert [] == user.left()


def test_a_full_cluster_says_why_one_waits(user: User):
    """A task whose GPUs others hold waits with Slurm's own reason; what the cluster lacks is refused."""
    user.flow(
        "submit", "sleep 86400", "-i", "8xh100", "-N", "2", "--name", "all", "--yes", "--detach"
    )
    user.until("all", state="running")
    user.flow("submit", "true", "-i", "1xh100", "--name", "late", "--yes", "--detach")
    user.until("late", waits_for="waiting: Resources")
    refused = user.flow("submit", "true", "-i", "8xa100", "--yes", code=125)
    user.flow("cancel", "all", "--yes")
    user.until("late", state="completed")

    assert "8xh100" in refused


def test_time_runs_out(user: User):
    """A task that has held its node for its max_run_time is ended, and Slurm was told that limit too."""
    user.flow(
        "submit",
        "sleep 86400",
        "-i",
        "cpu",
        "--max-run-time",
        "4s",
        "--name",
        "long",
        "--yes",
        "--detach",
    )
    rows = user.cluster.run("squeue", "-h", "-o", "%j|%l").stdout.split()
    user.until("long", outcome="timed-out")

    assert ["6:00"] == [row.partition("|")[2] for row in rows if row.startswith("long-")]
    assert [] == user.left()


def test_slurms_own_end_is_told(user: User):
    """A task that was cancelled at the cluster, by nobody of Flow's, says so."""
    user.flow("submit", "sleep 86400", "-i", "cpu", "--name", "nap", "--yes", "--detach")
    user.until("nap", state="running")
    user.cluster.run("scancel", "--name", *user.names("nap"))
    task = user.until("nap", state="failed")

    assert "it was cancelled at the cluster" in task["reason"]


def test_what_was_lost_is_found_again(user: User):
    """With the watcher killed and Flow's own files gone, the allocation is known as a stray bid and can be ended."""
    user.flow("submit", "sleep 86400", "-i", "cpu", "--name", "nap", "--yes", "--detach")
    user.until("nap", state="running")
    end_processes_of(user.home / "state")
    (user.home / "state").rename(user.home / "lost")
    told = user.flow("reconcile")
    [name] = user.names("nap")
    user.flow("reconcile", "--withdraw", name, "--yes")

    assert "nap" in told
    assert [] == user.left()


def test_slurms_own_time_limit_is_told(user: User):
    """A task that Slurm's limit ends, a minute at least, is timed-out and says whose limit it was."""
    options = ("--option", "time=1", "--name", "long", "--yes")
    said = user.flow("submit", "sleep 86400", "-i", "cpu", *options, code=125)
    task = user.task("long")

    assert "timed-out" == task["outcome"]
    assert "it reached Slurm's time limit, 1:00" in task["reason"]
    assert "Slurm's time limit" in said
    assert [] == user.left()


def test_a_task_that_was_requeued_says_so_and_runs_again(user: User):
    """One that somebody puts back into the queue at the cluster waits with the reason, and its command starts again."""
    line = 'echo x >>starts; [ "$(wc -l <starts)" -gt 1 ] || sleep 86400'
    user.flow("submit", line, "-i", "cpu", "--name", "again", "--yes", "--detach")
    user.until("again", state="running")
    [number] = user.cluster.run("squeue", "-h", "-o", "%A").stdout.split()
    user.cluster.run("scontrol", "requeue", number)
    user.until("again", waits_for="it was put back into the queue; waiting")
    task = user.until("again", state="completed")

    assert 0 == task["exit_code"]
    assert [] == user.left()
