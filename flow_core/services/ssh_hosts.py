"""Keeping what ssh knows of nodes true: written whenever they come, move and go."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from flow_core.domain.allocation import Node
from flow_core.domain.ssh_hosts import SshHost, host_names, rendered
from flow_core.domain.status import TaskView
from flow_core.errors import Misconfigured, NoRoom, Unsupported
from flow_core.ports.ssh import Ssh
from flow_core.services.looking import look
from flow_core.services.ports import Ports


def live_hosts(ports: Ports) -> tuple[list[SshHost], dict[str, str]]:
    """Return every node of a live task that has an address, and why some, by their names, were not met.

    Host keys that are not pinned are now, where their nodes answer; ssh takes no node without.

    Raises:
        Unsupported: nobody but Flow can reach this provider's nodes.
    """
    ssh = ssh_of(ports)
    live = ports.journal.live(provider=ports.provider.name)
    views = look(ports, [record for record in live if record.bid_id is not None])
    names = {
        node.id: host_names(view.record.name, node)[0]
        for view in views
        for node in _reachable(view)
    }
    reasons = ssh.meet([node for view in views for node in _reachable(view)])
    return _hosts(ssh, views), {names[node_id]: reason for node_id, reason in reasons.items()}


def publish(ports: Ports, views: Sequence[TaskView]) -> None:
    """Have ssh know the nodes of these tasks, if the user wants it to; a file that can't be written stays as it was.

    Flow's own commands begin with the first node of each.
    """
    ssh = ports.provider.ssh
    if ssh is None:
        return
    for view in views:
        for node in _reachable(view)[:1]:
            ssh.foresee(view.record.name, node)
    if ports.ssh_hosts is None or not ports.ssh_hosts.is_wanted():
        return
    live = {record.token for record in ports.journal.live(provider=ports.provider.name)}
    hosts = _hosts(ssh, [view for view in views if view.record.token in live])
    with suppress(Misconfigured, NoRoom):
        ports.ssh_hosts.write(ports.provider.name, rendered(hosts))


def ssh_of(ports: Ports) -> Ssh:
    """Return the ssh role.

    Raises:
        Unsupported: there is none.
    """
    if ports.provider.ssh is None:
        raise Unsupported(
            f"{ports.provider.name}'s nodes have no address that ssh could reach",
            hint="`flow ssh TASK` opens a shell on them, `flow cp` copies files",
        )
    return ports.provider.ssh


def _hosts(ssh: Ssh, views: Sequence[TaskView]) -> list[SshHost]:
    return [
        SshHost(
            names=host_names(view.record.name, node),
            task=view.record.name,
            rank=node.rank,
            settings=ssh.settings(node),
        )
        for view in views
        for node in _reachable(view)
    ]


def _reachable(view: TaskView) -> list[Node]:
    nodes = view.allocation.nodes if view.allocation is not None else ()
    return [node for node in nodes if node.is_reachable and node.address is not None]
