"""Names go out and come back as they were, and strangers' names are left alone."""

from __future__ import annotations

import string
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.names import (
    is_token,
    new_token,
    problem_with_name,
    readable_name,
    split_wire_name,
    wire_name,
)
from flow_core.errors import InvalidRequest

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ALNUM = string.ascii_letters + string.digits
names = st.builds(
    str.__add__,
    st.sampled_from(ALNUM),
    st.text(ALNUM + "._-=,+@/", max_size=62),
)
tokens = st.integers(0, 2**64).map(lambda seed: new_token(Random(seed)))


@given(names, tokens)
def test_name_and_token_come_back_from_the_wire(name: str, token: str) -> None:
    """Any allowed name, dashes and all, is recovered with its token."""
    actual = split_wire_name(wire_name(name, token))

    assert (name, token) == actual


@given(names, tokens, tokens)
def test_name_that_ends_like_a_token_comes_back_whole(name: str, own: str, other: str) -> None:
    """Only the last token is ours; one inside the user's name stays there."""
    user_name = f"{name[:50]}-{other}"

    actual = split_wire_name(wire_name(user_name, own))

    assert (user_name, own) == actual


@given(tokens)
def test_drawn_token_is_one(token: str) -> None:
    """A drawn token checks, is eight characters long, and holds a digit and a letter after f."""
    assert is_token(token)
    assert 8 == len(token)
    assert set(token[:7]) & set(string.digits)
    assert set(token[:7]) & set("ghjkmnpqrstvwxyz")


@given(tokens, st.integers(0, 7), st.characters(codec="utf-8"))
def test_token_with_one_wrong_character_is_refused(token: str, place: int, char: str) -> None:
    """Any single other character, wherever it stands, is noticed."""
    wrong = token[:place] + char + token[place + 1 :]

    assert (wrong == token) == is_token(wrong)


@given(tokens)
def test_token_with_every_wrong_letter_of_ours_is_refused(token: str) -> None:
    """All 8 × 31 tokens that differ in one place by a character of the alphabet are refused."""
    wrong = [
        token[:place] + char + token[place + 1 :]
        for place in range(8)
        for char in ALPHABET
        if char != token[place]
    ]

    assert 8 * 31 == len(wrong)
    assert not any(map(is_token, wrong))


@given(tokens)
def test_token_of_another_length_is_refused(token: str) -> None:
    """A leading zero would leave the check as it is, so the length is checked for itself."""
    found = [is_token(text) for text in (f"0{token}", f"{token}0", token[1:], token[:-1], "")]

    assert [False] * 5 == found


@given(tokens)
def test_token_with_two_characters_swapped_is_refused(token: str) -> None:
    """Swapping any two different characters is noticed."""
    for one, other in combinations(range(8), 2):
        swapped = list(token)
        swapped[one], swapped[other] = swapped[other], swapped[one]

        assert (token[one] == token[other]) == is_token("".join(swapped))


@pytest.mark.parametrize(
    "wire",
    [
        "train-abcdefgh",
        "train-database",
        "train-20261123",
        "train-3fa9c1b2",
        "train-00000000",
        "train",
        "train-",
        "",
        "-",
    ],
)
def test_strangers_name_is_not_taken_for_ours(wire: str) -> None:
    """Words, dates, counters and digests at a name's end are never tokens."""
    actual = split_wire_name(wire)

    assert actual is None


@given(tokens)
def test_token_without_an_allowed_name_is_not_ours(token: str) -> None:
    """What we could not have sent is not read as ours: no name, a bad name, no dash."""
    found = [split_wire_name(wire) for wire in (token, f"-{token}", f"a b-{token}", f"a{token}")]

    assert [None] * 4 == found


def test_odds_of_a_strangers_random_ending_are_as_told() -> None:
    """One random ending of eight letters and digits in 89 checks, as names.py says."""
    no_digit, no_late_letter, neither = 22**7, 16**7, 6**7
    bodies = 32**7 - no_digit - no_late_letter + neither

    assert 31_597_224_960 == bodies
    assert 89 == round(36**8 / bodies)


def test_random_endings_are_rarely_taken_for_ours() -> None:
    """Of 20,000 seeded random endings, about one in 89 is taken for a token."""
    rng = Random(2)
    endings = [
        "".join(rng.choices(string.ascii_lowercase + string.digits, k=8)) for _ in range(20_000)
    ]

    taken = sum(map(is_token, endings))

    assert abs(taken - 20_000 / 89) < 60  # four standard deviations of about 15


@given(names)
def test_allowed_name_has_no_problem(name: str) -> None:
    """Letters, digits and eight marks, started by a letter or digit, make a name."""
    actual = problem_with_name(name)

    assert actual is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my task", "'my task' holds ' '; use letters, digits and . _ - = , + @ /"),
        ("train\n", "'train\\n' holds '\\n'; use letters, digits and . _ - = , + @ /"),
        ("a\x1b[31m", "'a\\x1b[31m' holds '\\x1b'; use letters, digits and . _ - = , + @ /"),
        ("naïve", "'naïve' holds 'ï'; use letters, digits and . _ - = , + @ /"),
        ("a:b", "'a:b' holds ':'; use letters, digits and . _ - = , + @ /"),
        ("-x", "'-x' starts with '-'; start with a letter or a digit"),
        ("/x", "'/x' starts with '/'; start with a letter or a digit"),
        ("", "is empty; leave it out to be given a readable one"),
        ("a" * 64, "'aaaaaaaaaaaaaaaaaaaa…' has 64 characters; keep to 63"),
        (7, "7 is not text"),
    ],
)
def test_name_that_is_not_allowed_gets_a_sentence(name: object, expected: str) -> None:
    """The sentence names the character or length that is wrong."""
    actual = problem_with_name(name)

    assert expected == actual


def test_wire_name_is_made_of_right_parts_only() -> None:
    """A bad name and a bad token are both reported, and nothing is made of them."""
    with pytest.raises(InvalidRequest) as caught:
        wire_name("my task", "abcdefgh")

    assert ["name", "token"] == list(caught.value.problems)


@given(st.integers(0, 2**32))
def test_readable_name_is_an_allowed_name(seed: int) -> None:
    """A drawn name is two words, allowed as it stands, and the same for the same chance."""
    actual = readable_name(Random(seed))

    assert problem_with_name(actual) is None
    assert 2 == len(actual.split("-"))
    assert readable_name(Random(seed)) == actual


def test_readable_name_that_is_taken_gets_the_next_free_number() -> None:
    """Numbers start at 2 and skip what is taken."""
    first = readable_name(Random(2))

    second = readable_name(Random(2), {first})
    fourth = readable_name(Random(2), [first, second, f"{first}-3"])

    assert f"{first}-2" == second
    assert f"{first}-4" == fourth
