"""What is looked at: each check asks one role something that changes nothing, and says in numbers what it heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from flow_core.domain.bid import Quote
from flow_core.domain.reservation import Term
from flow_core.domain.shape import CPU, gpu_families
from flow_core.errors import NoCapacity
from flow_core.ports.clock import Clock
from flow_core.ports.provider import Provider

Role = TypeVar("Role")
#: What a check needs besides the provider: real time.
Check = Callable[[Provider, Clock], str]
#: How many bids have their history looked up, the newest.
_BIDS = 3
_DAY = timedelta(days=1)
#: The shortest term that is sold. Source: contract section 2, terms.
_TERM = timedelta(hours=3)


def account(provider: Provider, clock: Clock) -> str:
    """Who we are, and who else bids here."""
    role = there(provider.account)
    me, people = role.me(), role.people()
    return f"{len(people)} people, us {'among' if me in people else 'not among'} them"


def server_time(provider: Provider, clock: Clock) -> str:
    """How far this machine's clock is off."""
    return f"the server is {(provider.clock.now() - clock.now()).total_seconds():+.1f} s off"


def projects(provider: Provider, clock: Clock) -> str:
    """Projects, and what the current one may hold."""
    role = there(provider.projects)
    role.current()
    quotas = role.quotas()
    limits = _counted(quota.unit or "no unit" for quota in quotas)
    return f"{len(role.projects())} projects; quotas: {limits}"


def keys(provider: Provider, clock: Clock) -> str:
    """SSH keys."""
    found = there(provider.keys).keys()
    return f"{len(found)} keys, {sum(key.required for key in found)} required"


def images(provider: Provider, clock: Clock) -> str:
    """Boot images."""
    found = there(provider.images).images()
    return f"{len(found)} images, {sum(image.is_default for image in found)} by default"


def quotes(provider: Provider, clock: Clock) -> str:
    """What is on offer, and whether each type could be read."""
    found = provider.market.quotes()
    known = {CPU, *gpu_families()}
    strange = sum(quote.shape.gpu not in known for quote in found)
    silent = sum(quote.capacity is None for quote in found)
    return (
        f"{len(found)} markets of {len({quote.type_id for quote in found})} types in "
        f"{len({quote.region for quote in found})} regions; {strange} of GPUs that Flow doesn't know, "
        f"{silent} without a capacity, {sum(quote.price == quote.floor for quote in found)} at their floor"
    )


def history(provider: Provider, clock: Clock) -> str:
    """A day of prices of the cheapest market."""
    quote, now = cheapest(provider), provider.clock.now()
    points = there(provider.catalog).history(
        quote.type_id, region=quote.region, since=now - _DAY, until=now
    )
    return f"{len(points)} points of a day"


def bids(provider: Provider, clock: Clock) -> str:
    """Every bid, the nodes of the live ones, and what the newest cost."""
    found = provider.market.bids()
    live = [bid.id for bid in found if bid.is_live]
    held = provider.fleet.allocations(live)
    nodes = _counted(node.state.value for each in held.values() for node in each.nodes)
    usage = there(provider.usage).usage([bid.id for bid in found[:_BIDS]])
    return (
        f"{len(found)} bids ({_counted(bid.state.value for bid in found)}); nodes: {nodes}; "
        f"{sum(map(len, usage.values()))} paid stretches of the newest {len(usage)}"
    )


def volumes(provider: Provider, clock: Clock) -> str:
    """Volumes, by kind."""
    return _counted(each.interface.value for each in there(provider.volumes).volumes())


def reservations(provider: Provider, clock: Clock) -> str:
    """Reservations, and what three hours of tomorrow would cost."""
    role, quote = there(provider.reservations), cheapest(provider)
    found = role.reservations()
    begin = provider.clock.now().replace(minute=0, second=0, microsecond=0) + _DAY
    term = Term(
        type_id=quote.type_id, region=quote.region, quantity=1, start=begin, end=begin + _TERM
    )
    try:
        offers = f"{len(role.quote(term))} offers"
    except NoCapacity:
        offers = "no offers"
    return f"{len(found)} reservations; {offers} for tomorrow"


READING: tuple[Check, ...] = (
    account,
    server_time,
    projects,
    keys,
    images,
    quotes,
    history,
    bids,
    volumes,
    reservations,
)


def cheapest(provider: Provider) -> Quote:
    """Return the cheapest market that has a GPU and an instance free, else the cheapest of all.

    Raises:
        NoCapacity: nothing is on offer.
    """
    found = sorted(
        provider.market.quotes(),
        key=lambda quote: (quote.shape.gpus == 0, quote.available == 0, quote.price, quote.type_id),
    )
    if not found:
        raise NoCapacity("nothing is on offer")
    return found[0]


def there(role: Role | None) -> Role:
    """Return a role that the adapter plays."""
    if role is None:
        raise LookupError("the adapter lacks a role")
    return role


def _counted(words: Iterable[str]) -> str:
    counts = Counter(words)
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "none"
