"""Instance types of the simulated service, asked for as people write them."""

from __future__ import annotations

import pytest

from flow_adapters.clocks import ManualClock
from flow_core.domain.placement import choose
from flow_core.domain.shape import parse_shape
from flow_core.domain.task import TaskSpec
from flow_providers.mock.http.service import in_memory
from flow_providers.mock.http.transport import DoorTransport
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.memory_shell import MemoryShell
from flow_providers.mock.prices import TYPES
from tests.meeting import site


@pytest.fixture
def market():
    """The market of a simulator with the whole catalogue."""
    clock = ManualClock()
    service = in_memory(clock)
    return site.connect(
        service,
        clock=clock,
        shell=MemoryShell(MemoryNodes(clock)),
        transport=DoorTransport(service.handle),
    ).market


def test_every_type_is_found_by_name_and_by_id(market):
    """Mithril's name of a type finds all that is called so and nothing else; an id finds what has that id."""
    every = market.quotes()
    shapes = {each.shape for each in TYPES.values()}

    assert {str(shape) for shape in shapes} == {str(quote.shape) for quote in every}
    for name, kind in TYPES.items():
        asked = parse_shape("cpu" if kind.shape.gpu == "cpu" else name)
        assert {str(kind.shape)} == {str(quote.shape) for quote in market.quotes(asked)}
    for quote in every:
        found = market.quotes(parse_shape(quote.type_id))
        assert {quote.type_id} == {each.type_id for each in found}


def test_a_task_by_id_is_planned_where_that_id_is_cheapest(market):
    """A plan for a raw id takes the cheapest region of that id, and tells the shape that it turned out to be."""
    every = market.quotes()
    dearest = max((each for each in every if each.shape.gpus == 8), key=lambda each: each.price)
    spec = TaskSpec(command="true", instance_type=parse_shape(dearest.type_id))
    plan = choose(spec, market.quotes(spec.instance_type))

    assert dearest.type_id == plan.quote.type_id
    assert 8 == plan.quote.shape.gpus
    assert all(dearest.type_id == each.quote.type_id for each in plan.rejected)
