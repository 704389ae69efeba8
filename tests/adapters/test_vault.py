"""Secrets of tasks are found where they are kept, and held in memory alone."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from flow_adapters.clocks import ManualClock
from flow_adapters.vault import HandedVault, HeldVault, serve, socket_of
from flow_core.domain.task_parts import Keeper, Secret
from flow_core.errors import InvalidRequest, Misconfigured, Transient


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Surroundings with a secret and a folder of sockets."""
    return {"XDG_RUNTIME_DIR": str(tmp_path), "TOKEN": "hunter2"}


def test_the_environment_has_it():
    """A secret of any keeper, or of the environment's, is found by its name."""
    found = HeldVault({"A": "1", "B": "2"}).find([Secret("A"), Secret("B", Keeper.ENV)])

    assert {"A": "1", "B": "2"} == found


def test_all_that_is_missing_is_named_with_its_place():
    """One message has every name, where it was looked for, and no value."""
    with pytest.raises(InvalidRequest) as caught:
        HeldVault({"A": "hunter2"}).find([Secret("A"), Secret("X"), Secret("Y", Keeper.KEYRING)])

    problem = caught.value.problems["secrets"]
    assert "X is not in this shell's environment or the keyring; Y is not in the keyring" == problem
    assert "hunter2" not in repr(caught.value)


def test_what_is_entrusted_is_held_until_forgotten():
    """The holder gives back what it got, and nothing once the task is over."""
    vault = HeldVault({})
    vault.entrust("f1", {"A": "1"})
    assert {"A": "1"} == vault.held("f1")
    vault.forget("f1")
    vault.forget("f1")
    assert {} == vault.held("f1")


def test_a_command_hands_over_to_the_watcher(tmp_path: Path, environ: dict[str, str]):
    """What one process entrusts, the one that serves the same state folder holds."""
    held = HeldVault({})
    serve(held, socket_of(tmp_path, environ))
    HandedVault(tmp_path, clock=ManualClock(), environ=environ).entrust("f1", {"TOKEN": "ü\n"})

    assert {"TOKEN": "ü\n"} == held.held("f1")


def test_nobody_there_is_waited_for_and_then_told(tmp_path: Path, environ: dict[str, str]):
    """Without a watcher the hand-over gives up after 15 s."""
    clock = ManualClock()
    began = clock.now()

    with pytest.raises(Transient, match="nothing was placed"):
        HandedVault(tmp_path, clock=clock, environ=environ).entrust("f1", {"A": "1"})
    assert timedelta(seconds=15) <= clock.now() - began < timedelta(seconds=16)


def test_a_task_without_secrets_needs_nobody(tmp_path: Path, environ: dict[str, str]):
    """Nothing to hand over is handed to nobody, and makes no folder."""
    HandedVault(tmp_path, clock=ManualClock(), environ=environ).entrust("f1", {})

    assert [] == list(tmp_path.iterdir())


def test_nonsense_on_the_socket_is_passed_over(tmp_path: Path, environ: dict[str, str]):
    """A broken message takes nothing and ends nothing."""
    held = HeldVault({})
    place = socket_of(tmp_path, environ)
    serve(held, place)
    for junk in (b"", b"no json", b'{"token": "x"}'):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place))
            client.sendall(junk)
            client.shutdown(socket.SHUT_WR)
            assert b"" == client.recv(2)
    HandedVault(tmp_path, clock=ManualClock(), environ=environ).entrust("f1", {"A": "1"})

    assert {"A": "1"} == held.held("f1")


def test_a_folder_that_others_may_enter_is_not_used(tmp_path: Path, environ: dict[str, str]):
    """No secret goes through a folder whose mode or owner is not ours."""
    (tmp_path / f"flow-{os.getuid()}").mkdir(mode=0o755)

    with pytest.raises(Misconfigured, match="yours alone"):
        socket_of(tmp_path, environ)


def test_only_we_may_connect(tmp_path: Path, environ: dict[str, str]):
    """Both the folder and the socket are their owner's."""
    place = socket_of(tmp_path, environ)
    serve(HeldVault({}), place)

    assert (0o700, 0o600) == (place.parent.stat().st_mode & 0o777, place.stat().st_mode & 0o777)
