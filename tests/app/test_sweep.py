"""Sweeps: a task for every combination, so many at once, and a table of what came of them."""

from __future__ import annotations

import json

import pytest

from flow_cli.app import main
from flow_core.domain.sweep import command_for, parse_points, task_name
from flow_core.errors import InvalidRequest


def test_parameters_make_all_combinations():
    """Ranges count both ends, and the last parameter moves fastest."""
    points = [str(each) for each in parse_points(["lr=0.1,0.2", "seed=0..2"])]

    assert 6 == len(points)
    assert ["lr=0.1,seed=0", "lr=0.1,seed=1"] == points[:2]
    assert ["n=2", "n=1"] == [str(each) for each in parse_points(["n=2..1"])]


@pytest.mark.parametrize(
    "words", [["a=1", "a=2"], ["a=1,1"], ["a=1,,2"], ["a=0..9999"], ["a=0..99", "b=0..99"]]
)
def test_odd_parameters_are_refused(words):
    """Twice the same, nothing at all, and too many are no sweep."""
    with pytest.raises(InvalidRequest):
        parse_points(words)


def test_values_go_where_the_command_has_them():
    """Braces are filled in; without any, options are appended, and a Python file runs with python."""
    point = parse_points(["lr=0.1"])[0]

    assert ["python", "train.py", "--lr", "0.1"] == command_for(["train.py"], point)
    assert ["run", "x=0.1"] == command_for(["run", "x={lr}"], point)
    assert "s/lr=0.1" == task_name("s", point)
    with pytest.raises(InvalidRequest):
        task_name("s" * 63, point)


@pytest.mark.slow
def test_a_sweep_runs_and_shows_its_table(on_processes, tmp_path, capfd):
    """The table has each combination's state, exit code and cost; `flow logs` finds a task by them."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "s.py").write_text(
        "import sys; print(sys.argv[1:]); sys.exit(2 if '-1' in sys.argv else 0)", "utf-8"
    )
    words = ["sweep", "s.py", "lr=-1,2", "-i", "a100", "--concurrency", "2", "--name", "sw"]

    assert 1 == main([*words, "--code", str(folder)])
    capfd.readouterr()
    assert 1 == main(["sweep", "sw", "--json"])
    found = json.loads(capfd.readouterr().out)
    assert {"-1": 2, "2": 0} == {
        each["parameters"]["lr"]: each["exit_code"] for each in found["tasks"]
    }
    costs = {each["name"]: each["cost"] for each in found["tasks"]}
    assert 0 == main(["status", "sw/lr=2", "--json"])
    assert costs["sw/lr=2"] == json.loads(capfd.readouterr().out)["task"]["cost"] > 0
    assert 0 == main(["logs", "sw/lr=2"])
    assert "['--lr', '2']" in capfd.readouterr().out
