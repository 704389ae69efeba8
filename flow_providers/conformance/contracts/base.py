"""What every contract class shares: the rig, and a bed for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flow_providers.conformance.bed import Bed
from flow_providers.conformance.rig import Rig


class Contract:
    """Tests of one role. A subclass names its rig: `rig = MyRig()`, or a pytest fixture of that name."""

    @pytest.fixture
    def bed(self, request: pytest.FixtureRequest) -> Iterator[Bed]:
        """A provider to test, and what the test leaves there taken away afterwards."""
        named = getattr(self, "rig", None)
        rig = named if isinstance(named, Rig) else request.getfixturevalue("rig")
        bed = Bed(rig)
        try:
            yield bed
        finally:
            bed.tidy()
