"""The conformance kit: what every provider promises, as tests that its author inherits.

    from flow_providers.conformance import ProviderContract, Rig

    class MyRig(Rig):
        def provider(self):
            return connect(...)

    class TestMyCloud(ProviderContract):
        rig = MyRig()

Needs pytest and nothing else. The guide is docs/guides/write-a-provider.md.
"""

from flow_providers.conformance.contracts.account import AccountContract
from flow_providers.conformance.contracts.catalog import CatalogContract
from flow_providers.conformance.contracts.fleet import FleetContract
from flow_providers.conformance.contracts.logs import LogsContract
from flow_providers.conformance.contracts.market import MarketContract
from flow_providers.conformance.contracts.shell import ShellContract
from flow_providers.conformance.contracts.usage import UsageContract
from flow_providers.conformance.contracts.volumes import VolumesContract
from flow_providers.conformance.lines import LINES, Line
from flow_providers.conformance.rig import FEATURES, Controls, Rig


class ProviderContract(
    MarketContract,
    FleetContract,
    ShellContract,
    LogsContract,
    VolumesContract,
    AccountContract,
    UsageContract,
    CatalogContract,
):
    """All roles at once; those that a provider doesn't play are skipped, each with a sentence."""


__all__ = [
    "FEATURES",
    "LINES",
    "AccountContract",
    "CatalogContract",
    "Controls",
    "FleetContract",
    "Line",
    "LogsContract",
    "MarketContract",
    "ProviderContract",
    "Rig",
    "ShellContract",
    "UsageContract",
    "VolumesContract",
]
