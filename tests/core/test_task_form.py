"""The raw form of a task: what people write, read whole or refused with every reason."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.money import Price, Spend
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import KEYS, task_from_mapping, task_to_mapping
from flow_core.domain.task_parts import (
    Condition,
    Dependency,
    Keeper,
    Mount,
    Recover,
    Recovery,
    RunOn,
    Secret,
)
from flow_core.errors import InvalidRequest
from tests import strategies


def problems_of(**raw: object) -> dict[str, str]:
    """What reading these keys, besides a command, is refused for."""
    with pytest.raises(InvalidRequest) as caught:
        task_from_mapping({"command": "true", **raw})
    return caught.value.problems


def read(**raw: object) -> TaskSpec:
    """The task that these keys, besides a command, describe."""
    return task_from_mapping({"command": "true", **raw})


@given(strategies.task_specs)
def test_what_is_written_reads_back_the_same(spec):
    """A task survives its plain form, which survives JSON and has no key whose absence would mean the same."""
    plain = json.loads(json.dumps(task_to_mapping(spec)))

    assert spec == task_from_mapping(plain)
    for key in plain:
        without = {name: value for name, value in plain.items() if name != key}
        if key != "command":
            assert task_from_mapping(without) != spec


@given(
    st.dictionaries(
        st.sampled_from(sorted(KEYS)) | st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=5), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=6,
    )
)
def test_whatever_is_written_is_read_or_refused(raw):
    """No mapping of plain values gets past reading with anything but a task or a list of problems."""
    problems = {}
    try:
        task_from_mapping(raw)
    except InvalidRequest as error:
        problems = error.problems

    assert all(text and "\n" not in text for text in problems.values())
    assert problems or "command" in raw


def test_a_task_needs_a_command():
    """Nothing but a command is needed."""
    with pytest.raises(InvalidRequest) as caught:
        task_from_mapping({})

    assert {"command": "is missing; it says what to run"} == caught.value.problems
    assert TaskSpec(command="true") == read()


def test_every_problem_is_told_at_once():
    """Problems of the form and of the rules come together, in the order in which they were written."""
    problems = problems_of(
        num_instances=0,
        instance_type="8xa10O",
        enviroment={"A": "1"},
        max_run_time="soon",
        env={"A=B": "1"},
    )

    assert ["num_instances", "instance_type", "enviroment", "max_run_time", "env"] == list(problems)
    assert "nearest is '8xa100'" in problems["instance_type"]
    assert "nearest is 'environment'" in problems["enviroment"]


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("comand", "command"),
        ("num-instances", "num_instances"),
        ("Env", "env"),
        ("timeout", "max_run_time"),
        ("nodes", "num_instances"),
        ("max_price_per_hr", "max_price_per_hour"),
    ],
)
def test_an_unknown_key_names_its_neighbour(key, near):
    """Misspellings, dashes, case and other tools' words lead to the right key."""
    assert f"is no field of a task; nearest is '{near}'" == problems_of(**{key: 1})[key]


def test_a_key_that_is_no_text_is_a_problem():
    """YAML allows numbers as keys; a task doesn't."""
    with pytest.raises(InvalidRequest) as caught:
        task_from_mapping({"command": "true", 8: "x"})  # type: ignore[dict-item]

    assert "8" in caught.value.problems


def test_none_is_left_out():
    """A key whose value is None counts as not written."""
    assert TaskSpec(command="true") == read(**{key: None for key in KEYS if key != "command"})


def test_the_domains_own_values_pass():
    """Values that are already what the field holds are taken as they are."""
    values = {
        "instance_type": InstanceShape("h100", 8, 80),
        "max_price": Price(12_290_000),
        "max_spend": Spend(5_000_000),
        "max_run_time": timedelta(hours=1),
        "mounts": (Mount("/data", "volume://data"),),
        "after": (Dependency("prepare", Condition.ANY),),
        "run_on": RunOn.FIRST_NODE,
    }

    assert TaskSpec(command="true", **values) == read(**values)


def test_gpu_is_another_word_for_the_instance_type():
    """`gpu: a100` asks for one; both words at once are refused."""
    assert InstanceShape("a100", 1) == read(gpu="a100").instance_type
    assert {"gpu": "says the same as 'instance_type'; keep one of them"} == problems_of(
        instance_type="8xa100", gpu="a100"
    )


@pytest.mark.parametrize("price", ["12.29", "$12.29", 12.29, Decimal("12.29")])
def test_a_price_per_gpu_is_multiplied(price):
    """A limit of $12.29 per GPU on eight of them is $98.32 per instance."""
    assert Price(98_320_000) == read(gpu="8xh100", max_price_per_gpu_hour=price).max_price


def test_a_price_per_gpu_needs_to_know_how_many():
    """Without an instance type, or with one that has no GPU, a price per GPU says nothing."""
    key = "max_price_per_gpu_hour"

    assert "needs an instance_type" in problems_of(**{key: 1})[key]
    assert "cpu has no GPU" in problems_of(gpu="cpu", **{key: 1})[key]
    assert {"gpu"} == set(problems_of(gpu="8xq100q", **{key: 1}))
    assert "billion" in problems_of(gpu="8xh100", **{key: 999_999_999})[key]


def test_two_prices_are_one_too_many():
    """A price per instance and one per GPU contradict each other, and a limit of nothing is under its own key."""
    both = problems_of(gpu="8xh100", max_price_per_hour=8, max_price_per_gpu_hour=1)

    assert ["max_price_per_gpu_hour"] == list(both)
    assert ["max_price_per_gpu_hour"] == list(problems_of(gpu="8xh100", max_price_per_gpu_hour=0))


def test_variables_come_as_mapping_or_lines():
    """Numbers count as written, a value may hold '=', and an empty one is allowed."""
    assert {"A": "1", "B": "0.5", "C": ""} == read(env={"A": 1, "B": 0.5, "C": ""}).env
    assert {"A": "b=c", "D": ""} == read(env=["A=b=c", "D="]).env


@pytest.mark.parametrize(
    ("value", "advice"),
    [(True, "'true' or '1'"), (False, "'false' or '0'"), (None, "''"), ([1], "text")],
)
def test_a_variable_is_text(value, advice):
    """Truths and nulls are refused under the variable's own path, with what to write instead."""
    assert advice in problems_of(env={"DEBUG": value})["env.DEBUG"]


def test_lines_of_variables_are_checked_one_by_one():
    """A line without '=' is told with its place."""
    assert ["env[1]", "env[3]"] == sorted(problems_of(env=["A=1", "B", "A=2", 5]))


def test_the_last_line_counts():
    """Of two lines for one variable the later wins, as on a shell's command line."""
    assert {"A": "2", "B": "1"} == read(env=["A=1", "B=1", "A=2"]).env


@pytest.mark.parametrize("env", ["A=1", 5, True])
def test_variables_that_are_neither_are_refused(env):
    """A lone text or number is no environment."""
    assert "neither a mapping nor a list" in problems_of(env=env)["env"]


@pytest.mark.parametrize(
    ("written", "mount"),
    [
        ({"/m": "volume://a"}, Mount("/m", "volume://a")),
        ({"/m": {"source": "s3://b/c", "read_only": True}}, Mount("/m", "s3://b/c", True)),
        ([{"path": "/m", "source": "./x"}], Mount("/m", "./x")),
        (["volume://a:/m"], Mount("/m", "volume://a")),
        (["volume://a:/m:ro"], Mount("/m", "volume://a", True)),
        (["./x:/m:rw"], Mount("/m", "./x")),
        (["s3://b/c:d:/m"], Mount("/m", "s3://b/c:d")),
    ],
)
def test_mounts_come_in_several_spellings(written, mount):
    """Mappings, lists of mappings and 'source:path' texts mean the same."""
    assert (mount,) == read(mounts=written).mounts


@pytest.mark.parametrize(
    ("written", "path", "text"),
    [
        (["volume://a"], "mounts[0]", "write 'volume://a:/PATH'"),
        (["/m"], "mounts[0]", "names no path on the node; write '/m:/PATH'"),
        (["/m=s3://b/p"], "mounts[0]", "write 's3://b/p:/m'"),
        ([7], "mounts[0]", "is no mount"),
        ([{"path": "/m", "sorce": "x"}], "mounts[0]", "nearest is 'source'"),
        ([{"path": "/m"}], "mounts[0]", "is no source"),
        ({"/m": 5}, "mounts./m", "is no source"),
        ({"/m": {"source": "./x", "read_only": "maybe"}}, "mounts./m", "neither true nor false"),
        ("volume://a:/m", "mounts", "is no mapping"),
        ({"m": "volume://a"}, "mounts", "is relative"),
    ],
)
def test_a_mount_that_cant_be_read_says_which(written, path, text):
    """Each refused mount is told with its place and what to write."""
    assert text in problems_of(mounts=written)[path]


def test_a_command_may_be_a_list():
    """A list of words is kept as such, numbers as written; anything else in it is refused with its place."""
    assert ("sleep", "10", "0.5") == task_from_mapping({"command": ["sleep", 10, 0.5]}).command
    with pytest.raises(InvalidRequest) as caught:
        task_from_mapping({"command": ["run", True, None]})

    assert ["command[1]", "command[2]"] == list(caught.value.problems)


@pytest.mark.parametrize("command", [{"a": 1}, 5, b"true", "", "  ", [], [""]])
def test_what_is_no_command_is_refused(command):
    """Mappings, numbers, bytes and emptiness can't be run."""
    with pytest.raises(InvalidRequest) as caught:
        task_from_mapping({"command": command})

    assert ["command"] == list(caught.value.problems)


@pytest.mark.parametrize(
    ("written", "dependency"),
    [
        ("prepare", Dependency("prepare")),
        ("afterok:prepare", Dependency("prepare")),
        ("afternotok:prepare", Dependency("prepare", Condition.NOT_OK)),
        ("afterany:prepare", Dependency("prepare", Condition.ANY)),
    ],
)
def test_a_task_waits_for_others(written, dependency):
    """A name alone waits for success; one text is a list of one."""
    assert (dependency,) == read(after=written).after == read(after=[written]).after


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("aftrok:a", "nearest is 'afterok:a'"),
        ("afterok:", "is empty"),
        ("", "is empty"),
        (5, "5 is no task"),
    ],
)
def test_a_dependency_that_cant_be_read_says_which(written, text):
    """A misspelt condition and a missing name are told with their place."""
    assert text in problems_of(after=["ok", written])["after[1]"]


def test_a_number_of_instances_may_be_text():
    """The environment and the command line only have text; other texts and fractions are refused."""
    assert 4 == read(num_instances="4").num_instances
    for wrong in ("four", "4.5", 4.0, True, "-1", "9" * 40):
        assert ["num_instances"] == list(problems_of(num_instances=wrong))


def test_truths_may_be_text():
    """`keep` takes true and false, and the words people use for them."""
    assert read(keep="yes").keep
    assert not read(keep="off").keep
    assert "neither true nor false" in problems_of(keep="perhaps")["keep"]


def test_a_place_to_run_on_names_its_neighbour():
    """A misspelt place leads to the nearest; another type to the two there are."""
    assert "nearest is 'first-node'" in problems_of(run_on="first_node")["run_on"]
    assert "'every-node' or 'first-node'" in problems_of(run_on=3)["run_on"]


@pytest.mark.parametrize("key", ["name", "image", "region", "working_dir", "code"])
def test_a_number_where_text_belongs_is_taken_as_written(key):
    """`name: 2026` is the text '2026'; a list is none."""
    assert "2026" == getattr(read(**{key: 2026}), key)
    assert "is no text" in problems_of(**{key: ["x"]})[key]


def test_nothing_left_to_pay_is_refused():
    """A ceiling of $0 would end the task before it began."""
    assert "max_spend" in problems_of(max_spend=0)


def test_variables_under_environment_are_shown_the_way_to_env():
    """Other tools call variables `environment`; ours is where the command's Python comes from."""
    problems = problems_of(environment={"A": "1"})

    assert "variables go under 'env'" in problems["environment"]


def test_a_secret_names_its_keeper_and_never_its_value():
    """`NAME=keyring` is read, and a value in its place is refused without being shown."""
    spec = task_from_mapping({"command": "true", "secrets": ["A", "B=keyring"]})
    assert (Secret("A"), Secret("B", Keeper.KEYRING)) == spec.secrets

    (problem,) = problems_of(secrets=["TOKEN=hunter2"]).values()
    assert "never the value" in problem
    assert "hunter2" not in problem


def test_a_recovery_is_a_word_and_a_time():
    """`move:5m` reads back as it was written; moving out of a named region contradicts itself."""
    spec = task_from_mapping({"command": "true", "recovery": "move:5m"})
    assert Recovery(Recover.MOVE, timedelta(minutes=5)) == spec.recovery
    assert "move:5m" == task_to_mapping(spec)["recovery"]

    assert "which the task names" in problems_of(recovery="move", region="us-1")["recovery"]
    assert "nearest is 'raise'" in problems_of(recovery="rise:5m")["recovery"]


def test_a_signal_may_be_written_in_any_of_its_ways():
    """SIGUSR2, usr2 and USR2 are one signal; `none` is none."""
    for word in ("SIGUSR2", "usr2", "USR2"):
        assert "USR2" == task_from_mapping({"command": "true", "notice_signal": word}).notice_signal
    assert "none" == task_from_mapping({"command": "true", "notice_signal": "none"}).notice_signal
