"""A far cloud for tests: the pretend one, with a key to be told, projects, SSH keys and quotas of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, evolve, field

from flow_core.domain.keys import NewSshKey, SshKey
from flow_core.domain.people import Person
from flow_core.domain.quota import Project, Quota
from flow_core.errors import InUse, Misconfigured, NameTaken, NotAuthorized
from flow_core.ports.provider import Provider
from flow_core.ports.setup import Choice, Question, Takes

ORIGIN = "https://api.far.test"
KEY = "far-key-0123456789"
LAPTOP = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFarFarFarFarFarFarFarFarFarFarFarFarFarFar ada@laptop"
)


@define
class Far:
    """What there is at the far cloud; connections come and go."""

    pretend: Provider
    projects: list[Project] = field(
        factory=lambda: [Project(id="p-1", name="research"), Project(id="p-2", name="serving")]
    )
    keys: list[SshKey] = field(factory=lambda: [SshKey(id="k-1", name="laptop", public_key=LAPTOP)])
    quotas: list[Quota] = field(
        factory=lambda: [Quota(id="q-1", what="h100", total=16, used=8, unit="GPUs")]
    )
    used_keys: set[str] = field(factory=set)
    silent: Exception | None = None
    #: The answers of each connection, in order.
    connected: list[Mapping[str, Any]] = field(factory=list)

    def provider(self, answers: Mapping[str, Any]) -> Provider:
        """The provider as it is with these answers over its settings."""
        self.connected.append(dict(answers))
        return evolve(
            self.pretend,
            name="far",
            setup=FarSetup(self, answers),
            projects=FarProjects(self, answers),
            keys=FarKeys(self, answers),
            account=FarAccount(self, answers),
        )

    def admit(self, answers: Mapping[str, Any]) -> None:
        """Refuse whoever hasn't the key."""
        if self.silent is not None:
            raise self.silent
        if answers.get("api_key") != KEY:
            raise NotAuthorized("the far cloud doesn't know this key", hint="make another")


@define
class FarAccount:
    far: Far
    answers: Mapping[str, Any]

    def me(self) -> Person:
        self.far.admit(self.answers)
        assert self.far.pretend.account is not None
        return Person(id=self.far.pretend.account.me().id, name="Ada")

    def people(self) -> Sequence[Person]:
        return [self.me()]


@define
class FarProjects:
    far: Far
    answers: Mapping[str, Any]

    def projects(self) -> Sequence[Project]:
        self.far.admit(self.answers)
        return self.far.projects

    def current(self) -> Project:
        wanted, there = self.answers.get("project"), self.projects()
        found = [each for each in there if wanted in (each.id, each.name)]
        if wanted is None and len(there) == 1:
            return there[0]
        if not found:
            raise Misconfigured("no such project", hint="choose one with `flow project use NAME`")
        return found[0]

    def quotas(self) -> Sequence[Quota]:
        self.current()
        return self.far.quotas


@define
class FarKeys:
    far: Far
    answers: Mapping[str, Any]

    def keys(self) -> Sequence[SshKey]:
        self.far.admit(self.answers)
        return sorted(self.far.keys, key=lambda key: key.name)

    def add(self, name: str, *, public_key: str | None = None) -> NewSshKey:
        self.far.admit(self.answers)
        if any(key.name == name for key in self.far.keys):
            raise NameTaken(f"a key is named {name!r}")
        made = SshKey(id=f"k-{len(self.far.keys) + 1}", name=name, public_key=public_key or "")
        self.far.keys.append(made)
        return NewSshKey(key=made)

    def delete(self, key_id: str) -> None:
        if key_id in self.far.used_keys:
            raise InUse("a live bid carries it")
        self.far.keys = [key for key in self.far.keys if key.id != key_id]


@define
class FarSetup:
    far: Far
    answers: Mapping[str, Any]

    def questions(self) -> Sequence[Question]:
        return (
            Question(setting="api_key", words="API key", takes=Takes.UNSEEN),
            Question(setting="project", words="Project"),
            Question(setting="far.ssh_key", words="SSH key", takes=Takes.SSH_KEY),
            Question(setting="far.depth", words="Depth"),
        )

    def origin(self) -> str | None:
        return str(self.answers.get("api_url", ORIGIN))

    def choices(self, setting: str) -> Sequence[Choice]:
        self.far.admit(self.answers)
        names = {"project": self.far.projects, "far.ssh_key": self.far.keys}.get(setting, [])
        return [Choice(each.name) for each in names]

    def check(self, setting: str) -> str:
        self.far.admit(self.answers)
        told = self.answers.get(setting)
        if setting == "api_key":
            return "Ada"
        if setting == "project":
            return FarProjects(self.far, self.answers).current().name
        if setting == "far.ssh_key" and told not in {key.name for key in self.far.keys}:
            raise Misconfigured(f"there is no SSH key {told!r}")
        return str(told or "none")
