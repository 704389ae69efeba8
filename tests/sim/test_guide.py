"""The guide's own words are tried."""

from __future__ import annotations

import re

from flow_providers.mock.http.troubles import KINDS
from tests.house import tree
from tests.sim.clients import CONTROL_TOKEN, Sim

GUIDE = (tree.ROOT / "docs" / "guides" / "simulator.md").read_text("utf-8")


def test_guide_s_program_runs():
    """What the guide shows in Python does what it says."""
    [program] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)

    exec(program, {})


def test_guide_names_every_control_and_every_fault():
    """Each request of the control API and each kind of fault is in the guide, and none that isn't there."""
    listed = Sim().client(CONTROL_TOKEN).get("/_sim/nope").json()["detail"]
    known = {name.strip() for name in listed.removeprefix("There are: ").split(",")}
    told = set(re.findall(r"`(?:GET|POST|DELETE) ([a-z/]+)`", GUIDE))

    assert known == told
    assert set(KINDS) == set(re.findall(r"^\| `([a-z-]+)` \| ", GUIDE, re.MULTILINE)) & set(KINDS)
