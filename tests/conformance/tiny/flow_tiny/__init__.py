"""A provider in miniature: every instance is a folder and a process of this machine."""

from pathlib import Path

from flow_core.ports.provider import Limits, Provider, ProviderContext
from flow_tiny.fleet import TinyFleet
from flow_tiny.ledger import Ledger
from flow_tiny.market import TinyMarket
from flow_tiny.shell import TinyShell


def connect(context: ProviderContext) -> Provider:
    """Return the provider whose bids are kept in `context.state_dir`."""
    ledger = Ledger(Path(context.state_dir) / "tiny")
    return Provider(
        name="tiny",
        market=TinyMarket(ledger, context.clock),
        fleet=TinyFleet(ledger),
        shell=TinyShell(ledger),
        clock=context.clock,
        limits=Limits(
            poll_s=0.5,
            workspace="~/workspace",
            mounts=frozenset(),
            image_note="tiny does not use images: the command runs on this machine",
            shares_hosts=True,
        ),
    )
