"""What all commands are made of: options that every one has, help in two parts, and a word on a near miss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from flow_cli.invocation import Invocation

#: The options that every command has; the help shows them apart.
EVERYWHERE = frozenset({"--json", "--provider", "--verbose", "--no-color", "--help"})

_F = TypeVar("_F", bound=Callable[..., Any])


class FlowCommand(click.Command):
    """A command that takes what all commands take, and shows its own options first."""

    def __init__(
        self,
        *args: Any,
        passes_on: Callable[[list[str]], bool] | None = None,
        takes_words: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        #: Whether the exit code is the user's own command's, given the words after the command's name.
        self.passes_on = passes_on
        #: Whether it takes a command of the user's, whose options are not ours.
        self.takes_words = takes_words
        self.params = [*self.params, *everywhere()]

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Note, before anything is parsed, whose exit code this call will have."""
        invocation = parent.find_object(Invocation) if parent is not None else None
        if invocation is not None and self.passes_on is not None:
            invocation.passes_on = self.passes_on(args)
        return super().make_context(info_name, args, parent, **extra)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then those that every command has."""
        own: list[tuple[str, str]] = []
        shared: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and not isinstance(param, click.Argument):
                (shared if is_everywhere(param) else own).append(record)
        for title, records in (("Options", own), ("As everywhere", shared)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class FlowSubgroup(click.Group):
    """A group of commands that are kin, such as `flow volume …`."""

    command_class = FlowCommand

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which is nearest."""
        if (
            not ctx.resilient_parsing
            and args
            and not args[0].startswith("-")
            and self.get_command(ctx, args[0]) is None
        ):
            raise no_such_command(args[0], self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)


def no_such_command(name: str, known: list[str], ctx: click.Context) -> click.UsageError:
    """Return an error that names the nearest command."""
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), known, 1, 0.5)
    advice = (
        f"nearest is {ctx.command_path + ' ' + near[0]!r}"
        if near
        else f"`{ctx.command_path} --help` lists what there is"
    )
    return click.UsageError(f"{name!r} is no command of {ctx.command_path!r}; {advice}", ctx=ctx)


def everywhere() -> list[click.Parameter]:
    """Return the options that every command has; they may also stand before the command."""
    return [
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_set_json,
            help="Write JSON documents to stdout.",
        ),
        click.Option(
            ["--provider"],
            metavar="NAME",
            expose_value=False,
            is_eager=True,
            callback=_set_provider,
            help="Which cloud to ask, instead of the configured one.",
        ),
        click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            is_eager=True,
            callback=_set_verbosity,
            help="Tell on stderr what is done; twice tells more.",
        ),
        click.Option(
            ["--no-color", "no_color"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_set_no_color,
            help="No colours; NO_COLOR does the same.",
        ),
    ]


def is_everywhere(param: click.Parameter) -> bool:
    """Whether every command has this option."""
    return not EVERYWHERE.isdisjoint(param.opts)


def yes_option(what: str) -> Callable[[_F], _F]:
    """Return the option that agrees beforehand."""
    return click.option("-y", "--yes", is_flag=True, help=f"{what} without asking.")


def _set_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    invocation = ctx.find_object(Invocation)
    if value and invocation is not None:
        invocation.json = True


def _set_provider(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    invocation = ctx.find_object(Invocation)
    if value is not None and invocation is not None:
        invocation.provider = value


def _set_verbosity(ctx: click.Context, param: click.Parameter, value: int) -> None:
    invocation = ctx.find_object(Invocation)
    if value and invocation is not None:
        from flow_cli.failing import speak_up

        invocation.verbosity += value
        speak_up(invocation.verbosity)


def _set_no_color(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    invocation = ctx.find_object(Invocation)
    if value and invocation is not None:
        invocation.no_color = True
