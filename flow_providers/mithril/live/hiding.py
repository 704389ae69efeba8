"""What a report may tell of an answer: its shape, never its values; and of a sentence: no key, no name, no id.

Shapes are safe by construction. Sentences are the service's own and may quote anything, so every text that an answer
held is struck from them, and whatever looks like an id, a key or an address besides. What is struck is told as a short
hash, salted anew for each report: equal things look equal in one report, and tell nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

#: Prefixes of the service's ids, the only ones that are told. Source: contract section 1.
PREFIXES = (
    "proj", "user", "it", "auc", "bid", "inst", "res", "vol", "sshkey", "imgver", "apikey", "clust", "quota",
)  # fmt: skip
#: Fields whose words the service made up, not people.
ENUMERATED = frozenset(
    {"status", "interface", "product_type", "event_type", "units", "scope", "organization_role"}
)
_WORD = re.compile(r"[A-Za-z_ -]{1,40}")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,40}")
_ID = re.compile(rf"({'|'.join(PREFIXES)})_([A-Za-z0-9]{{6,64}})")
_PLAIN_SEGMENT = re.compile(r"[a-z-]{1,30}|v[0-9]")
_KINDS = (
    ("dollars", re.compile(r"\$[0-9,]+\.[0-9]{2,}")),
    ("time ending in Z", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z")),
    ("time with an offset", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+[+-][0-9:]+")),
    ("time without a zone", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+")),
)
#: What is struck from sentences though no answer held it.
_SUSPECT = re.compile(
    r"fkey_\S+|[a-z]{2,10}_[A-Za-z0-9]{8,}|[^\s@\"']+@[^\s@\"']+|(?:ssh|ecdsa)-\S+ \S+"
    r"|\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b|\b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b|\b[A-Za-z0-9+/=_-]{24,}"
)
_SHORTEST = 3


class Hider:
    """Strikes from sentences what is anybody's own; `salt` makes its hashes this report's alone."""

    def __init__(self, salt: str, secrets: Sequence[str] = ()) -> None:
        self._salt = salt
        self._known: set[str] = {each for each in secrets if each}

    def learn(self, answer: object) -> None:
        """Have every text of an answer struck from now on, but for words of enumerations, money and times."""
        self._known.update(
            text
            for text in _texts(answer)
            if len(text) >= _SHORTEST and not any(form.fullmatch(text) for _, form in _KINDS)
        )

    def hidden(self, sentence: str) -> str:
        """Return a sentence without what is anybody's own."""
        for known in sorted(self._known, key=len, reverse=True):
            if known in sentence:
                sentence = re.sub(
                    rf"(?<![A-Za-z0-9]){re.escape(known)}(?![A-Za-z0-9])",
                    self._mark(known),
                    sentence,
                )
        return _SUSPECT.sub(lambda found: self._mark(found[0]), sentence)

    def _mark(self, text: str) -> str:
        return f"<{hashlib.sha256(f'{self._salt}/{text}'.encode()).hexdigest()[:8]}>"


def shape(value: object, *, field: str = "") -> object:
    """Return what kind of thing a JSON value is, all the way down; items of a list are told as one."""
    if isinstance(value, Mapping):
        return {_told_field(str(key)): shape(each, field=str(key)) for key, each in value.items()}
    if isinstance(value, list):
        return ["nothing"] if not value else [_merged([shape(each, field=field) for each in value])]
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int):
        return "whole number"
    if not isinstance(value, str):
        return "number"
    if field in ENUMERATED and _WORD.fullmatch(value):
        return f"word {value}"
    return _kind(value)


def path_shape(path: str) -> str:
    """Return a path with `{id}` for whatever isn't the service's own word."""
    return "/".join(
        part if not part or _PLAIN_SEGMENT.fullmatch(part) else "{id}" for part in path.split("/")
    )


def _kind(text: str) -> str:
    found = _ID.fullmatch(text)
    if found is not None and not _is_word(found[2]):
        return f"id {found[1]}_ and {len(found[2])}"
    return next((name for name, form in _KINDS if form.fullmatch(text)), "text")


def _is_word(text: str) -> bool:
    """Whether a text is small letters alone, so that it was rather written than drawn by chance."""
    return text.isalpha() and text.islower()


def _told_field(key: str) -> str:
    found = _ID.fullmatch(key)
    if found is not None and not _is_word(found[2]):
        return "{id}"
    return key if _FIELD.fullmatch(key) else "{key}"


def _merged(shapes: Sequence[object]) -> object:
    """Return one shape for all: fields that only some have end in '?', kinds that differ are joined by '|'."""
    if all(isinstance(each, Mapping) for each in shapes):
        maps = [each for each in shapes if isinstance(each, Mapping)]
        keys = dict.fromkeys(key for each in maps for key in each)
        return {
            key if all(key in each for each in maps) else f"{key}?": _merged(
                [each[key] for each in maps if key in each]
            )
            for key in keys
        }
    if all(isinstance(each, list) for each in shapes):
        inner = [each[0] for each in shapes if isinstance(each, list) and each != ["nothing"]]
        return [_merged(inner)] if inner else ["nothing"]
    return " | ".join(dict.fromkeys(str(each) for each in shapes))


def _texts(value: object, field: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not _FIELD.fullmatch(str(key)):
                yield str(key)
            yield from _texts(each, str(key))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, field)
    elif isinstance(value, str) and not (field in ENUMERATED and _WORD.fullmatch(value)):
        yield value
