"""Which loopback address a node gets."""

from __future__ import annotations

from contextlib import ExitStack

from flow_core.domain.allocation import Address
from flow_providers.mock.boot.addresses import bound, destination
from tests.sim_nodes.kit import free_port


def test_a_node_gets_the_same_address_each_time():
    """An address is the node's own, is kept, and moves to another port only where its port is taken."""
    port = free_port()
    with ExitStack() as held:
        first, address = bound("inst_a", before=None, taken=(), port=port)
        first.close()
        again, same = bound("inst_a", before=address, taken=(), port=port)
        held.callback(again.close)
        again.listen()
        moved, other = bound("inst_a", before=address, taken=(), port=port)
        held.callback(moved.close)
        third, apart = bound("inst_a", before=None, taken={address.host}, port=port)
        held.callback(third.close)

    assert address == same
    assert address.host == other.host
    assert address.port != other.port
    assert address.host != apart.host


def test_a_held_address_is_nobody_else_s():
    """Two simulators that name a node alike get two addresses, though neither listens; a closed one is free."""
    port = free_port()
    with ExitStack() as held:
        first, address = bound("inst_a", before=None, taken=(), port=port)
        second, other = bound("inst_a", before=None, taken=(), port=port)
        held.callback(second.close)
        first.close()
        third, again = bound("inst_a", before=None, taken=(), port=port)
        held.callback(third.close)

    assert address.host != other.host
    assert address == again


def test_an_address_is_written_as_the_service_writes_it():
    """Port 22 goes without saying."""
    assert "127.1.2.3" == destination(Address("127.1.2.3"))
    assert "127.1.2.3:2222" == destination(Address("127.1.2.3", 2222))
