"""`flow`: a table of commands, each imported when it is called, and the one place where a failure becomes an exit code.

`flow --help` must cost little more than `import click`, so the table holds names and one-line helps, and nothing here
imports what a command needs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from flow_cli.command import everywhere, no_such_command
from flow_cli.invocation import Invocation

#: section -> command -> (where it is, its line in the help).
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Tasks": {
        "submit": (
            "flow_cli.commands.submit:submit",
            "Run a command on the cheapest GPUs that fit, and stream its log.",
        ),
        "sweep": (
            "flow_cli.commands.sweep:sweep",
            "Run a command for every combination of parameters; show a sweep's table.",
        ),
        "status": (
            "flow_cli.commands.status:status",
            "Show what runs, what waits and why, or one task in detail.",
        ),
        "logs": ("flow_cli.commands.logs:logs", "Print a task's log; -f follows it."),
        "cancel": ("flow_cli.commands.cancel:cancel", "End tasks, and their cost."),
        "ssh": (
            "flow_cli.commands.ssh:ssh",
            "Open a shell on a task's node, or run a command on all of them.",
        ),
        "cp": ("flow_cli.commands.cp:cp", "Copy files to a task's nodes, or from them."),
        "port": (
            "flow_cli.commands.port:port",
            "Have a port of this machine lead to one on a task's node.",
        ),
        "jupyter": (
            "flow_cli.commands.jupyter:jupyter",
            "Open JupyterLab on a task's node in this machine's browser.",
        ),
        "upload": (
            "flow_cli.commands.upload:upload",
            "Bring the code as it is now to a task's nodes.",
        ),
        "dev": (
            "flow_cli.commands.dev:dev",
            "Work on a machine that stays: bring what changed, run, come back.",
        ),
        "ssh-config": (
            "flow_cli.commands.ssh_config:ssh_config",
            "Have ssh, scp, rsync and editors find nodes by their task's name.",
        ),
    },
    "Instances and volumes": {
        "instance": (
            "flow_cli.commands.instance:instance",
            "Hold machines without a command: create, list, delete.",
        ),
        "reservation": (
            "flow_cli.commands.reservation:reservation",
            "Instances for a fixed time: quote, create, list, extend, pause.",
        ),
        "reconcile": (
            "flow_cli.commands.reconcile:reconcile",
            "List bids that this machine didn't place; adopt or withdraw those you name.",
        ),
        "volume": (
            "flow_cli.commands.volume:volume",
            "Storage that outlives tasks: create, list, attach, delete.",
        ),
        "price": (
            "flow_cli.commands.price:price",
            "List what is on offer, where, and for how much.",
        ),
    },
    "Settings": {
        "setup": (
            "flow_cli.commands.setup:setup",
            "Choose a provider and tell it what it needs; --check says how it stands.",
        ),
        "doctor": (
            "flow_cli.commands.doctor:doctor",
            "Check all that Flow relies on, and what costs money unseen.",
        ),
        "project": (
            "flow_cli.commands.project:project",
            "List projects, or choose the one that tasks belong to.",
        ),
        "cost": (
            "flow_cli.commands.cost:cost",
            "Add up what was spent, by task and owner.",
        ),
        "quota": (
            "flow_cli.commands.quota:quota",
            "List how much of what the project may hold.",
        ),
        "ssh-key": (
            "flow_cli.commands.ssh_key:ssh_key",
            "The SSH keys that open nodes: list, add, delete.",
        ),
        "image": (
            "flow_cli.commands.image:image",
            "List the systems that nodes can boot.",
        ),
        "script": (
            "flow_cli.commands.script:script",
            "Lifecycle scripts that the provider keeps: list, show, add, delete.",
        ),
        "config": (
            "flow_cli.commands.config:config",
            "Show settings with where each comes from, or set one.",
        ),
        "provider": (
            "flow_cli.commands.provider:provider",
            "List the clouds that can be asked, and what each offers.",
        ),
    },
    "For shells and programs": {
        "slurm": (
            "flow_cli.commands.slurm:slurm",
            "Show what becomes of a Slurm batch script; `flow submit job.slurm` runs it.",
        ),
        "completion": (
            "flow_cli.commands.completion:completion",
            "Print the completion script for bash, zsh or fish.",
        ),
        "schema": (
            "flow_cli.commands.schema:schema",
            "Describe commands, options, exit and error codes for programs.",
        ),
    },
}
PLUGIN_SECTION = "From plug-ins"
PROGRAM = "flow"

_LEAD = """Run work on GPUs at the market's price.

Try it without an account: flow --provider mock submit "nvidia-smi" -i 8xh100
"""


class FlowGroup(click.Group):
    """The root: knows every command's name, imports one when it is called."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            name=PROGRAM, help=_LEAD, params=[*everywhere(), _version_option()], invoke_without_command=True,
            no_args_is_help=False, callback=_root, subcommand_metavar="COMMAND …", **kwargs,
        )  # fmt: skip

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name, plug-ins last."""
        from flow_cli.plugins import plugins

        own = list(_table())
        return own + [name for name in plugins() if name not in own]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, ours before a plug-in's; None when there is none of that name."""
        if cmd_name in _table():
            module, _, attribute = _table()[cmd_name][0].partition(":")
            found: click.Command = getattr(import_module(module), attribute)
            return found
        from flow_cli.plugins import plugins

        plugin = plugins().get(cmd_name)
        return plugin.load() if plugin is not None else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which is nearest."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing and not name.startswith("-"):
            raise no_such_command(name, self.list_commands(ctx), ctx)
        return (name if command is not None else None), command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, without importing one."""
        from flow_cli.plugins import plugins

        sections = {
            title: [(name, line) for name, (_, line) in group.items()]
            for title, group in COMMANDS.items()
        }
        own = _table()
        sections[PLUGIN_SECTION] = [
            (name, plugin.summary) for name, plugin in plugins().items() if name not in own
        ]
        for title, lines in sections.items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines, col_max=14)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run one call of `flow`; exits the process, or returns the exit code outside of standalone mode."""
        invocation = extra.get("obj") or Invocation()
        extra["obj"] = invocation
        words = list(sys.argv[1:] if args is None else args)
        self._main_shell_completion({"obj": invocation}, PROGRAM, complete_var)
        code = self._run(words, invocation, extra)
        if standalone_mode:
            sys.exit(code)
        return code

    def _run(self, words: list[str], invocation: Invocation, extra: dict[str, Any]) -> int:
        if "--json" in (words[: words.index("--")] if "--" in words else words):
            invocation.json = (
                True  # known before parsing, so that even a word out of place is told as JSON
            )
        try:
            with self.make_context(PROGRAM, words, **extra) as ctx:
                answer = self.invoke(ctx)
            return answer if isinstance(answer, int) else 0
        except click.exceptions.Exit as end:
            return end.exit_code
        except BaseException as failure:  # noqa: BLE001  (the one place that turns any of them into an exit code)
            from flow_cli.failing import told

            return told(failure, invocation)


def main(args: Sequence[str] | None = None) -> int:
    """Run `flow` with `args`, or those of the process, and return its exit code."""
    answer: int = cli.main(args=args, prog_name=PROGRAM, standalone_mode=False)
    return answer


def _table() -> dict[str, tuple[str, str]]:
    return {name: entry for group in COMMANDS.values() for name, entry in group.items()}


def _root() -> None:
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _version_option() -> click.Option:
    return click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_print_version,
        help="Say which version this is.",
    )


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    found = version("flow-compute")
    invocation = ctx.find_object(Invocation)
    if invocation is not None and invocation.json:
        invocation.out.document("version", {"flow": found})
    else:
        click.echo(f"flow {found}")
    ctx.exit()


cli = FlowGroup()
