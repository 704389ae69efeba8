"""The pretend market's rules: what is documented as constants, what is unknown as choices.

Numbers marked *documented* are Mithril's (contract, section 3). For everything else the service's documents are silent
or contradict each other; each such choice is a field here, and its default is the contract's suggestion or ours.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta, timezone

from attrs import field, frozen, validators

from flow_core.domain.auction import PriceRule, highest_outbid

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_POSITIVE = validators.gt(0.0)
_COUNT = validators.ge(0.0)


class Mood(str, enum.Enum):
    """How other bidders behave: not at all, within a band that a limit of 1.5 × the price outlasts, or wildly."""

    QUIET = "quiet"
    CALM = "calm"
    STORMY = "stormy"


class SameName(str, enum.Enum):
    """What a second bid with a live bid's name gets: the first bid, a refusal, or a bid of its own (unknown)."""

    FIRST = "first"
    REFUSE = "refuse"
    ANOTHER = "another"


class OverQuota(str, enum.Enum):
    """What becomes of a bid over the quota: refused when placed, or accepted and not served (unknown)."""

    REFUSE = "refuse"
    WAIT = "wait"


@frozen(kw_only=True)
class Rules:
    """One set of rules. Times are simulated seconds unless the name says `real`."""

    #: How often a market looks at its bids. Documented: two minutes.
    tick_s: float = field(default=120.0, validator=_POSITIVE)
    #: The notice before nodes stop. Documented: five minutes.
    notice_s: float = field(default=300.0, validator=_COUNT)
    #: From grant to running; not billed. Invented: real machines take minutes, which no rehearsal needs.
    boot_s: float = field(default=20.0, validator=_COUNT)
    #: How many simulated seconds pass in a real one.
    rate: float = field(default=60.0, validator=_POSITIVE)
    #: A notice lasts at least this long for the real processes on the nodes.
    notice_min_real_s: float = field(default=10.0, validator=_COUNT)
    #: A world where nothing was live looks at its first bid this soon after it came.
    first_look_s: float = field(default=15.0, validator=_COUNT)
    #: Look at once at whatever changes, and boot in no time.
    instant: bool = False
    mood: Mood = Mood.CALM
    #: How often other bidders change their minds; rounded up to whole ticks. Invented.
    move_s: float = field(default=1800.0, validator=_POSITIVE)
    #: How long a rival who was told to outbid a task stays after the notice has ended.
    outbid_s: float = field(default=600.0, validator=_COUNT)

    #: What winners pay when a bid skipped for its size outranks them (unknown).
    price_rule: PriceRule = highest_outbid
    #: Whether an amended limit keeps its place among equals (unknown).
    amend_keeps_place: bool = True
    #: Whether an amended limit or a pause is looked at now, and not at the next tick (unknown).
    amend_at_once: bool = False
    #: Whether nodes under notice are billed (unknown).
    bill_notice: bool = True
    same_name: SameName = SameName.FIRST
    over_quota: OverQuota = OverQuota.REFUSE

    @property
    def notice(self) -> timedelta:
        """How long a notice lasts: the documented time, or longer where real processes would be rushed."""
        return timedelta(seconds=max(self.notice_s, self.notice_min_real_s * self.rate))

    @property
    def boot(self) -> timedelta:
        """How long a node takes from grant to running."""
        return timedelta(0) if self.instant else timedelta(seconds=self.boot_s)

    def next_round(self, at: datetime) -> datetime:
        """Return when a market next looks at what changed at `at`: the first tick after it, or `at` itself."""
        if self.instant:
            return at
        tick = timedelta(seconds=self.tick_s)
        return _EPOCH + tick * ((at - _EPOCH) // tick + 1)

    def next_move(self, at: datetime) -> datetime | None:
        """Return when other bidders next change their minds, a tick after `at` or later; None in a quiet market."""
        if self.mood is Mood.QUIET:
            return None
        tick = timedelta(seconds=self.tick_s)
        every = tick * max(1, -(-timedelta(seconds=self.move_s) // tick))
        return _EPOCH + every * ((at - _EPOCH) // every + 1)


#: What tests in memory play by: no surprises, and notices as documented.
IN_MEMORY = Rules(rate=1.0, notice_min_real_s=0.0, mood=Mood.QUIET)
