"""Mithril's roles, put together over one client. Nothing is asked of Mithril before a role is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from flow_adapters.http import Bearer, Http, Retries, Timeouts
from flow_adapters.origins import origin_of
from flow_core.ports.clock import Clock
from flow_core.ports.provider import Provider
from flow_core.ports.shell import RemoteShell
from flow_core.ports.ssh import Ssh
from flow_providers.mithril.account import MithrilAccount, MithrilImages, MithrilProjects
from flow_providers.mithril.account_keys import MithrilAccountKeys
from flow_providers.mithril.bids import Bids
from flow_providers.mithril.catalog import MithrilCatalog
from flow_providers.mithril.client import Client
from flow_providers.mithril.facts import LISTING_LAG_S, NAME, limits
from flow_providers.mithril.fleet import MithrilFleet
from flow_providers.mithril.keys import MithrilKeys
from flow_providers.mithril.market import MithrilMarket
from flow_providers.mithril.offers import Offers
from flow_providers.mithril.reservations import MithrilReservations
from flow_providers.mithril.scripts import MithrilScripts
from flow_providers.mithril.server_time import ServerClock
from flow_providers.mithril.setup import MithrilSetup
from flow_providers.mithril.usage import MithrilUsage
from flow_providers.mithril.volumes import MithrilVolumes

if TYPE_CHECKING:
    import httpx


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
        limits=limits(listing_lag_s),
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
