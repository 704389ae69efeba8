"""A dev box on simulated Mithril: a colleague is let in, nobody uses it, it pauses, and comes back with its disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sim_nodes.kit import openssh, refuse
from tests.stories.simulated_mithril import (
    PATIENCE_S,
    Simulator,
    User,
    end_processes_of,
    serving,
    set_up,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="nodes boot on Linux only"),
    pytest.mark.skipif(
        hasattr(os, "geteuid") and os.geteuid() != 0, reason="a node without root has one user"
    ),
]


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Someone with an empty home."""
    (tmp_path / "work").mkdir()
    return User(tmp_path)


@pytest.fixture
def simulator(user: User) -> Iterator[Simulator]:
    """A simulator whose time is twenty times ours; nothing is left of it in the end."""
    openssh()
    try:
        with serving(user, rate=20) as running:
            if not running.said["nodes_boot"]:
                refuse("the simulator's nodes can't boot here")
            set_up(user, running)
            yield running
    finally:
        end_processes_of(user.home)


def test_a_colleague_a_pause_and_a_return(user: User, simulator: Simulator):
    """The colleague has a home and no rights, the bill says whose time it was, and the disk outlives the pause."""
    key = user.home / "bob"
    made = [openssh("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "Bob@x", "-f", str(key)]
    subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
    (user.folder / "word").write_text("mine\n")
    first = user.flow("dev", "-i", "a100", "--yes", "--", "cat word; id -un; echo kept > /srv/mark")
    login = user.flow("dev", "share", f"{key}.pub").out.split()
    words = [openssh("ssh"), "-F", "none", "-i", str(key), "-o", "IdentitiesOnly=yes"]
    words += ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={user.home}/known"]
    line = "whoami; [ $PWD = ~bob ] && echo at home; touch seen; "
    line += "sudo -n true || echo no rights; cat /opt/flow/env.json || echo no secrets"
    said = subprocess.run(
        [*words, *login[1:], line], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    user.flow("dev", "--idle-timeout", "1m", "--", "true")
    user.until("dev-work", "paused")
    (box,) = user.asked("dev", "status")["boxes"]
    back = user.flow("dev", "--idle-timeout", "30m", "--", "cat /srv/mark; ls ~bob")
    (running,) = user.asked("dev", "status")["boxes"]
    removed = user.flow("dev", "share", "--remove", "bob")
    user.flow("dev", "stop", "--end", "--yes")

    assert "mine\nroot\n" == first.out
    assert "bob\nat home\nno rights\nno secrets\n" == said.stdout, said.stderr
    assert "it is paused" == box["trouble"]
    assert "kept\nseen\n" == back.out
    assert [None, "bob"] == [each["name"] for each in running["people"]]
    assert 1 == pytest.approx(sum(each["share"] for each in running["people"]))
    assert "is let into dev-work no more" in removed.err
    assert [] == simulator.live()
