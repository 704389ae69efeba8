"""Putting Mithril together: settings in, a `Provider` out. Nothing is asked of Mithril before a role is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flow_adapters.http import Bearer, Http, Retries, Timeouts
from flow_adapters.http_reading import checked_base_url, origin_of
from flow_core.domain.task_parts import Source
from flow_core.errors import Misconfigured
from flow_core.ports.clock import Clock
from flow_core.ports.provider import Limits, Provider, ProviderContext
from flow_core.ports.shell import RemoteShell
from flow_core.ports.ssh import Ssh
from flow_providers.mithril.account import MithrilAccount, MithrilImages, MithrilProjects
from flow_providers.mithril.account_keys import MithrilAccountKeys
from flow_providers.mithril.bids import Bids
from flow_providers.mithril.catalog import MithrilCatalog
from flow_providers.mithril.client import Client
from flow_providers.mithril.fleet import MithrilFleet
from flow_providers.mithril.keys import MithrilKeys
from flow_providers.mithril.market import SCRIPT_CHARS, MithrilMarket
from flow_providers.mithril.offers import Offers
from flow_providers.mithril.reservations import MithrilReservations
from flow_providers.mithril.scripts import MithrilScripts
from flow_providers.mithril.server_time import ServerClock
from flow_providers.mithril.setup import API_KEY, MithrilSetup
from flow_providers.mithril.usage import MithrilUsage
from flow_providers.mithril.volumes import MithrilVolumes

if TYPE_CHECKING:
    import httpx

    from flow_adapters.ssh import SshShell

NAME = "mithril"
#: Source: contract section 1.
API_URL = "https://api.mithril.ai"
#: How long a bid whose answer was not heard may be missing from complete listings before it counts as never made.
LISTING_LAG_S = 60.0
#: How many requests are under way at once where several are needed, such as one a market.
LANES = 6


def connect(context: ProviderContext) -> Provider:
    """Return Mithril as the settings describe it.

    Settings are `api_url`, `project` (id or name), `ssh_key` (the private key's path), `mithril.ssh_key` (names or ids
    of keys at Mithril, separated by commas), `mithril.image_version` and `mithril.listing_lag_s`. The key is `api_key`
    among the options, or the secret of that name kept for the API's origin.
    """
    url = api_address(_text(context, "api_url") or API_URL)
    state = Path(context.state_dir) / NAME
    private = _text(context, "ssh_key")
    shell = _shell(state, private)
    return open_provider(
        url,
        find_key=lambda: _key(context, origin_of(url)),
        clock=context.clock,
        shell=shell,
        ssh=shell,
        project=_text(context, "project"),
        ssh_keys=[each.strip() for each in (_text(context, "mithril.ssh_key") or "").split(",")],
        local_keys=lambda: _public_halves(private),
        image_version=_text(context, "mithril.image_version"),
        listing_lag_s=_seconds(context, "mithril.listing_lag_s", LISTING_LAG_S),
        lanes=LANES,
    )


def open_provider(
    url: str,
    *,
    find_key: Callable[[], str | None],
    clock: Clock,
    shell: RemoteShell,
    ssh: Ssh | None = None,
    project: str | None = None,
    ssh_keys: Sequence[str] = (),
    local_keys: Callable[[], Sequence[str]] = tuple,
    image_version: str | None = None,
    listing_lag_s: float = LISTING_LAG_S,
    transport: httpx.BaseTransport | None = None,
    timeouts: Timeouts | None = None,
    retries: Retries | None = None,
    lanes: int = 1,
) -> Provider:
    """Return Mithril at `url`; `clock` is real time, by which retries wait. `transport` stands in for the network."""
    server = ServerClock(clock)
    http = Http(
        url,
        bearer=Bearer(
            origin_of(url), find_key, missing=f"no usable API key for {origin_of(url)} is set"
        ),
        clock=clock,
        timeouts=timeouts,
        retries=retries,
        transport=transport,
        headers={"User-Agent": "flow-compute"},
        on_answer=server.heard,
    )
    client = Client(http, project=project, lanes=lanes)
    server.ask_with(client.ping)
    offers = Offers(client, server)
    bids = Bids(client, offers.shape, local=clock)
    volumes = MithrilVolumes(client, regions=offers.regions)
    account, projects = MithrilAccount(client), MithrilProjects(client)
    keys = MithrilKeys(client, chosen=[each for each in ssh_keys if each], local=local_keys)
    return Provider(
        name=NAME,
        market=MithrilMarket(
            client,
            offers=offers,
            bids=bids,
            volumes=volumes,
            keys=keys.for_bid,
            clock=server,
            image_version=image_version,
        ),
        fleet=MithrilFleet(client, bids=bids, clock=server),
        shell=shell,
        ssh=ssh,
        clock=server,
        limits=Limits(
            listing_lag_s=listing_lag_s,
            script_chars=SCRIPT_CHARS,
            mounts=frozenset({Source.VOLUME, Source.S3}),
            volume_path="/mnt/{name}",
            volume_device="/dev/disk/by-id/virtio-{id:.20}",
            images_by_kit=True,
            pauses=True,
            notice_file="/opt/mithril/MITHRIL_SIGNAL.yml",
            scratch_paths=("/mnt/local",),
        ),
        volumes=volumes,
        account=account,
        usage=MithrilUsage(client, bids=bids),
        catalog=MithrilCatalog(client, offers=offers),
        projects=projects,
        keys=keys,
        account_keys=MithrilAccountKeys(client, url=url, clock=server),
        images=MithrilImages(client),
        scripts=MithrilScripts(client),
        reservations=MithrilReservations(client, offers=offers, keys=keys.for_bid),
        setup=MithrilSetup(
            origin=origin_of(url), account=account, projects=projects, keys=keys, project=project
        ),
    )


def _shell(state: Path, private: str | None) -> SshShell:
    from flow_adapters.ssh import SshShell
    from flow_adapters.ssh.asking import ask_at_terminal

    keys = [Path(private).expanduser()] if private else ()
    return SshShell(state_dir=state, keys=keys, ask_passphrase=ask_at_terminal)


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
