"""The front door: help, near misses, plug-ins, completion, `flow schema`, and what the pages say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from flow_cli.app import COMMANDS, cli
from flow_cli.plugins import GROUP, Plugin, plugins
from flow_cli.reference import pages
from flow_core.errors import Misconfigured

PAGES = Path(__file__).parents[2] / "docs" / "reference"


def test_help_names_every_command_with_its_line(flow):
    """`flow --help` shows all of ours under their sections."""
    text = flow("--help").out

    assert all(title in text for title in COMMANDS)
    assert all(f"  {name} " in text for group in COMMANDS.values() for name in group)


def test_flow_alone_is_help(flow):
    """Without a command the help is shown, and that is no failure."""
    answer = flow()

    assert (0, flow("--help").out) == (answer.code, answer.out)


@pytest.mark.parametrize("name", [name for group in COMMANDS.values() for name in group])
def test_a_commands_line_is_no_stranger_to_its_help(name):
    """The table's module and attribute lead to a command of that name."""
    command = cli.get_command(click.Context(cli, info_name="flow"), name)

    assert command is not None
    assert name == command.name


@pytest.mark.parametrize(
    "words, near",
    [
        (["stats"], "'flow status'"),
        (["volume", "ls"], "'flow volume list'"),
        (["instance", "crate"], "'flow instance create'"),
    ],
)
def test_a_near_miss_names_the_command_that_was_meant(flow, words, near):
    """An unknown command is a usage error that names the nearest."""
    answer = flow(*words)

    assert 2 == answer.code
    assert near in answer.err


def test_a_usage_error_is_json_where_json_was_asked_for(flow):
    """Even a word out of place comes as a document."""
    answer = flow("status", "--jason", "--json")

    assert ("error", "usage") == (answer.document["kind"], answer.document["error"]["kind"])


def test_global_options_stand_before_or_after(flow, session):
    """`--provider` reaches the composition root from either side of the command."""
    asked = []

    def connect(provider, environ):
        asked.append(provider)
        return session

    flow("--provider", "here", "status", connect=connect)
    flow("status", "--provider", "there", connect=connect)

    assert ["here", "there"] == asked


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder on the path with a distribution that brings commands: a good one, and one whose module raises."""
    info = tmp_path / "extra-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(
        f"[console_scripts]\nx = y:z\n\n[{GROUP}]\nhello = extra_commands:hello\nbroken = broken_commands:nothing\n"
    )
    (tmp_path / "extra_commands.py").write_text(
        '"""Say hello.\n\nMore."""\nimport click\n\n\n@click.command()\ndef hello():\n    click.echo("hello")\n'
    )
    (tmp_path / "broken_commands.py").write_text("raise RuntimeError('no')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_plugins_are_found_without_being_imported(installed):
    """Their names and first lines come from files; nothing of theirs runs."""
    found = plugins([str(installed)])

    assert {"hello", "broken"} == set(found)
    assert "Say hello" == found["hello"].summary
    assert "extra_commands" not in sys.modules


def test_a_plugins_command_runs_like_ours(flow, installed):
    """It shows in the help and is called by its name."""
    assert "hello" in flow("--help").out
    assert (0, "hello\n") == (flow("hello").code, flow("hello").out)


def test_a_broken_plugin_is_listed_and_says_what_is_wrong(flow, installed):
    """Help works, other commands work, and calling it names the trouble."""
    answer = flow("broken")

    assert "broken" in flow("--help").out
    assert 3 == answer.code
    assert "RuntimeError: no" in answer.err


def test_what_is_no_command_is_refused():
    """An entry point must lead to a click command."""
    with pytest.raises(Misconfigured, match="not a click command"):
        Plugin("odd", "json:dumps").load()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(flow, shell):
    """The script asks `flow` itself by a variable of its own."""
    answer = flow("completion", shell)

    assert 0 == answer.code
    assert "_FLOW_COMPLETE" in answer.out


def complete(words: str, state: Path) -> list[str]:
    """What bash would offer after `words`, from a process of its own."""
    environ = {
        **os.environ, "_FLOW_COMPLETE": "bash_complete", "COMP_WORDS": words, "FLOW_STATE_DIR": str(state),
        "COMP_CWORD": str(len(words.split()) - (0 if words.endswith(" ") else 1)),
    }  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-c", "from flow_cli.app import main; main()"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == run.stderr
    return [line.partition(",")[2] for line in run.stdout.splitlines() if line]


def test_the_shell_offers_commands_options_and_shapes(tmp_path):
    """Completion knows what may come next."""
    assert "status" in complete("flow sta", tmp_path)
    assert "--detach" in complete("flow submit --det", tmp_path)
    assert "8xh100" in complete("flow submit -i 8xh", tmp_path)


def test_completion_makes_nothing(tmp_path):
    """Asking for names on a fresh machine offers none and leaves no folder behind."""
    assert [] == complete("flow logs ", tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_the_shell_offers_volumes_seen(flow, tmp_path):
    """Volumes that were made or listed here complete `flow volume delete`."""
    flow("volume", "create", "-s", "10", "--name", "data")

    assert ["data"] == complete("flow volume delete ", tmp_path / "state")


def test_schema_describes_every_command(flow):
    """The document holds each command with its options, and every kind of error with its exit code."""
    document = flow("schema").document
    names = {each["name"] for each in document["commands"]}

    assert {"flow submit", "flow instance create", "flow volume list", "flow config set"} <= names
    assert {"no-capacity": 7, "usage": 2}.items() <= {
        each["kind"]: each["exit_code"] for each in document["errors"]
    }.items()


@pytest.mark.parametrize("name", ["commands.md", "exit-codes.md"])
def test_a_made_page_is_up_to_date(name):
    """The page in the tree is what `python -m flow_cli.reference docs/reference` writes."""
    assert pages()[name] == (PAGES / name).read_text("utf-8")


def test_every_kind_of_document_has_its_place_in_the_reference(flow):
    """json.md has a heading for each kind that `flow schema` lists."""
    headings = [
        line
        for line in (PAGES / "json.md").read_text("utf-8").splitlines()
        if line.startswith("## ")
    ]
    kinds = [each["kind"] for each in flow("schema").document["documents"]]

    assert [] == [kind for kind in kinds if not any(f"`{kind}`" in line for line in headings)]


def test_every_key_of_a_task_is_in_the_reference(flow):
    """json.md names each key that a task's document has."""
    flow("submit", "true", "-i", "8xh100", "--name", "t")
    page = (PAGES / "json.md").read_text("utf-8")
    (listed,) = flow("status", "--json").document["tasks"]
    detail = json.loads(flow("status", "t", "--json").out)["task"]

    assert [] == [key for key in {*listed, *detail} if f"`{key}`" not in page]
