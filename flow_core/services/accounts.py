"""What belongs to an account: projects, what each may hold, and SSH keys by name."""

from __future__ import annotations

from collections.abc import Sequence

from flow_core.domain.keys import NewSshKey, SshKey, is_same_key
from flow_core.domain.quota import Project, Quota
from flow_core.errors import InvalidRequest, Misconfigured, NotFound, Unsupported
from flow_core.ports.keys import Keys
from flow_core.ports.projects import Projects
from flow_core.ports.provider import Provider

_WHICH = "`flow provider list` shows what each provider offers"


class Accounts:
    """What users do with projects and SSH keys."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def projects(self) -> tuple[Sequence[Project], Project | None]:
        """Return every project, and the one in use; None while none is chosen.

        Raises:
            Unsupported: the provider has no projects.
        """
        role = self._projects()
        there = role.projects()
        try:
            return there, role.current()
        except Misconfigured:
            return there, None

    def project(self, name: str) -> Project:
        """Return one project by name or id.

        Raises:
            NotFound: there is none, or several have that name; the hint lists them.
            Unsupported: the provider has no projects.
        """
        there = self._projects().projects()
        found = [each for each in there if each.id == name] or [
            each for each in there if each.name == name
        ]
        known = ", ".join(f"{each.name} ({each.id})" for each in there) or "none"
        if len(found) != 1:
            much = "several projects are" if found else "no project is"
            raise NotFound(f"{much} named {name!r}", hint=f"projects: {known}")
        return found[0]

    def quotas(self) -> Sequence[Quota]:
        """Return what the project in use may hold.

        Raises:
            Unsupported: the provider has no quotas.
        """
        return self._projects("quotas").quotas()

    def keys(self) -> Sequence[SshKey]:
        """Return the SSH keys that the provider knows.

        Raises:
            Unsupported: the provider keeps none.
        """
        return self._keys().keys()

    def add_key(self, public_key: str, *, name: str | None = None) -> tuple[NewSshKey, bool]:
        """Make the provider know a public key, and return it and whether it was new there.

        Without a name it gets its own comment's. A key that is there under another name is left as it is.

        Raises:
            InvalidRequest: it is no public key.
            NameTaken, Unsupported: see `ports.keys.Keys.add`.
        """
        words = public_key.split()
        if len(words) < 2 or not words[0].startswith(("ssh-", "ecdsa-", "sk-")):
            raise InvalidRequest(
                {"public_key": "is no public key; one reads like 'ssh-ed25519 AAAA... comment'"}
            )
        role = self._keys()
        there = role.keys()
        for key in there:
            if is_same_key(key.public_key, public_key) and name in (None, key.name):
                return NewSshKey(key=key), False
        return role.add(name or _name_of(words), public_key=public_key.strip()), True

    def key(self, name: str) -> SshKey:
        """Return one SSH key by name or id.

        Raises:
            NotFound: with the names there are.
        """
        there = self.keys()
        for key in there:
            if name in (key.id, key.name):
                return key
        known = ", ".join(key.name for key in there) or "none"
        raise NotFound(f"no SSH key is named {name!r}", hint=f"SSH keys: {known}")

    def delete_key(self, key: SshKey) -> None:
        """Delete an SSH key; nodes that have it keep it. See `ports.keys.Keys.delete`."""
        self._keys().delete(key.id)

    def _projects(self, what: str = "projects") -> Projects:
        if self._provider.projects is None:
            raise Unsupported(f"{self._provider.name} has no {what}", hint=_WHICH)
        return self._provider.projects

    def _keys(self) -> Keys:
        if self._provider.keys is None:
            raise Unsupported(
                f"{self._provider.name} keeps no SSH keys; its nodes are reached without",
                hint=_WHICH,
            )
        return self._provider.keys


def _name_of(words: Sequence[str]) -> str:
    comment = "-".join(words[2:])
    return comment if comment.isprintable() and comment else "flow"
