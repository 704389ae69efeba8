"""Names: the user's own, untouched, and the wire name that carries it to the provider and back.

A bid goes out as `<name>-<token>`. The token is drawn before the bid leaves, so a bid whose acceptance was never
heard of can be looked up by it, and a machine that knows nothing recovers the name by cutting the token off.

A token is eight characters of Crockford's base32 in lower case (the digits, and the letters without i, l, o, u): seven
drawn, one computed. The eighth makes the whole a codeword over the field of 32 elements, with weights 2**7 .. 2**0,
all different and none zero. Hence one wrong character is always noticed, and so are two that were swapped.

Someone else's bid may end like one of ours. To make that rare, a token also has among its first seven a digit and a
letter after f, which words, dates, counters and hexadecimal digests lack; these are never taken for ours. What
remains are random endings: of all strings of eight lower-case letters and digits, 31,597,224,960 out of 36**8 are
tokens, 1 in 89. We don't like that this is no rarer: with eight characters a second check character would make it 1 in
2,990, and leave 30 bits instead of 35 to keep our own tokens apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from random import Random

from flow_core.errors import InvalidRequest

LONGEST_NAME = 63
TOKEN_LENGTH = 8

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
_DIGIT = re.compile(r"[0-9]")
_LATE_LETTER = re.compile(r"[g-z]")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._\-=,+@/]")
_START = re.compile(r"[A-Za-z0-9]")

_ADJECTIVES = (
    "amber bold brave breezy bright brisk calm clever cosy crisp dapper deft eager early fair fleet"
    " fond frank fresh gentle glad golden grand happy hardy jolly keen kind lively lucky mellow"
    " merry mild neat nimble noble patient plucky polite proud quick quiet rapid ready shiny silent"
    " smooth snug spry steady sunny swift tidy tranquil trusty upbeat vivid warm wise witty"
)
_ANIMALS = (
    "badger beaver bison bobcat cicada condor coyote crane curlew dingo dolphin donkey eagle egret"
    " falcon ferret finch gannet gazelle gecko gibbon heron hornet ibex jackal jaguar kestrel"
    " kingfisher lark lemur leopard llama lynx magpie mantis marmot marten mole moose newt ocelot"
    " osprey otter owl panda pelican petrel plover puffin quail rabbit raven robin salmon seal"
    " sparrow stork swallow tapir tern toucan turtle walrus weasel wombat wren yak zebra"
)


def problem_with_name(name: object) -> str | None:
    """Return one sentence on why `name` can't name a task or volume, or None when it can.

    A name is 1 to 63 ASCII letters, digits and `. _ - = , + @ /`, and starts with a letter or digit.
    """
    if not isinstance(name, str):
        return f"{name!r} is not text"
    if not name:
        return "is empty; leave it out to be given a readable one"
    if len(name) > LONGEST_NAME:
        return f"{name[:20] + '…'!r} has {len(name)} characters; keep to {LONGEST_NAME}"
    wrong = _NOT_IN_NAME.search(name)
    if wrong:
        return f"{name!r} holds {wrong[0]!r}; use letters, digits and . _ - = , + @ /"
    if not _START.match(name):
        return f"{name!r} starts with {name[0]!r}; start with a letter or a digit"
    return None


def new_token(rng: Random) -> str:
    """Draw a token: eight characters, almost 35 bits of which are chance."""
    while True:
        body = "".join(rng.choice(_ALPHABET) for _ in range(TOKEN_LENGTH - 1))
        if _has_shape_of_ours(body):
            return body + _ALPHABET[_doubled(_syndrome(body))]


def is_token(text: str) -> bool:
    """Whether `text` is a whole token as `new_token` draws them, upper case not accepted."""
    if len(text) != TOKEN_LENGTH or not all(char in _VALUES for char in text):
        return False
    return _has_shape_of_ours(text[:-1]) and _syndrome(text) == 0


@lru_cache(maxsize=16_384)
def wire_name(name: str, token: str) -> str:
    """Return what a bid is called at the provider: the user's name, '-' and the token.

    Raises:
        InvalidRequest: `name` is not allowed, or `token` is none of ours.
    """
    problems = {"name": problem_with_name(name)}
    if not is_token(token):
        problems["token"] = f"{token!r} is no token; its characters don't check"
    found = {key: text for key, text in problems.items() if text}
    if found:
        raise InvalidRequest(found)
    return f"{name}-{token}"


def split_wire_name(wire: str) -> tuple[str, str] | None:
    """Return the user's name and the token, or None for a bid that Flow didn't name.

    The odds that a stranger's name is taken for ours are told at the top of this file.
    """
    name, dash, token = wire.rpartition("-")
    if not dash or not is_token(token) or problem_with_name(name):
        return None
    return name, token


def readable_name(rng: Random, taken: Collection[str] = ()) -> str:
    """Draw a name such as 'brisk-otter'; when that is taken, the first free of 'brisk-otter-2' and on."""
    drawn = f"{rng.choice(_ADJECTIVES.split())}-{rng.choice(_ANIMALS.split())}"
    name, number = drawn, 1
    while name in taken:
        number += 1
        name = f"{drawn}-{number}"
    return name


def _has_shape_of_ours(body: str) -> bool:
    return bool(_DIGIT.search(body) and _LATE_LETTER.search(body))


def _syndrome(text: str) -> int:
    """Evaluate the characters as a polynomial at 2, in the field of 32 elements; a codeword gives 0."""
    total = 0
    for char in text:
        total = _doubled(total) ^ _VALUES[char]
    return total


def _doubled(value: int) -> int:
    """Multiply by 2 in the field of 32 elements, reduced by x^5 + x^2 + 1."""
    value <<= 1
    return value ^ 0b100101 if value & 0b100000 else value
