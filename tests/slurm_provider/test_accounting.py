"""A cluster that keeps accounts: what they refuse, what they make wait, and what they remember."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import served
from tests.slurm_provider.accounting import BRIEF, SMALL, AccountingCluster, missing_accounting
from tests.slurm_provider.user import User
from tests.stories.simulated_mithril import end_processes_of

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
GPU = ("-i", "1xh100", "--yes", "--detach")


@pytest.fixture(scope="module")
def accounting() -> Iterator[AccountingCluster]:
    """A Slurm with accounts."""
    missing = missing_accounting()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"no {', '.join(missing)} here; Debian's slurmdbd and mariadb-server have them")
    if missing:
        pytest.skip(f"no {', '.join(missing)} here")
    with served(AccountingCluster) as cluster:
        yield cluster


@pytest.fixture
def user(tmp_path: Path, accounting: AccountingCluster) -> Iterator[User]:
    """A person with that cluster, whose watcher ends with the test."""
    user = User(tmp_path, accounting)
    yield user
    accounting.run("scancel", "--me")
    end_processes_of(tmp_path)


def test_an_accounts_limit_makes_the_next_one_wait(user: User):
    """Beyond what an account may hold, a task waits with Slurm's reason, and starts when there is room."""
    small = ("--option", f"account={SMALL}", *GPU)
    user.flow("submit", "sleep 86400", "--name", "first", *small)
    user.until("first", state="running")
    user.flow("submit", "true", "--name", "second", *small)
    user.until("second", waits_for="waiting: AssocGrpGRES")
    user.flow("cancel", "first", "--yes")
    task = user.until("second", state="completed")

    assert "succeeded" == task["outcome"]
    user.cluster.until(lambda: {SMALL} == charged(user, "second-"), "slurmdbd")


def charged(user: User, begin: str) -> set[str]:
    """The accounts of the jobs whose names begin so that slurmdbd has heard of by now."""
    rows = user.cluster.run("sacct", "-X", "-n", "-P", "-o", "JobName,Account").stdout.split()
    return {row.partition("|")[2] for row in rows if row.startswith(begin)}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--option", "account=nobody"), 2, "Invalid account"),
        (("--option", "qos=nothing"), 2, "Invalid qos specification"),
        (
            ("--option", f"qos={BRIEF}", "--max-run-time", "10m"),
            9,
            "QOSMaxWallDurationPerJobLimit",
        ),
    ],
)
def test_what_accounts_refuse_is_told(user: User, words: tuple[str, ...], code: int, says: str):
    """An unknown account or qos, and more time than one allows, are told in Slurm's words, and nothing stays."""
    said = user.flow("submit", "true", *GPU, *words, code=code)

    assert f"Slurm refuses it: {says}" in said
    assert "Traceback" not in said
    assert [] == user.names()


def test_accounts_remember_what_the_controller_forgot(user: User):
    """A task that was cancelled at the cluster while nobody looked, and that squeue knows no more, has its true end."""
    user.flow("submit", "sleep 86400", "--name", "nap", *GPU)
    user.until("nap", state="running")
    end_processes_of(user.home / "state")
    [number] = user.cluster.run("squeue", "-h", "-o", "%A").stdout.split()
    user.cluster.run("scancel", number)
    user.cluster.until(
        lambda: not user.cluster.run("squeue", "-h", "-t", "all", "-o", "%A").stdout, "slurmctld"
    )
    task = user.until("nap", state="failed")

    assert "it was cancelled at the cluster" in task["reason"]
