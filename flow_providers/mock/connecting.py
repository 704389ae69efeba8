"""The pretend cloud of this machine: its world in a file, its nodes as processes.

Options, by name, from the user's settings (section `mock`) or the environment (`FLOW_MOCK_...`):

    rate               simulated seconds in a real one (60)
    notice_min_real_s  a preemption's notice lasts at least this many real seconds (10)
    instant            look at bids at once and boot in no time (no)
    mood               how other bidders behave: quiet, calm or stormy (calm)
    mount_links        give volumes as links below $FLOW_MOUNTS (no)
    seed               what other bidders and ids are drawn from, when the world begins (chance)

Each may also be written with `mock.` before it.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from pathlib import Path

from flow_core.errors import Misconfigured
from flow_core.ports.provider import Limits, Provider, ProviderContext
from flow_providers.mock.birth import drawn_seed
from flow_providers.mock.engine import Engine
from flow_providers.mock.pace import AnchoredPace
from flow_providers.mock.process_nodes import ProcessNodes, Times
from flow_providers.mock.provide import NAME, OPTIONS, provider
from flow_providers.mock.rules import Mood, Rules
from flow_providers.mock.shell import ProcessShell
from flow_providers.mock.sqlite_store import SqliteStore
from flow_providers.mock.world_clock import WorldClock, WorldTimes

IMAGE_NOTE = (
    "the mock does not use images: the command runs on this machine, with what is installed here"
)
_NAMES = ("rate", "notice_min_real_s", "instant", "mood", "mount_links", "seed")
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def connect(context: ProviderContext) -> Provider:
    """Return the provider over the world in `<state_dir>/mock`, which begins with the first call.

    Raises:
        Misconfigured: an option's value is none.
    """
    options = _own(context.options)
    rules = rules_of(options)
    root = Path(context.state_dir) / NAME
    store = SqliteStore(root / "world.sqlite")
    told = WorldTimes(store, rules)
    times = Times(simulated=told.simulated, real=told.real)
    nodes = ProcessNodes(root, times=times, mount_links=_flag(options, "mount_links"))
    seed = options.get("seed", context.seed)
    engine = Engine(
        store,
        nodes,
        pace=AnchoredPace(context.clock, rules),
        rules=rules,
        seed=lambda: drawn_seed(random.SystemRandom()) if seed is None else str(seed),
        born_at=context.clock.now,
        user=context.user,
        on_wipe=lambda: _forget_files(root),
    )
    return provider(
        engine,
        shell=ProcessShell(nodes),
        clock=WorldClock(engine, context.clock),
        limits=Limits(
            poll_s=0.25,
            script_is_private=True,
            options=OPTIONS,
            workspace="~/workspace",
            image_note=IMAGE_NOTE,
            simulated=True,
            pauses=True,
            shares_hosts=True,
        ),
    )


def rules_of(options: Mapping[str, object]) -> Rules:
    """Return the rules that `options` ask for.

    Raises:
        Misconfigured: a value is no number, no yes or no, or no mood.
    """
    given = Rules()
    return Rules(
        rate=_number(options, "rate", given.rate, least=0.001),
        notice_min_real_s=_number(options, "notice_min_real_s", given.notice_min_real_s),
        instant=_flag(options, "instant"),
        mood=_mood(options),
    )


def _own(options: Mapping[str, object]) -> dict[str, object]:
    """Return our options by their names alone; what was said without `mock.` outranks what was said with it."""
    prefix = f"{NAME}."
    named = {
        key.removeprefix(prefix): value for key, value in options.items() if key.startswith(prefix)
    }
    bare = {key: value for key, value in options.items() if key in _NAMES}
    return {key: value for key, value in {**named, **bare}.items() if value is not None}


def _forget_files(root: Path) -> None:
    for name in ("nodes", "volumes"):
        shutil.rmtree(root / name, ignore_errors=True)


def _number(
    options: Mapping[str, object], name: str, default: float, *, least: float = 0.0
) -> float:
    value = options.get(name, default)
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not least <= number <= 1_000_000:
        raise Misconfigured(
            f"mock.{name} is {value!r}, which is no number from {least:g} to 1,000,000"
        )
    return number


def _flag(options: Mapping[str, object], name: str) -> bool:
    value = str(options.get(name, "")).strip().lower()
    if value not in (*_YES, *_NO):
        raise Misconfigured(f"mock.{name} is {options[name]!r}; say yes or no")
    return value in _YES


def _mood(options: Mapping[str, object]) -> Mood:
    value = str(options.get("mood", Mood.CALM.value)).strip().lower()
    known = [mood.value for mood in Mood]
    if value not in known:
        raise Misconfigured(f"mock.mood is {value!r}; it can be {', '.join(known)}")
    return Mood(value)
