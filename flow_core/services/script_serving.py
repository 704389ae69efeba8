"""Serving batch scripts where there are any: what reads them is a third of all that the watcher would load."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from flow_core.domain.status import TaskView
from flow_core.services.placing import is_batch_script
from flow_core.services.ports import Ports

if TYPE_CHECKING:
    from flow_core.services.outbox import Outbox


class ScriptServing:
    """An `Outbox` that is made with the first batch script."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def serve(self, views: Sequence[TaskView]) -> None:
        """See `Outbox.serve`."""
        if any(is_batch_script(view.record.spec) for view in views):
            self._outbox.serve(views)

    @cached_property
    def _outbox(self) -> Outbox:
        from flow_core.services.outbox import Outbox

        return Outbox(self._ports)
