"""`flow ssh-key`: the keys that open nodes."""

from __future__ import annotations

from collections.abc import Sequence

import click

from flow_adapters.key_files import KeyPair, expanded, key_pairs, make_pair, read_pair
from flow_adapters.places import shown
from flow_adapters.wiring import load_settings
from flow_cli.command import FlowSubgroup, yes_option
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.setup_keys import comment, new_path
from flow_cli.show.accounts import key_json, key_table
from flow_core.domain.keys import SshKey, is_same_key
from flow_core.domain.settings import Settings
from flow_core.errors import FlowError
from flow_core.services.accounts import Accounts


@click.group(cls=FlowSubgroup, name="ssh-key")
def ssh_key() -> None:
    """The SSH keys that open nodes: list, add, delete.

    The provider knows public halves. Private halves stay on this machine.
    """


@ssh_key.command("list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the keys that the provider knows, and where their private halves lie here."""
    session = invocation.session()
    keys = Accounts(session.provider).keys()
    settings = load_settings(environ=invocation.environ)
    here = _here(invocation, settings, keys)
    if invocation.json:
        invocation.out.document("ssh-key-list", {"keys": [key_json(key, here) for key in keys]})
        return
    chosen = settings.entries.get(f"{session.provider.name}.ssh_key")
    names = [] if chosen is None else [each.strip() for each in str(chosen.value).split(",")]
    carried = {key.id for key in keys if key.required or key.name in names or key.id in names}
    invocation.out.show(key_table(keys, here, carried, session.provider.clock.now()))


@ssh_key.command()
@click.argument("path", required=False)
@click.option(
    "--generate", is_flag=True, help="Make a new pair on this machine and add its public half."
)
@click.option("--name", help="What the provider calls it.  [default: the key's own comment]")
@click.option(
    "--to",
    "target",
    metavar="FILE",
    help="Where the new private key goes.  [default: ~/.ssh/flow_ed25519, or ~/.ssh/NAME]",
)
@pass_invocation
def add(
    invocation: Invocation, path: str | None, generate: bool, name: str | None, target: str | None
) -> None:
    """Have the provider know the public key in the file PATH, such as ~/.ssh/id_ed25519.pub.

    Nodes take the keys that they were bid with: a new one opens those of later bids.
    """
    if (path is None) is not generate or (target is not None and not generate):
        raise click.UsageError(
            "name the file of a public key, or say --generate, to which --to belongs"
        )
    accounts = Accounts(invocation.session().provider)
    accounts.keys()  # whether the provider keeps keys at all, before one is made
    if path is not None:
        pair = read_pair(expanded(path, invocation.environ))
    else:
        pair = _made(invocation, name, target)
    added, is_new = accounts.add_key(pair.public_key, name=name)
    place = shown(pair.private, invocation.environ)
    if invocation.json:
        here = {added.key.id: place} if pair.is_here else {}
        invocation.out.document("ssh-key", {"key": key_json(added.key, here)})
        return
    if generate:
        invocation.talk.say(f"✓ made {place}, which only you can read", "green")
    what = "is added" if is_new else "was known already"
    invocation.talk.say(f"✓ {added.key.name} {what}", "green")
    if pair.is_here and not pair.is_usual:
        invocation.talk.say(f"Have Flow use it: flow config set ssh_key {place}")
    invocation.out.line(added.key.name)


@ssh_key.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@yes_option("Delete")
@pass_invocation
def delete(invocation: Invocation, names: tuple[str, ...], yes: bool) -> None:
    """Have the provider forget each key. Nodes that have it keep it, and files here stay."""
    accounts = Accounts(invocation.session().provider)
    found = [accounts.key(name) for name in names]
    words = ", ".join(key.name for key in found)
    if not yes:
        unasked = f"{words} can't be deleted unasked, and there is no terminal to ask on"
        if not invocation.talk.ask(f"Delete {words} at the provider?", unasked=unasked):
            raise FlowError("not confirmed; nothing was deleted")
    for key in found:
        accounts.delete_key(key)
        invocation.talk.say(f"✓ {key.name} is deleted", "green")
    if invocation.json:
        invocation.out.document("ssh-key-list", {"keys": [key_json(key, {}) for key in found]})


def _made(invocation: Invocation, name: str | None, target: str | None) -> KeyPair:
    if target is not None:
        path = expanded(target, invocation.environ)
    else:
        path = new_path(invocation, _file_name(name)) if name else new_path(invocation)
    return make_pair(path, comment=name or comment())


def _file_name(name: str) -> str:
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in name).lstrip(".")


def _here(invocation: Invocation, settings: Settings, keys: Sequence[SshKey]) -> dict[str, str]:
    pairs = [
        pair
        for pair in key_pairs(invocation.environ, named=settings.text("ssh_key"))
        if pair.is_here
    ]
    return {
        key.id: shown(pair.private, invocation.environ)
        for key in keys
        for pair in reversed(pairs)
        if is_same_key(pair.public_key, key.public_key)
    }
