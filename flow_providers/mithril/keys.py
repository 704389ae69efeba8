"""The keys role, and which keys a bid carries."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from flow_core.domain.keys import NewSshKey, SshKey, is_same_key
from flow_core.errors import Conflict, InUse, InvalidRequest, NameTaken, NotFound
from flow_providers.mithril import wire
from flow_providers.mithril.client import Client, segment

_PATH = "/v2/ssh-keys"
_HINT = "`flow ssh-key list` shows the project's keys, `flow ssh-key add` adds yours"


class MithrilKeys:
    """Implements `ports.keys.Keys` over /v2/ssh-keys.

    `chosen` are names or ids that bids carry unless told others; `local` tells the public halves on this machine.
    """

    def __init__(
        self,
        client: Client,
        *,
        chosen: Sequence[str] = (),
        local: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._client = client
        self._chosen = tuple(chosen)
        self._local = local

    def keys(self) -> Sequence[SshKey]:
        """See `Keys.keys`."""
        told = self._client.listed(
            "list SSH keys", wire.SshKey, _PATH, {"project": self._client.project}
        )
        return sorted(map(_key, told), key=lambda key: (key.name, key.id))

    def add(self, name: str, *, public_key: str | None = None) -> NewSshKey:
        """See `Keys.add`."""
        for key in self.keys():
            if key.name == name:
                if public_key is not None and is_same_key(key.public_key, public_key):
                    return NewSshKey(key=key)
                raise NameTaken(f"another SSH key of the project is named {name!r}", hint=_HINT)
        body: dict[str, object] = {"project": self._client.project, "name": name}
        if public_key is not None:
            if len(public_key.split()) < 2:
                raise InvalidRequest(
                    {"public_key": "is no public key; write it as 'ssh-ed25519 AAAA... comment'"}
                )
            body["public_key"] = public_key.strip()
        try:
            made = self._client.create("add SSH key", wire.SshKey, _PATH, body)
        except Conflict as taken:
            raise NameTaken(taken.message, hint=_HINT) from taken
        return NewSshKey(key=_key(made), private_key=made.private_key)

    def delete(self, key_id: str) -> None:
        """See `Keys.delete`."""
        try:
            self._client.delete("delete SSH key", f"{_PATH}/{segment(key_id)}")
        except NotFound:
            return
        except (Conflict, InvalidRequest) as refusal:
            # A key that is there and can't go is one in use; the status that says so is not documented.
            if any(key.id == key_id for key in self.keys()):
                raise InUse(refusal.message, hint="end the bids that carry it first") from refusal

    def for_bid(self, asked: Collection[str] = ()) -> tuple[str, ...]:
        """Return the ids of the keys a bid carries: those asked for or chosen, and the required ones.

        Where none was, it carries those whose private half is on this machine, else the only one. A key may be asked
        for by name, id or its public half. Mithril takes no bid without a key.

        Raises:
            InvalidRequest: a key isn't there, there is none at all, or none can be chosen from several.
        """
        there = self.keys()
        required = [key.id for key in there if key.required]
        wanted = tuple(asked) or self._chosen
        missing = [each for each in wanted if not _named(each, there)]
        if missing:
            names = ", ".join(key.name for key in there) or "none"
            raise InvalidRequest(
                {
                    "mithril.ssh_key": f"the project has no SSH key {', '.join(missing)}; it has: {names}"
                },
                hint=_HINT,
            )
        found = [key.id for each in wanted for key in _named(each, there)]
        if not wanted:
            here = self._local()
            found = [
                key.id for key in there if any(is_same_key(key.public_key, own) for own in here)
            ]
            if not found and not required:
                found = [self._only(there).id]
        return tuple(dict.fromkeys([*found, *required]))

    def _only(self, there: Sequence[SshKey]) -> SshKey:
        if not there:
            raise InvalidRequest(
                {"mithril.ssh_key": "the project has no SSH key, and without one nobody gets in"},
                hint="`flow ssh-key add` adds yours",
            )
        if len(there) > 1:
            names = ", ".join(key.name for key in there)
            raise InvalidRequest(
                {
                    "mithril.ssh_key": f"the project has several SSH keys and none is chosen: {names}"
                },
                hint="`flow config set mithril.ssh_key NAME` chooses one",
            )
        return there[0]


def _named(text: str, there: Sequence[SshKey]) -> list[SshKey]:
    by_id = [key for key in there if text == key.id]
    return (
        by_id
        or [key for key in there if text == key.name]
        or [key for key in there if " " in text and is_same_key(text, key.public_key)][:1]
    )


def _key(told: wire.SshKey) -> SshKey:
    return SshKey(
        id=told.fid,
        name=told.name,
        public_key=told.public_key,
        created_at=told.created_at,
        required=bool(told.required),
    )
