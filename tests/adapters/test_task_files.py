"""Tasks in YAML: what is written is meant, and what can't be is told with its line."""

from __future__ import annotations

from datetime import timedelta

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.task_files import read_task, read_task_file, task_text, write_task_file
from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import task_from_mapping, task_to_mapping
from flow_core.domain.task_parts import Mount
from flow_core.errors import InvalidRequest
from tests import strategies


@pytest.fixture
def path(tmp_path):
    """Where a task's file may lie."""
    return tmp_path / "task.yaml"


def problems_of(path, text: str) -> dict[str, str]:
    """What a file with this text is refused for; places are without the folder."""
    path.write_text(text, "utf-8")
    with pytest.raises(InvalidRequest) as caught:
        read_task_file(path)
    return {
        place.replace(str(path), "task.yaml"): text for place, text in caught.value.problems.items()
    }


@given(strategies.task_specs)
def test_what_is_written_reads_back_the_same(tmp_path_factory, spec):
    """A task survives its text, which means the same to a reader that follows YAML 1.1."""
    path, text = tmp_path_factory.getbasetemp() / "same.yaml", task_text(spec)
    path.write_text(text, "utf-8")

    assert spec == read_task_file(path)
    assert task_to_mapping(spec) == task_to_mapping(task_from_mapping(yaml.safe_load(text)))


def test_a_file_is_written_whole(path):
    """A written task is the one file in its folder, and reads back the same."""
    spec = TaskSpec(command="python train.py", max_price=Price(1), env={"A": "true", "B": "1"})
    write_task_file(path, spec)

    assert spec == read_task_file(path)
    assert [path] == list(path.parent.iterdir())


def test_a_task_is_read(path):
    """A file says everything a task can say."""
    path.write_text(
        "# a task\nname: resnet\ncommand: |\n  set -e\n  python train.py\ninstance_type: 8xh100\nnum_instances: 4\n"
        "max_price_per_gpu_hour: 12.29\nmax_run_time: 1h30m\nenv:\n  FOO: 1.10\n  BAR: 'no'\n  BAZ: 010\n"
        "mounts:\n  /data: volume://data\n"
    )
    spec = read_task_file(path)

    assert spec == TaskSpec(
        command="set -e\npython train.py\n",
        name="resnet",
        instance_type=InstanceShape("h100", 8),
        num_instances=4,
        max_price=Price(98_320_000),
        max_run_time=timedelta(minutes=90),
        env={"FOO": "1.10", "BAR": "no", "BAZ": "010"},
        mounts=(Mount("/data", "volume://data"),),
    )
    assert spec == task_from_mapping(read_task(path))


@pytest.mark.parametrize(
    "text",
    [
        "1.10",
        "010",
        "0x1F",
        "1_000",
        "12:30:00",
        "2026-01-01",
        "1e3",
        "no",
        "on",
        ".inf",
        "=",
        "<<",
    ],
)
def test_plain_values_are_as_they_were_written(path, text):
    """What other readers would turn into numbers, dates and truths stays the text that was meant."""
    path.write_text(
        f"command: true\nenv:\n  A: {text}\nname: x\n".replace("command: true", "command: 'true'")
    )

    assert {"A": text} == read_task_file(path).env


def test_every_problem_has_its_line(path):
    """All problems come at once, each under file, line and field."""
    problems = problems_of(
        path,
        "command: python train.py\ninstance_type: 8xa10O\nenv:\n  OK: 1\n  DEBUG: true\nenviroment: 1\n"
        "mounts:\n  - volume://a:/a\n  - source: x\n    path: 3\n  - oops\nafter: [a, aftrok:b]\nname: 'a b'\n",
    )

    assert {
        "task.yaml:2: instance_type",
        "task.yaml:5: env.DEBUG",
        "task.yaml:6: enviroment",
        "task.yaml:11: mounts[2]",
        "task.yaml:12: after[1]",
        "task.yaml:13: name",
    } == set(problems)
    assert "nearest is '8xa100'" in problems["task.yaml:2: instance_type"]


def test_a_mount_whose_source_is_none_has_its_line(path):
    """A problem that is found later, by the task's own rules, has the line of its field."""
    assert {"task.yaml:2: mounts"} == set(
        problems_of(path, "command: x\nmounts:\n  a: volume://b\n")
    )
    assert {"task.yaml: command"} == set(problems_of(path, "name: x\n"))


def test_a_key_given_twice_is_refused(path):
    """The second of two equal keys is told with both lines, at any depth."""
    problems = problems_of(path, "command: a\nenv:\n  A: 1\n  A: 2\ncommand: b\n")

    assert {
        "task.yaml:4: env.A": "is set on line 3 already; keep one of them",
        "task.yaml:5: command": "is set on line 1 already; keep one of them",
    } == problems


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("command: [a\n", "task.yaml:2:1", "expected"),
        ("a: b: c\n", "task.yaml:1:5", "not allowed"),
        ("\tcommand: x\n", "task.yaml:1:1", "cannot start"),
        ("command: a\n---\ncommand: b\n", "task.yaml:2:1", "another document"),
        ("command: *x\n", "task.yaml:1:10", "undefined alias"),
        ("- command\n", "task.yaml", "holds no mapping"),
        ("just text\n", "task.yaml", "holds no mapping"),
        ("command: a\x07b\n", "task.yaml:1", "a character that YAML can't"),
        ("? [a]\n: b\ncommand: x\n", "task.yaml:1", "a key must be a plain text"),
        ("command: !python x\n", "task.yaml:1: command", "has the tag '!python'"),
        ("command: &a [*a]\n", "task.yaml:1", "refers to itself"),
        ("", "task.yaml: command", "is missing"),
        ("# nothing\n", "task.yaml: command", "is missing"),
        ("[\n" * 1500, "task.yaml", "nested too deeply"),
    ],
)
def test_what_is_no_task_is_told_with_its_place(path, text, place, words):
    """Broken YAML, and YAML that is something else, name the line, and the column where there is one."""
    problems = problems_of(path, text)

    assert words in problems[place]


def test_aliases_may_be_used_with_measure(path):
    """A value may be referred to; a file that unfolds to more than any task is refused in no time."""
    path.write_text("command: &c echo\nname: *c\n")
    assert "echo" == read_task_file(path).name
    layers = "".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]\n" for n in range(1, 9))

    assert any(
        "far too much" in text for text in problems_of(path, "k0: &k0 [x]\n" + layers).values()
    )


def test_bytes_that_are_no_text_tell_their_line(path):
    """A file in another encoding is refused with the line that shows it; a byte order mark is not minded."""
    path.write_bytes(b"command: x\nname: caf\xe9\n")
    with pytest.raises(InvalidRequest, match=r"task.yaml:2: .*UTF-8"):
        read_task_file(path)
    path.write_bytes(b"\xef\xbb\xbfcommand: x\n")

    assert "x" == read_task_file(path).command


def test_a_missing_file_names_its_neighbour(path):
    """A misspelt file leads to the nearest; a folder is none."""
    path.write_text("command: x\n")
    with pytest.raises(InvalidRequest, match=r"nearest is '.*task.yaml'"):
        read_task_file(path.with_name("taks.yaml"))
    with pytest.raises(InvalidRequest, match=r"there is no such file$"):
        read_task_file(path.parent / "no" / "x.yaml")
    with pytest.raises(InvalidRequest, match="can't be read"):
        read_task_file(path.parent)


@given(st.text(max_size=60) | st.text("[]{}:,&*!|>-'\"%@`#? \nab~", max_size=40))
def test_whatever_a_file_holds_is_read_or_refused(tmp_path_factory, text):
    """No text gets past reading with anything but a task or a list of problems."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, "utf-8")
    problems = {}
    try:
        read_task_file(path)
    except InvalidRequest as error:
        problems = error.problems

    assert problems or "command" in text
