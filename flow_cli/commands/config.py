"""`flow config`: settings with where each comes from."""

from __future__ import annotations

from pathlib import Path

import click

from flow_adapters.config_files import set_setting
from flow_adapters.places import shown as shown_path
from flow_adapters.places import user_settings
from flow_adapters.wiring import load_settings
from flow_cli.command import FlowSubgroup
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.settings import settings_json, settings_table, shown
from flow_core.domain.settings import SETTINGS, Entry, find_setting


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in SETTINGS if name.startswith(incomplete)]


@click.group(cls=FlowSubgroup)
def config() -> None:
    """Show settings with where each comes from, or set one.

    They are laid upon each other: defaults, your file, the project's flow.toml (which may set defaults of tasks only),
    the environment, and what a command was told.
    """


@config.command()
@click.argument("name", required=False, shell_complete=_names)
@pass_invocation
def show(invocation: Invocation, name: str | None) -> None:
    """Show all settings, or NAME alone, each with the file and line, or the variable, that set it."""
    settings = load_settings(provider=invocation.provider, environ=invocation.environ)
    entries = list(settings.entries.values())
    if name is not None:
        setting = find_setting(name)
        entries = [settings.entries.get(name, Entry(setting, setting.default, "default"))]
    if invocation.json:
        invocation.out.document(
            "settings", {"settings": settings_json(entries), "file": str(_file(invocation))}
        )
        return
    invocation.out.show(
        settings_table(entries, file=shown_path(_file(invocation), invocation.environ))
    )


@config.command("set")
@click.argument("name", shell_complete=_names)
@click.argument("value")
@pass_invocation
def set_(invocation: Invocation, name: str, value: str) -> None:
    """Write NAME = VALUE into your own file of settings; its comments stay."""
    _write(invocation, name, value)


@config.command()
@click.argument("name", shell_complete=_names)
@pass_invocation
def unset(invocation: Invocation, name: str) -> None:
    """Take NAME out of your own file of settings."""
    _write(invocation, name, None)


def _write(invocation: Invocation, name: str, value: str | None) -> None:
    set_setting(_file(invocation), name, value)
    file = shown_path(_file(invocation), invocation.environ)
    now = load_settings(environ=invocation.environ).entries.get(name)
    if invocation.json:
        invocation.out.document(
            "settings",
            {"settings": settings_json([now] if now else []), "file": str(_file(invocation))},
        )
        return
    said = f"{name} = {value}" if value is not None else f"{name} is taken out"
    invocation.talk.say(f"✓ {said} ({file})", "green")
    if now is not None and now.origin != "default" and not now.origin.startswith(file):
        invocation.talk.say(f"warning: {now.origin} outranks it with {shown(now)}", "yellow")


def _file(invocation: Invocation) -> Path:
    return user_settings(invocation.environ)
