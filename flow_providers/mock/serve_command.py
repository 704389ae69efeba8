"""`flow mock serve`: the simulator behind a port, and what to paste to use it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from flow_adapters.clocks import SystemClock
from flow_adapters.places import made, state_dir
from flow_core.errors import Unsupported
from flow_providers.mock.http.service import Service, on_disk
from flow_providers.mock.rules import Mood


def serve_until_interrupted(
    *,
    environ: Mapping[str, str],
    port: int,
    rate: float,
    seed: int | None,
    state_dir: str | None,
    mood: str,
    with_control: bool,
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
    service = on_disk(
        folder, SystemClock(), rate=rate, mood=Mood(mood), seed=seed, control_token=token
    )
    server = Server(service, port=port)
    said = {
        "url": server.url,
        "api_key": service.api_key,
        "project": service.project,
        "control_token": token,
        "folder": str(folder),
    }
    say(said, *_greeting(service, server.url, rate=rate, folder=folder, token=token))
    server.run()


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
