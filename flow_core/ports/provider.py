"""A provider: the roles that one cloud plays, and what it can't do otherwise than it does.

"Can it?" means "is the role there?". Three roles are required; the rest are None where missing, and the type checker
sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from flow_core.domain.task_parts import Source
from flow_core.errors import Unsupported

if TYPE_CHECKING:
    from flow_core.ports.account import Account
    from flow_core.ports.account_keys import AccountKeys
    from flow_core.ports.catalog import Catalog
    from flow_core.ports.clock import Clock
    from flow_core.ports.fleet import Fleet
    from flow_core.ports.images import Images
    from flow_core.ports.keys import Keys
    from flow_core.ports.leftovers import Leftovers
    from flow_core.ports.logs import Logs
    from flow_core.ports.market import Market
    from flow_core.ports.projects import Projects
    from flow_core.ports.reservations import Reservations
    from flow_core.ports.scripts import Scripts
    from flow_core.ports.secrets import Secrets
    from flow_core.ports.setup import Setup
    from flow_core.ports.shell import RemoteShell
    from flow_core.ports.ssh import Ssh
    from flow_core.ports.usage import UsageHistory
    from flow_core.ports.volumes import Volumes


@frozen(kw_only=True)
class Limits:
    """Facts about a provider that shape what the core does; times in seconds of its clock unless said."""

    #: How often, in real seconds, looking again is worth it while something happens.
    poll_s: float = 5.0
    #: How long a bid just placed may be missing from listings.
    listing_lag_s: float = 0.0
    #: The longest node script it takes, in characters; None for no limit.
    script_chars: int | None = None
    #: Whether only the owner can read a node script; if not, variables travel over the shell.
    script_is_private: bool = False
    #: What kinds of mounts its nodes can have.
    mounts: frozenset[Source] = frozenset({Source.VOLUME})
    #: The task options it understands, each with one line for people.
    options: Mapping[str, str] = field(factory=dict, hash=False)
    #: Where uploaded code lands and commands start, as its users write it.
    workspace: str = "/workspace"
    #: Said to the user when a task names an image, where images are not used; empty where they are.
    image_note: str = ""
    #: Whether its nodes are machines, on which the kit runs a task's image with the node's own Docker.
    images_by_kit: bool = False
    #: Whether prices, ages and notices are pretended; panels say so.
    simulated: bool = False
    #: Where its nodes find a file volume, with {name} and {id} for the volume's; empty where it is at the mount's path.
    volume_path: str = ""
    #: The device of a block volume that its nodes must format and mount, likewise; empty where they needn't.
    volume_device: str = ""
    #: The file in which its nodes find a notice in the provider's own words; empty where the helper is told.
    notice_file: str = ""
    #: Folders of its nodes that no preemption leaves as they are.
    scratch_paths: tuple[str, ...] = ()
    #: Whether a bid can be paused: its nodes given back, their boot disks kept.
    pauses: bool = False
    #: Whether nodes of a bid that is granted as it is placed take their first delivery at once, from whoever placed it.
    takes_at_once: bool = False
    #: Whether nodes of one bid may share a host (each then gets its own rendezvous port).
    shares_hosts: bool = False


@frozen(kw_only=True)
class Provider:
    """One cloud. `clock` is the provider's own time: ages, deadlines and cost are measured on it."""

    name: str
    market: Market
    fleet: Fleet
    shell: RemoteShell
    clock: Clock
    limits: Limits = field(factory=Limits)
    logs: Logs | None = None
    volumes: Volumes | None = None
    account: Account | None = None
    usage: UsageHistory | None = None
    catalog: Catalog | None = None
    projects: Projects | None = None
    keys: Keys | None = None
    images: Images | None = None
    scripts: Scripts | None = None
    reservations: Reservations | None = None
    setup: Setup | None = None
    ssh: Ssh | None = None
    account_keys: AccountKeys | None = None
    leftovers: Leftovers | None = None
    #: The market as it is for a task with these options, where options change what is on offer.
    offers: Callable[[Mapping[str, str]], Market] | None = None
    #: Says in a clause what there is in all, for whom nothing fits; None where quotes tell it all.
    in_all: Callable[[], str] | None = None

    def market_for(self, options: Mapping[str, str]) -> Market:
        """Return the market as it is for a task with these options, by the provider's own short names."""
        return self.market if self.offers is None else self.offers(options)

    def need_volumes(self) -> Volumes:
        """Return the volumes role.

        Raises:
            Unsupported: there is none.
        """
        if self.volumes is None:
            raise Unsupported(
                f"{self.name} offers no volumes",
                hint="`flow provider list` shows what each provider offers",
            )
        return self.volumes


@frozen(kw_only=True)
class ProviderContext:
    """What the composition root hands to a provider's `connect`: everything it may know of this machine.

    `state_dir` is a folder for this user's state, which the provider may fill below a name of its own. `options` are
    settings by name, of plain values or text, as files and the environment gave them. `clock` is real time. `seed`
    makes whatever the provider draws repeatable. `user` is what lists call the user where nobody knows better.
    """

    state_dir: str
    clock: Clock
    #: A key may be among them, so that no repr shows them.
    options: Mapping[str, object] = field(factory=dict, hash=False, repr=False)
    secrets: Secrets | None = None
    seed: int | None = None
    user: str = "you"
