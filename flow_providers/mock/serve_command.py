"""`flow mock serve`: the simulator behind a port, and what to paste to use it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

from attrs import evolve

from flow_adapters.clocks import SystemClock
from flow_adapters.places import made, state_dir
from flow_core.errors import Unsupported
from flow_providers.mock.boot.addresses import destination
from flow_providers.mock.boot.hosting import BootingNodes
from flow_providers.mock.http.calls import Place, Whereabouts, nowhere
from flow_providers.mock.http.service import SERVED, Service, on_disk
from flow_providers.mock.process_nodes import Times
from flow_providers.mock.rows import NodeRow
from flow_providers.mock.rules import Mood
from flow_providers.mock.sqlite_store import SqliteStore
from flow_providers.mock.world_clock import WorldTimes


def serve_until_interrupted(
    *,
    environ: Mapping[str, str],
    port: int,
    rate: float,
    seed: int | None,
    state_dir: str | None,
    mood: str,
    with_control: bool,
    boots: bool,
    say: Callable[..., object],
) -> None:
    """Serve until interrupted; first say where, and what a client needs to know: as values, and as lines.

    Raises:
        Unsupported: the extra that holds the server isn't installed.
        Conflict: the port is taken.
    """
    try:
        from flow_providers.mock.http.server import Server
    except ImportError as exc:
        raise Unsupported(
            f"the simulator's server needs {exc.name}, which isn't installed",
            hint="pip install 'flow-compute[sim]'",
        ) from exc
    folder = _folder(environ, state_dir)
    token = secrets.token_urlsafe(18) if with_control else None
    machines = _machines(folder, rate) if boots else None
    service = on_disk(
        folder,
        SystemClock(),
        rate=rate,
        mood=Mood(mood),
        seed=seed,
        host=machines,
        whereabouts=nowhere if machines is None else _whereabouts(machines),
        control_token=token,
    )
    server = Server(service, port=port)
    said = {
        "url": server.url,
        "api_key": service.api_key,
        "project": service.project,
        "control_token": token,
        "folder": str(folder),
        "nodes_boot": machines is not None and machines.why_bare is None,
    }
    say(said, *_greeting(service, server.url, rate=rate, folder=folder, token=token))
    with machines or nullcontext():
        server.run()


def _machines(folder: Path, rate: float) -> BootingNodes:
    """Return what boots this world's nodes, telling their times on the world's clock."""
    times = WorldTimes(SqliteStore(folder / "world.sqlite"), evolve(SERVED, rate=rate))
    return BootingNodes(
        folder / "machines", times=Times(simulated=times.simulated, real=times.real)
    )


def _whereabouts(machines: BootingNodes) -> Whereabouts:
    def place(row: NodeRow) -> Place:
        address = machines.address(row.id)
        return (
            Place()
            if address is None
            else Place(ssh_destination=destination(address), private_ip=address.host)
        )

    return place


def _folder(environ: Mapping[str, str], named: str | None) -> Path:
    return made(Path(named).expanduser() if named is not None else state_dir(environ) / "simulator")


def _greeting(
    service: Service, url: str, *, rate: float, folder: Path, token: str | None
) -> list[str]:
    lines = [
        f"Simulated Mithril at {url}, {rate:g} simulated seconds a second; the world is in {folder}",
        "",
        f"export MITHRIL_API_URL={url}",
        f"export MITHRIL_API_KEY={service.api_key}",
        f"export MITHRIL_PROJECT={service.project}",
    ]
    if token is not None:
        lines += ["", f"control API: {url}/_sim/ with 'Authorization: Bearer {token}'"]
    return [*lines, "", "Ctrl-C stops it; nothing here costs money, and nothing here is a secret."]
