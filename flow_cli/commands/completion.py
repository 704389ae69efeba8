"""`flow completion`: what makes a shell complete our commands, options and names."""

from __future__ import annotations

import click

from flow_cli.command import FlowCommand
from flow_cli.invocation import Invocation, pass_invocation

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_FLOW_COMPLETE"


@click.command(cls=FlowCommand)
@click.argument("shell", type=click.Choice(SHELLS))
@pass_invocation
def completion(invocation: Invocation, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
      bash   eval "$(flow completion bash)"                        in ~/.bashrc
      zsh    eval "$(flow completion zsh)"                         in ~/.zshrc
      fish   flow completion fish > ~/.config/fish/completions/flow.fish

    Names of tasks and volumes come from this machine's own files, so nothing is asked over the network.
    """
    from click.shell_completion import ShellComplete, get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"the installed click completes no {shell}")
    root = click.get_current_context().find_root()
    # Bash's own class would first start a bash to ask its version; the script says so itself where it is too old.
    script = ShellComplete.source(found(root.command, {}, "flow", _VARIABLE))
    if invocation.json:
        invocation.out.document("completion", {"shell": shell, "script": script})
    else:
        invocation.out.line(script.rstrip("\n"))
