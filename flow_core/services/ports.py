"""Everything a service may use, in one frozen record: the provider, and this machine's own edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:  # every command waits for what loads here
    import random

    from flow_core.domain.money import Price
    from flow_core.domain.node_files import NodeFiles
    from flow_core.domain.shape import InstanceShape
    from flow_core.ports.buckets import Buckets
    from flow_core.ports.clock import Clock
    from flow_core.ports.code import CodeStore
    from flow_core.ports.journal import Journal
    from flow_core.ports.log_keep import LogKeep
    from flow_core.ports.provider import Provider
    from flow_core.ports.ssh import SshHosts
    from flow_core.ports.vault import Vault
    from flow_core.ports.watch import Watch


@frozen(kw_only=True)
class Defaults:
    """What the user's settings say where a task is silent."""

    instance_type: InstanceShape | None = None
    region: str | None = None
    #: No limit above it is bid unless the task names one.
    ceiling: Price | None = None
    #: Above this limit per instance-hour, a choice that the user didn't make is confirmed.
    confirm_above: Price | None = None


@frozen(kw_only=True)
class Ports:
    """`clock` is real time, for polling; `provider.clock` is the time that ages and deadlines are measured on."""

    provider: Provider
    journal: Journal
    clock: Clock
    code: CodeStore
    watch: Watch
    chance: random.Random
    node_files: NodeFiles
    log_keep: LogKeep
    vault: Vault
    defaults: Defaults = field(factory=Defaults)
    #: Where this machine's ssh finds nodes by name; None where it isn't to.
    ssh_hosts: SshHosts | None = None
    #: Where the user's keys to buckets are found; None where none are.
    buckets: Buckets | None = None
