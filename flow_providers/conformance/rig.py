"""The rig: what a provider's author tells the kit, once, and everything else the kit asks of the provider itself.

Required is `provider` alone. What a rig can bring about besides (an outbid bid, a lost node, a refused login) it
declares as `controls`; a test that needs one it lacks is skipped with a sentence that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager

from attrs import frozen

from flow_adapters.node_files import load_node_files
from flow_core.domain.bid import Bid, Launch, Quote
from flow_core.domain.money import Price
from flow_core.domain.names import split_wire_name
from flow_core.domain.script import NodeTask, render_script
from flow_core.domain.shape import InstanceShape
from flow_core.domain.volume import Attachment
from flow_core.ports.clock import Clock
from flow_core.ports.provider import Provider


@frozen(kw_only=True)
class Controls:
    """What a rig can make happen at its provider; None where it can't.

    Calls are named by role and method, such as "market.place". All of them act on the provider made last.
    """

    #: Others now bid more than this bid's limit, for all there is.
    outbid: Callable[[Bid], None] | None = None
    #: The others of `outbid` are gone again.
    relent: Callable[[Bid], None] | None = None
    #: The price of this quote's market is this from the next clearing on; bids above it keep their nodes.
    set_price: Callable[[Quote, Price], None] | None = None
    #: The next such call raises Transient, and has had no effect.
    fail_before: Callable[[str], None] | None = None
    #: The next such call raises Transient, and has taken effect.
    fail_after: Callable[[str], None] | None = None
    #: While entered, the credentials are not accepted.
    refuse_login: Callable[[], AbstractContextManager[None]] | None = None
    #: The bid's node of this rank is cut off, as by a power cut.
    lose_node: Callable[[Bid, int], None] | None = None
    #: The bid's node of this rank is rebooted; its script starts again.
    reboot_node: Callable[[Bid, int], None] | None = None
    #: The account may hold this many instances and no more.
    instance_quota: Callable[[int], None] | None = None
    #: The account may hold volumes of this many gigabytes together and no more.
    volume_quota: Callable[[int], None] | None = None
    #: Someone else of the account places this bid's like, and it is returned.
    teammate_bids: Callable[[Bid], Bid] | None = None


#: What a rig may say that its provider or itself lacks, besides the controls above.
FEATURES = {
    "logs": "the logs role",
    "volumes": "the volumes role",
    "account": "the account role",
    "usage": "the usage role",
    "catalog": "the catalog role",
    "two-nodes": "two free instances of one shape in one region",
    "commands": "nodes that really run commands",
    "forward": "connections to a node's ports",
    "amend-limit": "changing a bid's limit",
    "pause": "pausing a bid",
    "attach": "giving volumes to a bid that is there",
    "block": "block storage",
    "regions": "volumes that lie in one region",
}


class Rig:
    """Subclass it, write `provider`, and change what doesn't fit. Times are seconds of the provider's clock."""

    #: Names of controls and FEATURES that may be missing; a test that needs another one then fails. None: any may be.
    may_lack: Collection[str] | None = None
    #: How long the kit waits for one thing, and how long between two looks.
    patience_s: float = 60.0
    step_s: float = 0.2
    #: How long nothing must happen to show that nothing will.
    a_while_s: float = 2.0
    #: Two times this far apart differ when the provider tells them.
    resolution_s: float = 1.0
    #: How many bids the test of long listings places; more than one page of the provider's.
    many: int = 3
    #: An id that is nobody's, in the provider's own form where it has one.
    no_such_id: str = "no-such-thing"
    #: Whether commands on nodes are real. If not, `lines.LINES` and nothing else is run.
    runs_commands: bool = True

    def provider(self) -> Provider:
        """Return the provider, with an account of its own for each call where that is possible."""
        raise NotImplementedError(f"{type(self).__name__} must say how to connect to its provider")

    @property
    def controls(self) -> Controls:
        """What this rig can make happen at the provider made last."""
        return Controls()

    def advance(self, clock: Clock, seconds: float) -> None:
        """Let `seconds` of the provider's time pass."""
        clock.sleep(seconds)

    def a_shape(self) -> InstanceShape | None:
        """Return the shape to bid on; None for the cheapest that is free."""
        return None

    def a_limit(self, quote: Quote) -> Price:
        """Return a limit that surely wins `quote` now; by default twice the price."""
        return max(quote.price * 2, quote.floor)

    def a_capacity_gb(self) -> int:
        """Return the size of volumes to make."""
        return 10

    def launch(
        self,
        command: str,
        *,
        name: str,
        provider: Provider,
        quantity: int = 1,
        attachments: tuple[Attachment, ...] = (),
    ) -> Launch:
        """Return a launch whose node script runs `command`; `name` is the bid's wire name."""
        task_name, token = split_wire_name(name) or (name, "")
        task = NodeTask(
            name=task_name,
            token=token,
            command=command,
            num_nodes=quantity,
            workspace=provider.limits.workspace,
        )
        script = render_script(task, files=load_node_files())
        return Launch(script=script, attachments=attachments)

    def close(self) -> None:
        """Put away what `provider` made; called after each test, when its bids and volumes are gone."""
