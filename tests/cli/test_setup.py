"""`flow setup`: asked, told and checked, over a far cloud that wants a key, a project and an SSH key."""

from __future__ import annotations

import json
from pathlib import Path

import keyring
import keyring.backend
import pytest
from attrs import frozen
from keyring.backends.fail import Keyring as NoKeyring

from flow_adapters.wiring import load_settings, local_secrets
from flow_cli.app import cli
from flow_cli.invocation import Invocation
from flow_core.errors import Transient
from tests.cli.conftest import Answer, runner
from tests.cli.far import KEY, LAPTOP, ORIGIN, Far

FLAGS = ("--project", "research", "--ssh-key", "laptop", "--set", "depth=3", "--yes")
ASKED = ("1", "", "3", "")  # the first project, the key that is suggested, a depth, any region


class InMemory(keyring.backend.KeyringBackend):
    """A keyring of this test."""

    priority = 1  # type: ignore[assignment]
    name = "the test's keyring"

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[username]


@pytest.fixture
def ring():
    """The machine's keyring, for one test."""
    before = keyring.get_keyring()
    made = InMemory()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


@pytest.fixture
def far(pretend_cloud) -> Far:
    """The far cloud."""
    return Far(pretend_cloud.provider)


@frozen
class Machine:
    """A user's machine: a home with an SSH key, and the far cloud within reach."""

    far: Far
    home: Path

    @property
    def settings(self) -> Path:
        """The user's file of settings."""
        return self.home / "config" / "config.toml"

    def environ(self, **more: str) -> dict[str, str]:
        """The user's environment."""
        return {
            "FLOW_STATE_DIR": str(self.home / "state"),
            "FLOW_CONFIG_DIR": str(self.home / "config"),
            "HOME": str(self.home),
            **more,
        }

    def flow(self, *words: str, typed: str = "", terminal: bool = False, **more: str) -> Answer:
        """Call `flow` here; `typed` is what the user types, or what comes on standard input."""

        def opened(name, environ, answers):
            settings = load_settings(environ=environ)
            told = {name: entry.value for name, entry in settings.entries.items() if entry.value}
            told["api_key"] = local_secrets(settings, environ).find("api_key", origin=ORIGIN)
            provider = self.far.provider({**told, **answers})
            return provider if name == "far" else self.far.pretend

        invocation = Invocation(
            open_provider=opened, environ=self.environ(**more), terminal=terminal, width=200
        )
        result = runner().invoke(cli, list(words), obj=invocation, input=typed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def machine(far, ring, tmp_path) -> Machine:
    """A machine with a key pair of the usual name."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_text("private")
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text(LAPTOP)
    return Machine(far, tmp_path)


def set_up(machine, *words, typed=KEY + "\n", **given):
    """Set the far cloud up without being asked."""
    return machine.flow(
        "setup", "--provider", "far", "--api-key-from", "stdin", *words, typed=typed, **given
    )


def test_flags_alone_set_a_provider_up(machine, ring):
    """The key goes into the keyring for its origin, the rest into the user's file, whose comments stay."""
    machine.settings.parent.mkdir()
    machine.settings.write_text("# mine\nmax_price_per_hour = 30 # no more\n")
    answer = set_up(machine, *FLAGS)

    assert (0, "") == (answer.code, answer.out)
    assert {f"api_key@{ORIGIN}": KEY} == ring.kept
    text = machine.settings.read_text()
    assert text.startswith("# mine\nmax_price_per_hour = 30 # no more\n")
    assert 'provider = "far"' in text
    assert 'project = "research"' in text
    assert '[far]\nssh_key = "laptop"' in text


def test_the_key_is_shown_nowhere(machine):
    """Neither what is said, nor what is written, nor the file of settings holds it."""
    answer = set_up(machine, *FLAGS, "--json", "-vv")

    assert KEY not in answer.out + answer.err + machine.settings.read_text()
    assert "(set)" == answer.document["settings"][1]["value"]


def test_a_person_is_asked_step_by_step(machine, ring, far):
    """Each answer is tried as it is typed: a wrong key is told at once, and asked for again."""
    typed = "\n".join(("far", "wrong-key-1", KEY, *ASKED)) + "\n"
    answer = machine.flow("setup", typed=typed, terminal=True)

    assert 0 == answer.code
    assert "doesn't know this key" in answer.err
    assert "✓ API key: Ada" in answer.err
    assert {f"api_key@{ORIGIN}": KEY} == ring.kept
    assert "research" in machine.settings.read_text()
    assert KEY not in answer.out + answer.err
    assert "wrong-key-1" not in answer.out + answer.err


def test_what_works_is_kept_by_enter(machine):
    """A second run asks with what is set, and Enter leaves all of it as it is."""
    set_up(machine, *FLAGS)
    before = machine.settings.read_text()
    answer = machine.flow("setup", typed="\n" * 9, terminal=True)

    assert 0 == answer.code
    assert before == machine.settings.read_text()


def test_without_a_terminal_all_that_is_missing_is_named(machine, far):
    """Nothing is written, and each missing answer is named by its option."""
    answer = set_up(machine)

    assert 2 == answer.code
    assert "--project" in answer.err
    assert "--ssh-key" in answer.err
    assert not machine.settings.exists()


def test_a_key_that_the_provider_refuses_is_not_kept(machine, ring):
    """A wrong key is told with the provider's words, and nothing is written."""
    answer = set_up(machine, *FLAGS, typed="wrong-key-1\n")

    assert 10 == answer.code
    assert ({}, False) == (ring.kept, machine.settings.exists())
    assert "wrong-key-1" not in answer.err


def test_a_key_is_read_from_its_variable_or_a_file(machine, ring, tmp_path):
    """`env` and a path are the other two sources; there is no option that takes the key itself."""
    (tmp_path / "key").write_text(KEY + "\n")
    words = ("setup", "--provider", "far", *FLAGS, "--api-key-from")

    assert 0 == machine.flow(*words, "env", FLOW_API_KEY=KEY).code
    assert 0 == machine.flow(*words, str(tmp_path / "key")).code
    assert 2 == machine.flow(*words, "env").code
    assert 2 == machine.flow(*words, "/nowhere").code


def test_a_key_in_the_environment_is_enough(machine, ring):
    """It is used and not stored."""
    answer = machine.flow("setup", "--provider", "far", *FLAGS, MITHRIL_API_KEY=KEY)

    assert (0, {}) == (answer.code, ring.kept)


def test_a_machine_without_a_keyring_refuses_plainly(machine):
    """The refusal names the variable and the file to ask for; nothing is written."""
    keyring.set_keyring(NoKeyring())
    answer = set_up(machine, *FLAGS)

    assert 3 == answer.code
    assert "keyring can't keep api_key" in answer.err
    assert "FLOW_API_KEY" in answer.err
    assert "--key-file" in answer.err
    assert not machine.settings.exists()


def test_a_file_keeps_the_key_where_it_is_asked_for_by_name(machine, tmp_path):
    """Only the user can read it, and the settings remember where it is."""
    keyring.set_keyring(NoKeyring())
    kept = tmp_path / "keys.json"
    answer = set_up(machine, *FLAGS, "--key-file", str(kept))

    assert 0 == answer.code
    assert 0o600 == kept.stat().st_mode & 0o777
    assert {f"api_key@{ORIGIN}": KEY} == json.loads(kept.read_text())
    assert 0 == machine.flow("setup", "--check").code


def test_a_person_without_a_keyring_may_name_a_file(machine, tmp_path):
    """The alternatives are told, and the file is asked for; Enter keeps the key nowhere."""
    keyring.set_keyring(NoKeyring())
    asked = ("far", KEY, *ASKED)
    nowhere = machine.flow("setup", typed="\n".join((*asked, "\n")), terminal=True)
    named = machine.flow("setup", typed="\n".join((*asked, "~/k.json\n")), terminal=True)

    assert (3, 0) == (nowhere.code, named.code)
    assert {f"api_key@{ORIGIN}": KEY} == json.loads((tmp_path / "k.json").read_text())


def test_a_public_key_is_added_by_its_path(machine, far, tmp_path):
    """The provider gets the public half, and the settings the private one's place."""
    (tmp_path / ".ssh" / "work").write_text("private")
    (tmp_path / ".ssh" / "work.pub").write_text("ssh-ed25519 AAAAWork ada@work\n")
    words = ("--project", "research", "--ssh-key", "~/.ssh/work.pub", "--set", "depth=1", "--yes")

    assert 0 == set_up(machine, *words).code
    assert ["laptop", "ada@work"] == [key.name for key in far.keys]
    assert 'ssh_key = "~/.ssh/work"' in machine.settings.read_text()
    assert 'ssh_key = "ada@work"' in machine.settings.read_text()


def test_a_pair_is_made_on_this_machine(machine, far, tmp_path):
    """'new' makes a key that only the user can read, and the provider gets its public half alone."""
    words = ("--project", "research", "--ssh-key", "new", "--set", "depth=1", "--yes")
    made = tmp_path / ".ssh" / "flow_ed25519"

    assert 0 == set_up(machine, *words).code
    assert 0o600 == made.stat().st_mode & 0o777
    assert made.with_suffix(".pub").read_text().strip() == far.keys[1].public_key


def test_check_says_what_is_set_by_whom_and_whether_it_works(machine):
    """Each setting has its value, its file and line or variable, and the provider's word."""
    set_up(machine, *FLAGS)
    answer = machine.flow("setup", "--check", "--json", FLOW_REGION="us-central1-a")
    found = {each["setting"]: each for each in answer.document["settings"]}

    assert (0, True, "far") == (answer.code, answer.document["works"], answer.document["provider"])
    assert "the keyring (the test's keyring)" == found["api_key"]["from"]
    assert "~/config/config.toml:2" == found["project"]["from"]
    assert "environment FLOW_REGION" == found["region"]["from"]
    assert "Ada" == found["api_key"]["says"]


def test_check_fails_where_something_does_not_work(machine, far):
    """What is wrong is told beside what works, and the exit code says so."""
    set_up(machine, *FLAGS)
    far.keys.clear()
    answer = machine.flow("setup", "--check")

    assert 1 == answer.code
    assert "✗ no" in next(line for line in answer.out.splitlines() if "far.ssh_key" in line)
    assert "✓ yes" in next(line for line in answer.out.splitlines() if "project" in line)


def test_check_without_a_network_says_so(machine, far):
    """A provider that doesn't answer is no working one, and nothing hangs."""
    set_up(machine, *FLAGS)
    far.silent = Transient("the far cloud did not answer")
    answer = machine.flow("setup", "--check")

    assert 1 == answer.code
    assert "did not answer" in answer.out


def test_a_provider_that_asks_nothing_is_set_up_by_name(machine):
    """The mock needs no key; what it doesn't need is refused by name."""
    done = machine.flow("setup", "--provider", "mock", "--yes")
    refused = machine.flow("setup", "--provider", "mock", "--yes", "--project", "p")

    assert (0, 2) == (done.code, refused.code)
    assert 'provider = "mock"\n' == machine.settings.read_text()
    assert "--project: mock needs no such thing" in refused.err


def test_a_region_that_is_none_is_refused_with_those_there_are(machine):
    """A wrong region is found before anything is written."""
    answer = machine.flow("setup", "--provider", "mock", "--region", "atlantis", "--yes")

    assert 2 == answer.code
    assert "us-central1-a" in answer.err
    assert not machine.settings.exists()


def test_another_address_gets_a_key_of_its_own(machine, ring):
    """A key is kept for the address that it was tried at."""
    set_up(machine, *FLAGS, "--api-url", "http://127.0.0.1:8080")

    assert {f"api_key@{'http://127.0.0.1:8080'}": KEY} == ring.kept
    assert 'api_url = "http://127.0.0.1:8080"' in machine.settings.read_text()


def test_an_address_from_a_variable_is_told_to_be_kept_nowhere(machine):
    """The key is kept for that address alone, so the user hears that the variable stays necessary."""
    answer = set_up(machine, *FLAGS, MITHRIL_API_URL="http://127.0.0.1:8080")

    assert "environment MITHRIL_API_URL says where the API is and isn't written down" in answer.err
    assert "api_url" not in machine.settings.read_text()


def test_a_variable_that_outranks_an_answer_is_told(machine):
    """An answer that a variable overrides is written, with a warning."""
    answer = set_up(machine, *FLAGS, MITHRIL_PROJECT="serving")

    assert "environment MITHRIL_PROJECT outranks the project" in answer.err
