"""What stands behind the `?` of a mount's source, and volumes that are made when a task first mounts them.

    volume://NAME?size=100gb                   a file volume of 100 GB, unless there is one of that name
    volume://NAME?size=2tb&interface=block     the same as a block volume

Sizes are in GB (10^9 bytes) or TB; a number alone is GB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from flow_core.domain.names import problem_with_name
from flow_core.domain.spelling import nearest
from flow_core.domain.volume import Interface
from flow_core.errors import InvalidRequest

_SIZE = re.compile(r"([0-9]{1,9})(gb|tb|)", re.IGNORECASE)


@frozen
class WantedVolume:
    """A volume as a mount names it; without `capacity_gb` it must exist."""

    name: str
    capacity_gb: int | None = None
    interface: Interface = Interface.FILE


def wanted_volume(source: str) -> WantedVolume:
    """Return what a `volume://` source asks for.

    Raises:
        InvalidRequest: keyed `mounts`, in one sentence.
    """
    name, options = split_source(source, known=("size", "interface"))
    if "size" not in options:
        if options:
            raise _problem(source, "an interface is for a volume to be made; add size=100gb")
        return WantedVolume(name)
    size = _SIZE.fullmatch(options["size"])
    capacity = int(size[1]) * (1_000 if size[2].lower() == "tb" else 1) if size else 0
    if not capacity:
        raise _problem(source, f"size is {options['size']!r}; write it like 100gb or 2tb")
    interfaces = [each.value for each in Interface]
    interface = options.get("interface", Interface.FILE.value)
    if interface not in interfaces:
        raise _problem(source, f"interface is {interface!r}; there are {' and '.join(interfaces)}")
    if problem := problem_with_name(name):
        raise _problem(source, problem)
    return WantedVolume(name, capacity, Interface(interface))


def split_source(source: str, *, known: tuple[str, ...]) -> tuple[str, Mapping[str, str]]:
    """Return a source without its scheme and options, and the options; one that is only named is ''.

    Raises:
        InvalidRequest: keyed `mounts`: an option is not `known`, or is said twice.
    """
    target, _, query = source.partition("://")[2].partition("?")
    options: dict[str, str] = {}
    for each in filter(None, query.split("&")):
        name, _, value = each.partition("=")
        if name not in known:
            near = nearest(name, known)
            advice = f"nearest is {near!r}" if near else f"there are {', '.join(known)}"
            raise _problem(source, f"{name!r} is no option of it; {advice}")
        if name in options:
            raise _problem(source, f"{name} is said twice")
        options[name] = value
    return target, options


def _problem(source: str, text: str) -> InvalidRequest:
    return InvalidRequest({"mounts": f"{source!r}: {text}"})
