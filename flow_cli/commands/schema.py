"""`flow schema`: the command line described for programs."""

from __future__ import annotations

import inspect
from typing import Any

import click

from flow_cli import exit_codes
from flow_cli.command import FlowCommand, is_everywhere
from flow_cli.documents import DOCUMENTS
from flow_cli.invocation import Invocation, pass_invocation
from flow_core.errors import FlowError, kinds


@click.command(cls=FlowCommand)
@pass_invocation
def schema(invocation: Invocation) -> None:
    """Describe commands, options, exit codes, error kinds and JSON documents, as one JSON document."""
    ctx = click.get_current_context().find_root()
    payload = {
        "commands": described_commands(ctx.command, ctx),
        "everywhere": [_option(param, ctx) for param in ctx.command.params if is_everywhere(param)],
        "exit_codes": [
            {"code": code, "kind": kind, "meaning": meaning} for code, kind, meaning in exit_table()
        ],
        "errors": [
            {"kind": kind, "exit_code": code, "meaning": meaning}
            for code, kind, meaning in exit_table()
            if kind
        ],
        "documents": [{"kind": kind, "meaning": meaning} for kind, meaning in DOCUMENTS.items()],
    }
    invocation.out.document("schema", payload)


def described_commands(group: click.Command, ctx: click.Context) -> list[dict[str, Any]]:
    """Return every command below `group`, by its full name; a plug-in that can't be loaded says so."""
    if not isinstance(group, click.Group):
        return []
    found: list[dict[str, Any]] = []
    for name in group.list_commands(ctx):
        try:
            command = group.get_command(ctx, name)
        except FlowError as broken:
            found.append({"name": f"{ctx.command_path} {name}", "broken": broken.message})
            continue
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=ctx)
        if isinstance(command, click.Group):
            own = [_command(command, inner)] if command.invoke_without_command else []
            found += own + described_commands(command, inner)
        else:
            found.append(_command(command, inner))
    return found


def exit_table() -> list[tuple[int, str | None, str]]:
    """Return exit codes with the kind each belongs to, if one, and what it means; by number."""
    rows: list[tuple[int, str | None, str]] = [
        (code, None, meaning) for code, meaning in exit_codes.SPECIAL.items()
    ]
    rows += [(code, kind, meaning) for kind, (code, meaning) in exit_codes.OWN_KINDS.items()]
    for kind, error in kinds().items():
        rows.append(
            (exit_codes.exit_code(kind), kind, (error.__doc__ or "").strip().partition("\n")[0])
        )
    return sorted(rows, key=lambda row: (row[0], row[1] or ""))


def _command(command: click.Command, ctx: click.Context) -> dict[str, Any]:
    return {
        "name": ctx.command_path,
        "help": inspect.cleandoc(command.help or "").partition("\b")[0].strip(),
        "examples": [
            line.strip()
            for line in (command.help or "").partition("\b")[2].splitlines()
            if line.strip()
        ],
        "arguments": [
            _argument(param) for param in command.params if isinstance(param, click.Argument)
        ],
        "options": [
            _option(param, ctx)
            for param in command.params
            if not isinstance(param, click.Argument) and not is_everywhere(param)
        ],
        "passes_on_exit_code": getattr(command, "passes_on", None) is not None,
    }


def _argument(param: click.Parameter) -> dict[str, Any]:
    return {
        "name": param.name,
        "metavar": param.metavar or (param.name or "").upper(),
        "required": param.required,
        "multiple": param.nargs == -1,
        "choices": _choices(param),
    }


def _option(param: click.Parameter, ctx: click.Context) -> dict[str, Any]:
    assert isinstance(param, click.Option)
    return {
        "name": param.name,
        "flags": [*param.opts, *param.secondary_opts],
        "takes_value": not (param.is_flag or param.count),
        "required": param.required,
        "multiple": param.multiple,
        "choices": _choices(param),
        "metavar": param.metavar,
        "help": param.help,
    }


def _choices(param: click.Parameter) -> list[str] | None:
    return (
        [str(choice) for choice in param.type.choices]
        if isinstance(param.type, click.Choice)
        else None
    )
