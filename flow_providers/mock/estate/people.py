"""Who may log in, with which keys, to which projects.

A world is born with one person, one project and one key, which follow from its seed: the same seed, the same key.
They have no rows of their own until something about them changes.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import datetime, timedelta
from functools import lru_cache

from flow_providers.mock.estate.rows import ApiKeyRow, PersonRow, ProjectRow
from flow_providers.mock.world import World, wire_id

#: How much of a secret is shown in lists.
_SHOWN = 9
#: The key that a world is born with outlives everything that is pretended.
_FIRST_KEY_LASTS = timedelta(days=36_500)


def first_secret(world: World) -> str:
    """Return the API key that the world was born with."""
    return _born_secret(world.meta.seed)


def people(world: World) -> list[PersonRow]:
    """Return everyone, the first person first."""
    changed = world.people.live()
    first = [] if world.people.held(world.meta.me) else [_first_person(world)]
    return first + changed


def person(world: World, person_id: str) -> PersonRow | None:
    """Return one person."""
    return next((each for each in people(world) if each.id == person_id), None)


def projects(world: World) -> list[ProjectRow]:
    """Return every project, the first one first."""
    return [_first_project(world), *world.projects.live()]


def api_keys(world: World, person_id: str) -> list[ApiKeyRow]:
    """Return a person's keys, revoked ones too, oldest first."""
    first = _first_key(world)
    born = [first] if first.person == person_id and world.api_keys.held(first.id) is None else []
    return born + world.api_keys.in_group(person_id)


def holder(world: World, secret: str, now: datetime) -> PersonRow | None:
    """Return whose key `secret` is; None for one that is unknown, revoked or past its time."""
    digest = digest_of(secret)
    first = _first_key(world)
    keys = world.api_keys.named(digest)
    if digest == first.digest and world.api_keys.held(first.id) is None:
        keys = [first]
    for key in keys:
        if key.deactivated_at is None and now < key.expires_at:
            found = person(world, key.person)
            return found if found is not None and found.deactivated_at is None else None
    return None


def add_key(
    world: World, person_id: str, name: str, *, now: datetime, expires_at: datetime
) -> tuple[ApiKeyRow, str]:
    """Make a key, and return it with its secret."""
    number = world.draw()
    secret = world.new_id("fkey") + world.new_id("").removeprefix("_")
    row = ApiKeyRow(
        id=world.new_id("apikey"),
        number=number,
        person=person_id,
        name=name,
        digest=digest_of(secret),
        snippet=snippet_of(secret),
        created_at=now,
        expires_at=expires_at,
    )
    return world.api_keys.put(row), secret


def add_person(world: World, name: str, *, project_ids: tuple[str, ...]) -> PersonRow:
    """Let somebody else in, to these projects."""
    number = world.draw()
    row = PersonRow(
        id=world.new_id("user"),
        number=number,
        name=name,
        email=email_of(name),
        role="member",
        projects=project_ids,
    )
    return world.people.put(row)


def add_project(world: World, name: str, *, now: datetime) -> ProjectRow:
    """Open another project."""
    number = world.draw()
    row = ProjectRow(id=world.new_id("proj"), number=number, name=name, created_at=now)
    return world.projects.put(row)


def open_to(world: World, who: PersonRow) -> tuple[str, ...]:
    """Return the ids of the projects that are open to somebody; to an admin, all."""
    if who.role == "admin":
        return tuple(each.id for each in projects(world))
    return who.projects


def organization(world: World) -> str:
    """Return the id of the one organization."""
    return wire_id("org", world.meta.seed, -5)


def long_id(fid: str) -> str:
    """Return the other id that people have, a UUID."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, fid))


def digest_of(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def snippet_of(secret: str) -> str:
    """Return as much of a secret as lists show."""
    return secret[:_SHOWN] + "..."


def email_of(name: str) -> str:
    """Return an address for a name, in a domain that is nobody's."""
    local = re.sub(r"[^a-z0-9]+", ".", name.lower()).strip(".") or "someone"
    return f"{local[:60]}@example.com"


def _first_person(world: World) -> PersonRow:
    meta = world.meta
    return PersonRow(
        id=meta.me,
        number=0,
        name=meta.user,
        email=email_of(meta.user),
        role="admin",
        projects=(meta.project,),
    )


def _first_project(world: World) -> ProjectRow:
    meta = world.meta
    return ProjectRow(id=meta.project, number=0, name="default", created_at=meta.born_at)


def _first_key(world: World) -> ApiKeyRow:
    meta = world.meta
    return _born_key(meta.seed, meta.me, meta.born_at)


@lru_cache(maxsize=4)  # Every request asks for it, and it takes longer to draw than a request does.
def _born_key(seed: str, person_id: str, born_at: datetime) -> ApiKeyRow:
    secret = _born_secret(seed)
    return ApiKeyRow(
        id=wire_id("apikey", seed, -6),
        number=0,
        person=person_id,
        name="first",
        digest=digest_of(secret),
        snippet=snippet_of(secret),
        created_at=born_at,
        expires_at=born_at + _FIRST_KEY_LASTS,
    )


def _born_secret(seed: str) -> str:
    return wire_id("fkey", seed, -3) + wire_id("", seed, -4).removeprefix("_")
