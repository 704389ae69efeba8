"""What a bid policy said: the limit it gave, by which inputs, from whom and how old."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from flow_cli.show.text import age, dollars, stamp

if TYPE_CHECKING:
    from flow_core.domain.policy import Decision, Input


def policy_words(decision: Decision | None, now: datetime) -> str:
    """Return a policy and each of its inputs on a line; '' without a policy."""
    if decision is None:
        return ""
    first = f"{decision.policy} gives {decision.limit}/hr"
    return "\n".join([first, *(_input_line(each, now) for each in decision.inputs)])


def policy_json(decision: Decision | None) -> dict[str, object] | None:
    """Return a decision as documents hold it."""
    if decision is None:
        return None
    return {
        "policy": decision.policy,
        "limit_per_hour": dollars(decision.limit),
        "why": decision.why,
        "inputs": [
            {
                "name": each.name,
                "value": each.value,
                "source": each.source or None,
                "as_of": stamp(each.as_of),
            }
            for each in decision.inputs
        ],
    }


def _input_line(each: Input, now: datetime) -> str:
    about = [each.source] if each.source else []
    if each.as_of is not None:
        about.append(f"{age(each.as_of, now)} old")
    return f"{each.name}: {each.value}" + (f" ({', '.join(about)})" if about else "")
