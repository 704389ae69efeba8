"""The pretend cloud of a machine: its options, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flow_adapters.clocks import ManualClock
from flow_core.domain.shape import parse_shape
from flow_core.errors import Misconfigured
from flow_core.ports.provider import ProviderContext
from flow_providers.mock import connect
from flow_providers.mock.connecting import rules_of
from flow_providers.mock.rules import Mood


def context(folder: Path, **options: object) -> ProviderContext:
    """Say what the composition root would."""
    return ProviderContext(state_dir=str(folder), clock=ManualClock(), options=options, user="ada")


def test_world_begins_with_the_first_call(tmp_path: Path):
    """Connecting writes nothing; the first question makes the world, with who we are in it."""
    provider = connect(context(tmp_path))
    before = list(tmp_path.iterdir())
    me = provider.account.me()

    assert [] == before
    assert "ada" == me.name
    assert me.id.startswith("user_")
    assert (True, True, True) == (
        provider.limits.simulated, provider.limits.shares_hosts, provider.limits.script_is_private,
    )  # fmt: skip


def test_documented_shape_starts_at_the_documented_price(tmp_path: Path):
    """8xh100 starts at $8.00 an hour, a dollar a GPU, as the guide shows."""
    quotes = connect(context(tmp_path)).market.quotes(parse_shape("8xh100"))

    assert "$8.00" == str(min(quote.price for quote in quotes))
    assert all(quote.floor < quote.price for quote in quotes)


def test_catalogue_has_the_promised_types(tmp_path: Path):
    """A100 in four sizes, H100, H200 and B200 by eight, and a small machine without a GPU, each in several regions."""
    quotes = connect(context(tmp_path)).market.quotes()
    regions: dict[str, set[str]] = {}
    for quote in quotes:
        regions.setdefault(str(quote.shape), set()).add(quote.region)
    promised = {
        "1xa100-80gb",
        "2xa100-80gb",
        "4xa100-80gb",
        "8xa100-80gb",
        "8xh100",
        "8xh200",
        "8xb200",
        "cpu",
    }

    assert promised <= set(regions)
    assert all(len(found) > 1 for found in regions.values())


def test_seed_makes_the_same_world(tmp_path: Path):
    """Two worlds of one seed have the same ids; without a seed they differ."""

    def ids(folder: str, **options: object) -> set[str]:
        return {
            quote.type_id
            for quote in connect(context(tmp_path / folder, **options)).market.quotes()
        }

    assert ids("a", seed=1) == ids("b", seed="1")
    assert ids("c") != ids("d")


@pytest.mark.parametrize("prefix", ["", "mock."])
def test_options_come_by_either_name(tmp_path: Path, prefix: str):
    """Settings arrive as `mock.rate` or as `rate`; text is read as what it means."""
    engine = connect(
        context(tmp_path, **{f"{prefix}rate": "600", f"{prefix}instant": "yes"})
    ).market.engine  # type: ignore[attr-defined]

    assert (600.0, True) == (engine.rules.rate, engine.rules.instant)


@pytest.mark.parametrize(
    ("name", "value"),
    [("rate", "fast"), ("rate", 0), ("rate", "nan"), ("instant", "maybe"), ("mood", "angry")],
)
def test_option_that_is_none_is_refused_by_name(name: str, value: object):
    """A value that means nothing names its setting and itself."""
    with pytest.raises(Misconfigured, match=rf"mock\.{name}.*{value}"):
        rules_of({name: value})


def test_rules_without_options_are_the_documented_ones():
    """Two minutes, five minutes, rate 60, a calm market."""
    rules = rules_of({})

    assert (120.0, 300.0, 60.0, Mood.CALM) == (rules.tick_s, rules.notice_s, rules.rate, rules.mood)


def test_package_imports_nothing_before_it_is_used():
    """Discovery and pytest import the package at start: it brings neither attrs nor sqlite3."""
    code = "import sys, flow_providers.mock; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert not {"attrs", "attr", "sqlite3", "flow_core", "flow_adapters"} & set(loaded)
