"""A task that exists is well formed; one that isn't is refused with every reason."""

from __future__ import annotations

import shlex
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.money import Price, Spend
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Condition, Dependency, Mount, Source
from flow_core.domain.task_rules import MAX_INSTANCES, MAX_STRING_BYTES, problems_with
from flow_core.errors import InvalidRequest
from tests import strategies


def problems_of(**changes: object) -> dict[str, str]:
    """What a task with these fields is refused for."""
    with pytest.raises(InvalidRequest) as caught:
        TaskSpec(**{"command": "true", **changes})  # type: ignore[arg-type]
    return caught.value.problems


@given(strategies.task_specs)
def test_what_exists_is_well_formed(spec):
    """No task that could be made breaks a rule, nor does one changed into another."""
    assert {} == problems_with(spec)
    assert spec == attrs.evolve(spec)
    assert {} == problems_with(attrs.evolve(spec, num_instances=2))


def test_a_task_never_changes():
    """A field can't be set; a changed task is another task, and is checked as well."""
    spec = TaskSpec(command="true")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        spec.command = "false"  # type: ignore[misc]
    with pytest.raises(InvalidRequest):
        attrs.evolve(spec, num_instances=0)


def test_every_problem_is_told_at_once():
    """One raise names each field that breaks a rule."""
    problems = problems_of(
        command=" ", name="a b", num_instances=0, max_price=Price.ZERO, region="a b", image="", env={"A=B": "x"},
        mounts=(Mount("data", "volume://x"),), working_dir="\n", code=" ", max_run_time=timedelta(0),
        max_spend=Spend.ZERO, options={"A B": "x"},
    )  # fmt: skip

    assert {
        "command", "name", "num_instances", "max_price_per_hour", "region", "image", "env", "mounts", "working_dir",
        "code", "max_run_time", "max_spend", "options",
    } == set(problems)  # fmt: skip


@pytest.mark.parametrize("count", [0, -1, MAX_INSTANCES + 1, True, 1.5, "4", None])
def test_a_number_of_instances_is_a_whole_one(count):
    """Counts run from one to the most; truths, fractions and texts are none."""
    assert ["num_instances"] == list(problems_of(num_instances=count))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "nothing to run"),
        (" \n", "nothing to run"),
        ((), "nothing to run"),
        (("", "x"), "nothing to run"),
        ("a\0b", "NUL"),
        (("a", "b\0"), "NUL"),
        ("x" * MAX_STRING_BYTES, "put it into a script"),
        (["a"], "neither a line of text nor a list"),
        (("a", 1), "neither a line of text nor a list"),
        (5, "neither a line of text nor a list"),
    ],
)
def test_what_cant_run_is_refused(command, words):
    """Emptiness, NUL, what is longer than a system takes, and other types are no command."""
    assert words in problems_of(command=command)["command"]


@given(
    st.lists(st.text(strategies.inside, max_size=12), min_size=1, max_size=4).filter(
        lambda each: each[0].strip()
    )
)
def test_arguments_are_shown_as_a_shell_would_read_them(words):
    """A list of arguments reads back the same from the line that is shown; a line is shown as it is."""
    assert words == shlex.split(TaskSpec(command=tuple(words)).command_line)
    assert words[0] == TaskSpec(command=words[0]).command_line


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"A=B": "x"}, "'A=B' can't name a variable"),
        ({"": "x"}, "'' can't name a variable"),
        ({"1A": "x"}, "not starting with a digit"),
        ({"Ä": "x"}, "can't name a variable"),
        ({5: "x"}, "5 can't name a variable"),
        ({"A": 5}, "a variable's value is text"),
        ({"A": "x\0"}, "NUL"),
        ({"A": "x" * MAX_STRING_BYTES}, "the most Linux takes"),
    ],
)
def test_what_is_no_variable_is_refused(env, words):
    """Names are letters, digits and underscores, values are text, and both fit into what a system takes."""
    assert words in problems_of(env=env)["env"]


def test_each_wrong_variable_is_told():
    """Of several wrong variables each has its part of the sentence."""
    told = problems_of(env={"A=": "x", "B": "ok", "C": 5})["env"]

    assert "'A=' can't name a variable" in told
    assert "C is 5" in told
    assert "B" not in told


@pytest.mark.parametrize(
    ("path", "source", "words"),
    [
        ("data", "volume://x", "needs an absolute path, such as '/data'"),
        ("/a/../b", "volume://x", "must not hold '.', '..'"),
        ("/a\0", "volume://x", "NUL"),
        ("/", "volume://x", "belongs to the node's system"),
        ("/proc/", "volume://x", "belongs to the node's system"),
        ("/data", "volume://", "names no source"),
        ("/data", "s3://", "names no source"),
        ("/data", "", "names no source"),
        ("/data", "models", "is no source; write 'volume://NAME'"),
        ("/data", "gs://bucket", "is no source"),
    ],
)
def test_what_cant_be_mounted_is_refused(path, source, words):
    """Paths are absolute, plain and not the system's; sources are volumes, buckets or paths of this machine."""
    assert words in problems_of(mounts=(Mount(path, source),))["mounts"]


def test_a_path_is_mounted_once():
    """The same path twice, with or without a final slash, is refused; one inside another is not."""
    twice = (Mount("/data", "volume://a"), Mount("/data/", "volume://b"))
    nested = (Mount("/data", "volume://a"), Mount("/data/b", "volume://b"))

    assert "mounted twice" in problems_of(mounts=twice)["mounts"]
    assert nested == TaskSpec(command="true", mounts=nested).mounts


@pytest.mark.parametrize(
    ("source", "kind", "target"),
    [
        ("volume://models", Source.VOLUME, "models"),
        ("s3://bucket/a/b", Source.S3, "bucket/a/b"),
        ("/srv/data", Source.HOST, "/srv/data"),
        ("./data", Source.HOST, "./data"),
        ("~/data", Source.HOST, "~/data"),
    ],
)
def test_a_source_tells_its_kind(source, kind, target):
    """The scheme says what a mount brings, and the rest which."""
    mount = Mount("/data", source)

    assert (kind, target) == (mount.kind, mount.target)


def test_a_task_doesnt_wait_for_itself():
    """A dependency on the task's own name would never end."""
    itself = (Dependency("a"), Dependency("b", Condition.ANY))

    assert "'b' waits for itself" == problems_of(name="b", after=itself)["after"]
    assert "afterany:b" == str(itself[1])


@pytest.mark.parametrize("field", ["region", "image", "working_dir", "code"])
def test_text_says_something(field):
    """Empty texts and control characters are refused; leaving a field out is how to say nothing."""
    for wrong in ("", "  ", "a\nb", "a\x7f"):
        assert [field] == list(problems_of(**{field: wrong}))


@pytest.mark.parametrize("field", ["region", "image"])
def test_names_of_the_providers_hold_no_space(field):
    """Regions and images are single words."""
    assert "holds a space" in problems_of(**{field: "a b"})[field]
