"""The reference pages that are made from the command line itself: `python -m flow_cli.reference docs/reference`.

A test compares what is in the tree with what this writes, so that the pages can't drift.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from flow_cli.app import COMMANDS, PROGRAM, cli
from flow_cli.command import is_everywhere
from flow_cli.commands.schema import described_commands, exit_table

_MADE = "<!-- Made by `python -m flow_cli.reference docs/reference`; change the command line instead. -->\n"


def pages() -> dict[str, str]:
    """Return each page by its file name."""
    return {"commands.md": commands_page(), "exit-codes.md": exit_codes_page()}


def commands_page() -> str:
    """Return every command of ours with its help, arguments and options; plug-ins bring their own pages."""
    ctx = click.Context(cli, info_name=PROGRAM)
    described = {each["name"]: each for each in described_commands(cli, ctx)}
    lines = [
        "# Commands",
        "",
        _MADE,
        "`flow COMMAND --help` says the same in the terminal, and `flow schema` says it to programs.",
        "",
        "stdout is data, stderr is talk: `name=$(flow submit … --detach)` gets the name and nothing else. Without a",
        "terminal both are plain lines without escape codes. [Exit codes](exit-codes.md) and [JSON documents](json.md)",
        "have pages of their own.",
        "",
        "## On every command",
        "",
        *_options([_option(param) for param in cli.params if is_everywhere(param)]),
        "",
        "These may also stand before the command: `flow --provider NAME status`.",
    ]
    for title, group in COMMANDS.items():
        lines += ["", f"## {title}"]
        for name in group:
            for full, command in described.items():
                if full.split()[1] == name:
                    lines += _command(command)
    return "\n".join(lines) + "\n"


def exit_codes_page() -> str:
    """Return the table of exit codes."""
    lines = [
        "# Exit codes",
        "",
        _MADE,
        "One table for all commands. `flow submit` while attached and `flow ssh TASK` pass on the exit code of your",
        "own command; Flow's own failures are then 125, and their kind stands at the end of the first line on stderr",
        "and in the `error` document of `--json`. Of several nodes the first failure's code counts.",
        "",
        "| Code | Kind | Meaning |",
        "|---:|---|---|",
    ]
    for code, kind, meaning in exit_table():
        shown = "128+n" if code == 128 else str(code)
        lines.append(f"| {shown} | {f'`{kind}`' if kind else ''} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the pages into the folder that the first argument names."""
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text, "utf-8")


def _command(command: dict[str, Any]) -> list[str]:
    words = [command["name"], *(_usage(each) for each in command["arguments"])]
    lines = ["", f"### `{command['name']}`", "", "```", " ".join([*words, "[OPTIONS]"]), "```", ""]
    lines.append("\n\n".join(" ".join(part.split()) for part in command["help"].split("\n\n")))
    if command["examples"]:
        lines += ["", "```sh", *command["examples"], "```"]
    if command["options"]:
        lines += ["", *_options(command["options"])]
    return lines


def _usage(argument: dict[str, Any]) -> str:
    shown = str(argument["metavar"])
    return shown if argument["required"] or "[" in shown else f"[{shown}]"


def _options(options: list[dict[str, Any]]) -> list[str]:
    lines = ["| Option | What it does |", "|---|---|"]
    for each in options:
        value = (
            ""
            if not each["takes_value"]
            else " " + ("|".join(each["choices"] or []) or each["metavar"] or "TEXT")
        )
        flags = ", ".join(f"`{flag}{value}`".replace("|", "\\|") for flag in each["flags"])
        lines.append(
            f"| {flags} | {_cell(each['help'] or '')}{' Required.' if each['required'] else ''} |"
        )
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _option(param: click.Parameter) -> dict[str, Any]:
    assert isinstance(param, click.Option)
    return {
        "flags": list(param.opts), "takes_value": not (param.is_flag or param.count), "metavar": param.metavar,
        "choices": None, "help": param.help, "required": False,
    }  # fmt: skip


if __name__ == "__main__":
    main()
