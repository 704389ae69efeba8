"""What a dev box tells of itself: its environments, who is there, and whose share of the cost is how large."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from flow_core.errors import InvalidRequest


@frozen(kw_only=True)
class Person:
    """Somebody who may use a box: how many seconds it was theirs, and whether they are there now; "" is its owner."""

    name: str
    seconds: float
    is_here: bool


@frozen(kw_only=True)
class Inside:
    """What a box told of itself; empty where it couldn't be asked, `trouble` says why."""

    envs: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    people: tuple[Person, ...] = ()
    trouble: str = ""

    def share_of(self, person: Person) -> float:
        """Return which part of the box's cost is a person's; the owner's until somebody was seen."""
        total = sum(each.seconds for each in self.people)
        return person.seconds / total if total else float(person.name == "")


def inside_of(told: Mapping[str, object]) -> Inside:
    """Return what the kit on a box told when it was asked to look."""
    sessions = told.get("sessions")
    running = sessions if isinstance(sessions, list) else []
    seconds = told.get("seconds")
    spent = seconds if isinstance(seconds, dict) else {}
    people = told.get("people")
    names = ["", *(people if isinstance(people, dict) else {})]
    names += [each for each in spent if each not in names]
    here = {str(each.get("who", "")) for each in running}
    return Inside(
        envs=_texts(told.get("envs")),
        images=_texts(told.get("images")),
        running=tuple(str(each.get("line", "")) or "a shell" for each in running),
        people=tuple(
            Person(name=each, seconds=float(spent.get(each, 0.0)), is_here=each in here)
            for each in names
        ),
    )


def named(pubkey: str) -> tuple[str, str]:
    """Return the user's name that a public key's comment suggests, and the key's one line.

    Raises:
        InvalidRequest: it is no public key.
    """
    words = pubkey.split()
    if len(words) < 2 or not words[0].startswith(("ssh-", "ecdsa-", "sk-")):
        raise InvalidRequest(
            {"PUBKEY": "is no public key; it begins with ssh-ed25519 or ssh-rsa, or is a .pub file"}
        )
    comment = words[2].partition("@")[0] if len(words) > 2 else ""
    name = "".join(
        char for char in comment.lower() if char.isascii() and (char.isalnum() or char in "-_")
    )
    name = name.lstrip("-_0123456789")[:31]
    return name, " ".join([words[0], words[1], *words[2:3]])


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list) else ()
