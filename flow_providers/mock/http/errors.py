"""What a client reads of the engine's refusals; the texts hold what clients look for (contract, section 1)."""

from __future__ import annotations

from flow_core.errors import (
    BillingRefused,
    Conflict,
    FlowError,
    InUse,
    InvalidRequest,
    NameTaken,
    NoCapacity,
    NotFound,
    PriceTooLow,
    QuotaExceeded,
    Transient,
)
from flow_providers.mock.http.messages import Refused

_STATUS: tuple[tuple[type[FlowError], int, str], ...] = (
    (PriceTooLow, 400, "Limit price below minimum: "),
    (NameTaken, 400, "Name already used: "),
    (QuotaExceeded, 403, "Quota exceeded: "),
    (BillingRefused, 402, "Billing: "),
    (InvalidRequest, 400, ""),
    (NoCapacity, 400, ""),
    (NotFound, 404, ""),
    (InUse, 409, ""),
    (Conflict, 409, ""),
    (Transient, 503, ""),
)


def refused(error: FlowError) -> Refused:
    """Return the refusal that says the same; an error that is the simulator's own is a 500."""
    for kind, status, lead in _STATUS:
        if isinstance(error, kind):
            return Refused(status, lead + error.message)
    return Refused(500, error.message)
