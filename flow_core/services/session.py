"""A session: the services over one provider, as the command line and `import flow` hold them.

Services that only some commands need load with their first use: every command waits for what loads here.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from attrs import evolve

from flow_core.ports.provider import Provider
from flow_core.services.ports import Defaults, Ports
from flow_core.services.tasks import Tasks

if TYPE_CHECKING:
    from flow_core.services.amending import Amending
    from flow_core.services.costs import Costs
    from flow_core.services.dev_box import DevBox
    from flow_core.services.groups import Groups
    from flow_core.services.prices import Prices
    from flow_core.services.remote import Remote
    from flow_core.services.storage import Storage
    from flow_core.services.uploading import Uploading
    from flow_core.services.watcher import Watcher


class Session:
    """Everything a user can ask of one provider. Make one with `flow_adapters.wiring.connect`."""

    def __init__(self, ports: Ports) -> None:
        if ports.provider.reservations is not None:
            from flow_core.services.reserved import with_reservations

            ports = evolve(ports, provider=with_reservations(ports.provider))
        self.ports = ports

    @property
    def provider(self) -> Provider:
        """The cloud behind it."""
        return self.ports.provider

    @property
    def defaults(self) -> Defaults:
        """What the user's settings say where a task is silent."""
        return self.ports.defaults

    @cached_property
    def tasks(self) -> Tasks:
        """Submit, look, wait, cancel."""
        return Tasks(self.ports)

    @cached_property
    def groups(self) -> Groups:
        """Tasks that belong together."""
        from flow_core.services.groups import Groups

        return Groups(self.ports, self.tasks)

    @cached_property
    def amending(self) -> Amending:
        """Change a live bid."""
        from flow_core.services.amending import Amending

        return Amending(self.ports)

    @cached_property
    def remote(self) -> Remote:
        """Run things on nodes."""
        from flow_core.services.remote import Remote

        return Remote(self.ports)

    @cached_property
    def storage(self) -> Storage:
        """Volumes."""
        from flow_core.services.storage import Storage

        return Storage(self.ports)

    @cached_property
    def costs(self) -> Costs:
        """What was spent."""
        from flow_core.services.costs import Costs

        return Costs(self.ports)

    @cached_property
    def prices(self) -> Prices:
        """What markets cost, and what policies make of it."""
        from flow_core.services.prices import Prices

        return Prices(self.ports)

    @cached_property
    def uploading(self) -> Uploading:
        """Bring code to tasks anew."""
        from flow_core.services.uploading import Uploading

        return Uploading(self.ports)

    @cached_property
    def dev_box(self) -> DevBox:
        """Boxes that stay."""
        from flow_core.services.dev_box import DevBox

        return DevBox(self.ports)

    @cached_property
    def watcher(self) -> Watcher:
        """What must happen with no command running; one process ticks it."""
        from flow_core.services.watcher import Watcher

        return Watcher(self.ports)
