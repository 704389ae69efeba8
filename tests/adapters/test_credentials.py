"""Secrets: found where they were put, for whom they were put there, and nowhere else."""

from __future__ import annotations

import os
import stat

import keyring
import keyring.backend
import keyring.errors
import pytest
from keyring.backends.fail import Keyring as NoKeyring

from flow_adapters.credentials import FILE_VARIABLE, LocalSecrets
from flow_adapters.logging import redacted
from flow_core.errors import Misconfigured

VARIABLES = {"api_key": ("FLOW_API_KEY", "MITHRIL_API_KEY")}


class InMemory(keyring.backend.KeyringBackend):
    """A keyring that keeps its passwords in a dict, and may be locked."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        self._refuse()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._refuse()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._refuse()
        if self.kept.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("not found")

    def _refuse(self) -> None:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("it is locked")


@pytest.fixture
def ring():
    """The machine's keyring, for one test."""
    before = keyring.get_keyring()
    made = InMemory()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


@pytest.fixture
def headless(ring):
    """A machine without a keyring."""
    keyring.set_keyring(NoKeyring())


def secrets(**environ: str) -> LocalSecrets:
    """Secrets under an environment."""
    return LocalSecrets(environ, variables=VARIABLES)


def test_what_was_stored_is_found(ring):
    """A secret comes back from the keyring, until it is forgotten; forgetting nothing is no trouble."""
    where = secrets().store("api_key", "k-1")

    assert "keyring" in where
    assert "k-1" == secrets().find("api_key")
    secrets().forget("api_key")
    secrets().forget("api_key")
    assert secrets().find("api_key") is None


def test_the_environment_comes_first(ring):
    """A variable outranks what is stored, the first of two the second; an empty one counts for nothing."""
    secrets().store("api_key", "stored")

    assert "m" == secrets(MITHRIL_API_KEY=" m\n").find("api_key")
    assert "f" == secrets(MITHRIL_API_KEY="m", FLOW_API_KEY="f").find("api_key")
    assert "stored" == secrets(FLOW_API_KEY=" ").find("api_key")


def test_a_secret_belongs_to_its_origin(ring):
    """What was stored for one address is not given to another."""
    secrets().store("api_key", "k-1", origin="https://api.example")

    assert "k-1" == secrets().find("api_key", origin="https://api.example")
    assert secrets().find("api_key", origin="https://evil.example") is None
    assert secrets().find("api_key") is None


def test_a_headless_machine_says_what_else_there_is(headless):
    """Without a keyring nothing is found, and storing names the variable and the file that would do."""
    assert secrets().find("api_key") is None
    secrets().forget("api_key")
    with pytest.raises(Misconfigured) as caught:
        secrets().store("api_key", "k-1")

    assert "FLOW_API_KEY" in caught.value.hint
    assert FILE_VARIABLE in caught.value.hint
    assert "k-1" not in str(caught.value) + caught.value.hint


def test_a_locked_keyring_is_told(ring):
    """A keyring that refuses finds nothing and says why it keeps nothing."""
    ring.is_locked = True

    assert secrets().find("api_key") is None
    secrets().forget("api_key")
    with pytest.raises(Misconfigured, match="it is locked"):
        secrets().store("api_key", "k-1")


def test_a_file_is_used_when_it_is_named(headless, tmp_path):
    """The file that the user named keeps secrets, readable by them alone."""
    path = tmp_path / "secrets.json"
    named = secrets(**{FILE_VARIABLE: str(path)})

    assert named.find("api_key") is None
    assert str(path) in named.store("api_key", "k-1", origin="https://a")
    named.store("other", "k-2")
    assert "k-1" == named.find("api_key", origin="https://a")
    named.forget("api_key", origin="https://a")
    named.forget("api_key", origin="https://a")
    assert named.find("api_key", origin="https://a") is None
    assert "k-2" == named.find("other")
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_file_that_others_can_read_is_refused(tmp_path):
    """A file of secrets with a wider mode than 0600 is not used."""
    path = tmp_path / "secrets.json"
    path.write_text('{"api_key": "k-1"}')
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match="read by others"):
        secrets(**{FILE_VARIABLE: str(path)}).find("api_key")


@pytest.mark.parametrize("content", ["[]", "{", '{"a": 1}', "\udc80"])
def test_a_file_that_holds_something_else_is_refused(tmp_path, content):
    """A file that is no file of secrets is named and not overwritten."""
    path = tmp_path / "secrets.json"
    path.write_text(content, errors="surrogateescape")
    path.chmod(0o600)
    with pytest.raises(Misconfigured, match="no file of secrets"):
        secrets(**{FILE_VARIABLE: str(path)}).store("api_key", "k-1")


def test_a_folder_is_no_file_of_secrets(tmp_path):
    """What can't be read is named."""
    with pytest.raises(Misconfigured, match="can't be read"):
        secrets(**{FILE_VARIABLE: str(tmp_path)}).find("api_key")


def test_what_was_found_is_not_logged(ring):
    """A secret that was handed out is hidden from the log from then on."""
    secrets().store("api_key", "k-very-secret")
    secrets().find("api_key")

    assert "k-very-secret" not in str(redacted(None, "info", {"event": "sent k-very-secret"}))
