"""Who bids."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Person:
    """Someone who may bid in this account; `name` is what lists show."""

    id: str
    name: str
    email: str | None = None
