"""A dev box's name, what is told to it, whose cost is how much, and what its keys are."""

from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.box import Entry, box_name, run_line
from flow_core.domain.box_inside import Inside, Person, inside_of, named
from flow_core.domain.names import LONGEST_NAME, problem_with_name
from flow_core.errors import InvalidRequest


@given(st.text(max_size=100), st.text(max_size=100))
def test_any_folder_has_a_name(folder: str, image: str):
    """Whatever a folder and an image are called, the box's name is allowed, and leaves room for a number."""
    name = box_name(folder, image=image)

    assert problem_with_name(name) is None
    assert len(box_name(folder, image=image, taken={name})) <= LONGEST_NAME


def test_a_second_folder_of_one_name_has_a_box_of_its_own():
    """The name says the folder, then the image, then a number where others have it."""
    assert "dev-my-code" == box_name("my code")
    assert "dev-src-python-3.12" == box_name("src", image="docker.io/library/python:3.12")
    assert "dev-src-3" == box_name("src", taken={"dev-src", "dev-src-2"})


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_line_reaches_the_box_as_it_was_typed(line: str):
    """Quotes, dollars and newlines are the command's own shell's business, and nobody's before."""
    words = shlex.split(
        run_line(Entry(env="try", variables={"A": line}), line).partition("exec ")[2]
    )

    told = json.loads(words[-2])
    assert line == words[-1]
    assert ({"A": line}, "try") == (told["variables"], told["env"])


def test_only_what_is_said_is_told():
    """A plain command carries an empty object, and a shell no line."""
    assert run_line(Entry(), None).endswith(" dev run '{}'")


def test_the_cost_is_shared_by_the_time_that_each_was_there():
    """Before anybody was seen all of it is the owner's."""
    both = Inside(
        people=(
            Person(name="", seconds=300.0, is_here=True),
            Person(name="bob", seconds=100.0, is_here=False),
        )
    )
    nobody = Inside(people=(Person(name="", seconds=0.0, is_here=False),))

    assert [0.75, 0.25] == [both.share_of(each) for each in both.people]
    assert [1.0] == [nobody.share_of(each) for each in nobody.people]


def test_what_a_box_tells_is_read():
    """Somebody who is let in and never came is there with nothing; one who has left keeps their share."""
    found = inside_of(
        {
            "envs": ["try"], "images": [], "people": {"bob": 1001}, "seconds": {"": 5.0, "ann": 2.0},
            "sessions": [{"who": "", "line": "python train.py"}, {"who": "bob", "line": ""}],
        }
    )  # fmt: skip

    assert (("try",), ("python train.py", "a shell")) == (found.envs, found.running)
    expected = [("", 5.0, True), ("bob", 0.0, True), ("ann", 2.0, False)]
    assert expected == [(each.name, each.seconds, each.is_here) for each in found.people]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("ssh-ed25519 AAAAC3 Bob.Stone@laptop", "bobstone"),
        ("ssh-rsa AAAAB3 7of9", "of9"),
        ("ssh-ed25519 AAAAC3", ""),
    ],
)
def test_a_keys_comment_suggests_a_name(key: str, name: str):
    """The part before the @, as a user's name may be written."""
    assert (name, key) == named(f"  {key}\n")


def test_what_is_no_public_key_is_refused():
    """A private key, above all, is never sent anywhere."""
    for text in ("", "bob", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb"):
        with pytest.raises(InvalidRequest, match="is no public key"):
            named(text)
