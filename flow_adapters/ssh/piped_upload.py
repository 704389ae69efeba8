"""Uploads by OpenSSH's own client, to one node."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from flow_adapters.deltas import Delta, Deltas
from flow_adapters.ssh.openssh import OWN_FAILURE
from flow_adapters.ssh.piped import Client, Way
from flow_adapters.ssh.upload_talk import Talk, head_of
from flow_core.ports.shell import NodeEvent, NodeExit, NodeLost


def uploaded(
    way: Way, line: str, archive: Path, *, hold: Callable[[Client], None]
) -> Generator[NodeEvent, None, bool]:
    """Send one node what it lacks of a snapshot, by the line that `upload_talk` made; return as `called` does.

    Whoever has sent something is likely to come again at once. So a client that keeps a door is handed to `hold`.
    """
    node = way.node
    try:
        client = Client(way, line, has_input=True, keeps_door=way.keeps_door)
    except OSError:
        return False
    talk, deltas = Talk(), Deltas(archive)
    deltas.foresee()
    is_held = False
    try:
        for stream, data in client.pieces():
            for said in talk.take(stream, data):
                if "has" in said:
                    delta = deltas.since(said["has"], said["dirty"])
                    client.send(_sent(delta, archive))
                    if not way.keeps_door:
                        client.end_input()
                elif said.get("there"):
                    is_held = True
                    hold(client)
                    yield NodeExit(node, 0)
                    return True
        code = client.code()
        if code is None and not client.has_begun:
            return False
        yield talk.last(node, OWN_FAILURE if code is None else code)
    except OSError as error:
        yield NodeLost(node, str(error))
    finally:
        if not is_held:
            client.close()
    return True


def _sent(delta: Delta, archive: Path) -> Iterator[bytes]:
    with archive.open("rb") as file:
        yield head_of(delta)
        yield from delta.pieces(file)
