"""Live bids of the account that this machine didn't place: shown wherever tasks are listed, never touched."""

from __future__ import annotations

from flow_cli.invocation import Invocation
from flow_cli.show.text import clean
from flow_core.domain.bid import Bid
from flow_core.errors import FlowError
from flow_core.services.session import Session

#: How many are named in one line.
_NAMED = 5


def placed_elsewhere(invocation: Invocation, session: Session) -> dict[str, object]:
    """Say on stderr what was placed elsewhere and still costs money; return it for a JSON document."""
    try:
        found = session.tasks.elsewhere()
    except FlowError as trouble:
        invocation.talk.say(f"bids placed elsewhere aren't known: {clean(trouble.message)}", "dim")
        return {"elsewhere": None}
    if found and not invocation.json:
        named = ", ".join(_line(name, bid) for name, bid in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        invocation.talk.say(f"also live, but not placed from here: {named}{more}", "yellow")
    return {"elsewhere": [_json(name, bid) for name, bid in found]}


def _line(name: str, bid: Bid) -> str:
    return f"{clean(name)} ({bid.state.value}, {bid.quantity} × {bid.shape} at {bid.limit}/hr)"


def _json(name: str, bid: Bid) -> dict[str, object]:
    return {
        "name": name,
        "bid_id": bid.id,
        "bid_state": bid.state.value,
        "instance_type": str(bid.shape),
        "num_instances": bid.quantity,
        "region": bid.region,
        "max_price_per_hour": bid.limit.micros / 1_000_000,
        "owner": bid.owner,
        "created_at": bid.created_at.isoformat().replace("+00:00", "Z"),
    }
