"""Connecting to Mithril: settings in, a `Provider` out. Its roles load with the first use of one.

A command that only enters a node over SSH so loads no HTTP at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flow_adapters.later import Once, later
from flow_adapters.origins import checked_base_url, origin_of
from flow_adapters.ssh_ahead import Logins, folder_of
from flow_core.errors import Misconfigured
from flow_core.ports.provider import Provider, ProviderContext
from flow_providers.mithril.facts import API_KEY, API_URL, LANES, LISTING_LAG_S, NAME, limits

if TYPE_CHECKING:
    from flow_adapters.ssh import SshShell


def connect(context: ProviderContext) -> Provider:
    """Return Mithril as the settings describe it.

    Settings are `api_url`, `project` (id or name), `ssh_key` (the private key's path), `mithril.ssh_key` (names or ids
    of keys at Mithril, separated by commas), `mithril.image_version` and `mithril.listing_lag_s`. The key is `api_key`
    among the options, or the secret of that name kept for the API's origin.
    """
    url = api_address(_text(context, "api_url") or API_URL)
    state = Path(context.state_dir) / NAME
    private = _text(context, "ssh_key")
    lag_s = _seconds(context, "mithril.listing_lag_s", LISTING_LAG_S)
    shell = _shell(state, private, Logins(folder_of(state.parent)))

    def opened() -> Provider:
        from flow_providers.mithril.roles import open_provider

        told = (_text(context, "mithril.ssh_key") or "").split(",")
        return open_provider(
            url,
            find_key=lambda: _key(context, origin_of(url)),
            clock=context.clock,
            shell=shell,
            ssh=shell,
            project=_text(context, "project"),
            ssh_keys=[each.strip() for each in told],
            local_keys=lambda: _public_halves(private),
            image_version=_text(context, "mithril.image_version"),
            listing_lag_s=lag_s,
            lanes=LANES,
        )

    whole = Once(opened)
    return Provider(
        name=NAME,
        market=later(lambda: whole().market),
        fleet=later(lambda: whole().fleet),
        shell=shell,
        ssh=shell,
        clock=later(lambda: whole().clock),
        limits=limits(lag_s),
        volumes=later(lambda: whole().volumes),
        account=later(lambda: whole().account),
        usage=later(lambda: whole().usage),
        catalog=later(lambda: whole().catalog),
        projects=later(lambda: whole().projects),
        keys=later(lambda: whole().keys),
        account_keys=later(lambda: whole().account_keys),
        images=later(lambda: whole().images),
        scripts=later(lambda: whole().scripts),
        reservations=later(lambda: whole().reservations),
        setup=later(lambda: whole().setup),
    )


def _shell(state: Path, private: str | None, logins: Logins) -> SshShell:
    from flow_adapters.ssh import SshShell
    from flow_adapters.ssh.asking import ask_at_terminal

    keys = [Path(private).expanduser()] if private else ()
    return SshShell(state_dir=state, keys=keys, ask_passphrase=ask_at_terminal, logins=logins)


def _key(context: ProviderContext, origin: str) -> str | None:
    told = _text(context, "api_key")
    if told is not None or context.secrets is None:
        return told
    return context.secrets.find(API_KEY, origin=origin)


def api_address(text: str) -> str:
    """Return the API's address; one that ends in the version, as some tools want it, means the same."""
    return checked_base_url(text).removesuffix("/v2")


def _public_halves(private: str | None) -> list[str]:
    """Return the public keys beside the chosen private one, else beside the usual ones."""
    if private:
        files = [Path(private).expanduser()]
    else:
        files = sorted((Path.home() / ".ssh").glob("id_*.pub"))
    found = []
    for file in files:
        public = file if file.suffix == ".pub" else file.with_name(file.name + ".pub")
        try:
            found.append(public.read_text("utf-8", "replace"))
        except OSError:
            continue
    return found


def _text(context: ProviderContext, name: str) -> str | None:
    value = context.options.get(name)
    return str(value).strip() or None if value is not None else None


def _seconds(context: ProviderContext, name: str, otherwise: float) -> float:
    told = _text(context, name)
    if told is None:
        return otherwise
    try:
        seconds = float(told)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise Misconfigured(f"{name} is {told!r}, which is no number of seconds")
    return seconds
