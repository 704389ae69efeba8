"""`flow project`, `quota` and `ssh-key` over a far cloud that has them, and over one that lacks them."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from flow_core.domain.quota import Project
from flow_core.services.session import Session
from tests.cli.far import KEY, LAPTOP, Far


@pytest.fixture
def far(pretend_cloud) -> Far:
    """The far cloud."""
    return Far(pretend_cloud.provider)


@pytest.fixture
def call(flow, far, session, tmp_path):
    """Call `flow` with the far cloud chosen."""

    def call(*words, project="research", **given):
        told = {"api_key": KEY, **({"project": project} if project else {})}
        ports = evolve(session.ports, provider=far.provider(told))
        return flow(*words, connect=lambda provider, environ: Session(ports), **given)

    (tmp_path / ".ssh").mkdir()
    return call


def test_projects_are_listed_with_the_one_in_use(call):
    """The one that tasks belong to is marked; nothing is, while none is chosen."""
    answer = call("project", "list")
    documents = call("project", "list", "--json", project=None).document["projects"]

    assert "● research" in answer.out
    assert [("research", False), ("serving", False)] == [
        (each["name"], each["in_use"]) for each in documents
    ]


def test_a_project_is_chosen_by_name_or_id(call, tmp_path):
    """The user's file gets it; a name that means none, or several, lists those there are."""
    settings = tmp_path / "config" / "config.toml"

    assert 0 == call("project", "use", "serving").code
    assert 'project = "serving"\n' == settings.read_text()
    assert 0 == call("project", "use", "p-1").code
    assert 'project = "p-1"\n' == settings.read_text()
    answer = call("project", "use", "nowhere")
    assert (4, True) == (answer.code, "serving (p-2)" in answer.err)


def test_a_name_that_two_projects_share_is_none(call, far):
    """Then the id says which."""
    far.projects.append(Project(id="p-3", name="serving"))

    assert 4 == call("project", "use", "serving").code
    assert 0 == call("project", "use", "p-3").code


def test_quotas_are_counted(call):
    """What is held, what may be, and what is left."""
    (quota,) = call("quota", "--json").document["quotas"]

    assert ("h100", 8, 16, 8, "GPUs") == tuple(
        quota[name] for name in ("what", "used", "total", "left", "unit")
    )
    assert "h100" in call("quota").out


@pytest.mark.parametrize(
    "words", [["project", "list"], ["project", "use", "x"], ["quota"], ["ssh-key", "list"],
              ["ssh-key", "add", "--generate"], ["ssh-key", "delete", "x"]],
)  # fmt: skip
def test_a_provider_without_it_says_so(flow, tmp_path, words):
    """The kind is unsupported, in words, and nothing is made on the way."""
    answer = flow(*words)

    assert 12 == answer.code
    assert "error: mock " in answer.err
    assert not (tmp_path / ".ssh").exists()


def test_keys_are_listed_with_their_private_halves(call, tmp_path):
    """Where a private half lies is told; which keys new bids carry is marked."""
    (tmp_path / ".ssh" / "id_ed25519").write_text("private")
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text(LAPTOP)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text('far.ssh_key = "laptop"\n')
    row = call("ssh-key", "list").out.splitlines()[1]

    assert row.startswith("● laptop  ~/.ssh/id_ed25519")


def test_a_public_key_is_added_once(call, far, tmp_path):
    """Its name is its comment's or the one that is given; a second time it is known already."""
    path = tmp_path / "work.pub"
    path.write_text("ssh-ed25519 AAAAWork ada@work\n")
    first, second = call("ssh-key", "add", str(path)), call("ssh-key", "add", str(path))

    assert ("ada@work\n", "ada@work\n") == (first.out, second.out)
    assert "is added" in first.err
    assert "was known already" in second.err
    assert ["laptop", "ada@work"] == [key.name for key in far.keys]
    path.write_text("ssh-ed25519 AAAAHome ada@home\n")
    assert "desk\n" == call("ssh-key", "add", str(path), "--name", "desk").out
    path.write_text("ssh-ed25519 AAAAThird x\n")
    assert 5 == call("ssh-key", "add", str(path), "--name", "desk").code


def test_a_private_key_never_leaves(call, far, tmp_path):
    """The path of a private key adds its public half; a file that holds a private key is refused."""
    (tmp_path / "work").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n")
    (tmp_path / "work.pub").write_text("ssh-ed25519 AAAAWork ada@work\n")
    (tmp_path / "odd.pub").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nabc def\n")

    assert 0 == call("ssh-key", "add", str(tmp_path / "work")).code
    assert not any("PRIVATE" in key.public_key for key in far.keys)
    assert 2 == call("ssh-key", "add", str(tmp_path / "odd.pub")).code
    assert 2 == call("ssh-key", "add", str(tmp_path / "nothing")).code


def test_a_pair_is_made_here(call, far, tmp_path):
    """Only the user can read the private half, which is shown nowhere; nothing is written over."""
    answer = call("ssh-key", "add", "--generate", "--name", "box/1")
    private = tmp_path / ".ssh" / "box-1"

    assert (0, 0o600) == (answer.code, private.stat().st_mode & 0o777)
    assert "box/1" == far.keys[-1].name
    assert "flow config set ssh_key ~/.ssh/box-1" in answer.err
    secret = private.read_text().splitlines()[1]
    assert secret not in answer.out + answer.err
    assert 5 == call("ssh-key", "add", "--generate", "--name", "box/1").code
    assert secret in private.read_text()


def test_a_pair_goes_where_it_is_asked_to(call, tmp_path):
    """--to names the file; without --generate there is nothing to put there."""
    document = call(
        "ssh-key", "add", "--generate", "--to", str(tmp_path / "here"), "--json"
    ).document

    assert "~/here" == document["key"]["private_key_path"]
    assert "PRIVATE" not in json.dumps(document)
    assert 2 == call("ssh-key", "add", "x.pub", "--to", "y").code
    assert 2 == call("ssh-key", "add").code


def test_keys_are_deleted_by_name_once_agreed(call, far):
    """Deleting asks; a key that a live bid carries stays; names are looked up first."""
    assert 2 == call("ssh-key", "delete", "laptop").code
    assert 4 == call("ssh-key", "delete", "laptop", "nobody", "--yes").code
    far.used_keys.add("k-1")
    assert 6 == call("ssh-key", "delete", "laptop", "--yes").code
    far.used_keys.clear()
    assert 0 == call("ssh-key", "delete", "laptop", terminal=True, typed="y\n").code
    assert [] == far.keys
