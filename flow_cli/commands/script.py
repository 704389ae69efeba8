"""`flow script`: lifecycle scripts that a provider keeps."""

from __future__ import annotations

from pathlib import Path

import click

from flow_cli.command import FlowSubgroup, yes_option
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.kept import script_json, script_table
from flow_core.errors import FlowError, InvalidRequest
from flow_core.services.kept import Kept


@click.group(cls=FlowSubgroup)
def script() -> None:
    """Lifecycle scripts that the provider keeps: list, show, add, delete.

    They are notes for people and other tools: tasks bring their own commands, and Flow runs none of these.
    """


@script.command("list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List scripts, the one that changed last first."""
    session = invocation.session()
    scripts = Kept(session.provider).scripts()
    if invocation.json:
        invocation.out.document("script-list", {"scripts": script_json(scripts)})
    else:
        invocation.out.show(script_table(scripts, session.provider.clock.now()))


@script.command()
@click.argument("name")
@pass_invocation
def show(invocation: Invocation, name: str) -> None:
    """Print what the script NAME, a name or an id, says."""
    kept = Kept(invocation.session().provider)
    found = kept.script(name)
    text = kept.text(found)
    if invocation.json:
        told = [{**each, "text": text} for each in script_json([found])]
        invocation.out.document("script-list", {"scripts": told})
    else:
        invocation.out.line(text.rstrip("\n"))


@script.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", help="What it is called.  [default: the file's name]")
@click.option("--description", default="", help="A line on what it is for.")
@pass_invocation
def add(invocation: Invocation, path: Path, name: str | None, description: str) -> None:
    """Have the provider keep the script in the file PATH for the project; all its members can read it."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest({"PATH": f"{path} can't be read: {error}"}) from error
    added = Kept(invocation.session().provider).add(
        name or path.name, text=text, description=description
    )
    if invocation.json:
        invocation.out.document("script-list", {"scripts": script_json([added])})
        return
    invocation.talk.say(f"✓ {added.name} is kept as {added.id}", "green")
    invocation.out.line(added.id)


@script.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@yes_option("Delete")
@pass_invocation
def delete(invocation: Invocation, names: tuple[str, ...], yes: bool) -> None:
    """Have the provider forget each script, named by its name or id."""
    kept = Kept(invocation.session().provider)
    found = [kept.script(name) for name in names]
    words = ", ".join(each.name for each in found)
    if not yes:
        unasked = f"{words} can't be deleted unasked, and there is no terminal to ask on"
        if not invocation.talk.ask(f"Delete {words} at the provider?", unasked=unasked):
            raise FlowError("not confirmed; nothing was deleted")
    for each in found:
        kept.delete(each)
        invocation.talk.say(f"✓ {each.name} is deleted", "green")
    if invocation.json:
        invocation.out.document("script-list", {"scripts": script_json(found)})
