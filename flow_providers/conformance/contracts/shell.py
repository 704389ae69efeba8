"""The shell role, whole."""

from __future__ import annotations

from flow_providers.conformance.contracts.calls import CallsContract
from flow_providers.conformance.contracts.lone_calls import LoneCallsContract
from flow_providers.conformance.contracts.reaching import ReachingContract
from flow_providers.conformance.contracts.uploads import UploadsContract


class ShellContract(CallsContract, LoneCallsContract, UploadsContract, ReachingContract):
    """Everything that `flow_core.ports.shell.RemoteShell` promises."""
