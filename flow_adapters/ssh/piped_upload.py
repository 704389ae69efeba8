"""Uploads by OpenSSH's own client, to one node."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

from flow_adapters.archives import opened
from flow_adapters.deltas import Deltas
from flow_adapters.ssh.openssh import OWN_FAILURE
from flow_adapters.ssh.piped import Client, Way
from flow_adapters.ssh.upload_talk import Talk, framed, head_of, tail_of
from flow_core.domain.code import Bundle
from flow_core.ports.code import Packing, taken
from flow_core.ports.shell import NodeEvent, NodeExit, NodeLost


def uploaded(
    way: Way,
    line: str,
    bundle: Bundle | Packing,
    *,
    hold: Callable[[Client], None],
    begun: Client | None = None,
) -> Generator[NodeEvent, None, bool]:
    """Send one node what it lacks of a snapshot, by the line that `upload_talk` made; return as `called` does.

    One that has `begun` is at that line already. Whoever has sent something is likely to come again at once. So a
    client that keeps a door is handed to `hold`.
    """
    node = way.node
    try:
        client = begun or Client(way, line, has_input=True, keeps_door=way.keeps_door)
    except OSError:
        return False
    talk = Talk()
    is_held = False
    try:
        for stream, data in client.pieces():
            for said in talk.take(stream, data):
                if "has" in said:
                    client.send(_sent(bundle, said["has"], said["dirty"]))
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


def _sent(bundle: Bundle | Packing, has: str, dirty: Sequence[str]) -> Iterator[bytes]:
    if not has and not isinstance(bundle, Bundle) and not bundle.is_done:
        yield head_of(None)
        yield from map(framed, bundle.pieces())
        yield framed(b"")
    elif has != taken(bundle).digest:
        archive = Path(taken(bundle).location)
        delta = Deltas(archive).since(has, dirty)
        yield head_of(delta)
        with opened(archive) as file:
            yield from delta.pieces(file)
    yield tail_of(taken(bundle))
