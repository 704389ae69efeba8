"""What the shell offers at TAB: names from this machine's own files, never from the network.

A completion that fails offers nothing; it must never print or raise into somebody's prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from flow_adapters.places import state_dir
from flow_cli.invocation import Invocation

#: More than this many are no help.
_MOST = 200


def task_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return known tasks' names, live ones first."""
    folder = state_dir(_environ(ctx))
    if not folder.is_dir():
        return []
    try:
        from flow_adapters.wiring import open_journal

        return list(open_journal(folder).names(incomplete))[:_MOST]
    except Exception:  # noqa: BLE001  (see above)
        return []


def volume_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the volumes that this machine saw when it last listed, made or deleted one."""
    try:
        names = _volumes_file(_environ(ctx)).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [name for name in names if name.startswith(incomplete) and name.isprintable()][:_MOST]


def instance_types(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the usual counts of each known GPU family."""
    from flow_core.domain.shape import gpu_families

    shapes = [
        f"{count}x{family}" for family in ("h100", "h200", "b200", "a100") for count in (8, 4, 2, 1)
    ]
    return [shape for shape in [*shapes, *gpu_families()] if shape.startswith(incomplete.lower())]


def remember_volumes(environ: Mapping[str, str], names: Sequence[str]) -> None:
    """Note the names of all volumes, for completion; not being able to is no trouble."""
    path = _volumes_file(environ)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in names), "utf-8")
    except OSError:
        pass


def _volumes_file(environ: Mapping[str, str]) -> Path:
    return state_dir(environ) / "volumes-seen.txt"


def _environ(ctx: click.Context) -> Mapping[str, str]:
    invocation = ctx.find_object(Invocation)
    return invocation.environ if invocation is not None else {}
