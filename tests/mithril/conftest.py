"""What Mithril's tests share: a desk, and the provider before it."""

from __future__ import annotations

import pytest

from tests.mithril.desk import Desk


@pytest.fixture
def desk() -> Desk:
    """A desk with the catalogue on it."""
    return Desk()


@pytest.fixture
def mithril(desk):
    """The provider that asks the desk."""
    return desk.provider()
