"""Who bids here, by name where the provider tells."""

from __future__ import annotations

from flow_core.domain.people import Person
from flow_core.errors import FlowError
from flow_core.services.session import Session


def people_of(session: Session) -> dict[str, Person]:
    """Return who is known, by id; what is shown is worth having without names too."""
    account = session.provider.account
    if account is None:
        return {}
    try:
        return {person.id: person for person in account.people()}
    except FlowError:
        return {}
