"""What a task may ask of its containers beyond the image: options, read and checked before anything is placed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from flow_core.domain.task_parts import Mount
from flow_core.errors import InvalidRequest
from flow_providers.local_docker.facts import YES

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
#: Docker refuses less. Source: its manual, `docker run --memory`.
_LEAST_MEMORY = 6 << 20


@frozen(kw_only=True)
class Asked:
    """A task's options as values; sizes in bytes, None where nothing was said."""

    cpus: float | None = None
    memory: int | None = None
    shm: int | None = None
    binds: tuple[str, ...] = ()
    publish: tuple[tuple[int, int], ...] = ()
    user: str = ""
    is_live: bool = False
    on_host_network: bool = False


def read_options(
    options: Mapping[str, str],
    *,
    workspace: str,
    folders: Sequence[Mount] = (),
    quantity: int = 1,
    is_here: bool = True,
) -> Asked:
    """Return what `options` ask for, and mounts of folders; those are looked for where the engine `is_here`.

    Raises:
        InvalidRequest: under `options` or `mounts`, a sentence for each that can't be.
    """
    problems: list[str] = []
    unmounted: list[str] = []
    folder_of = _folder if is_here else _named
    binds: list[str] = []
    if options.get("live"):
        binds.append(f"{folder_of(options['live'], 'live', problems)}:{workspace}")
    for each in filter(None, options.get("mount", "").split(",")):
        binds += _bind(each.strip(), folder_of, problems)
    for mount in folders:
        folder = folder_of(mount.source, mount.path, unmounted)
        binds.append(f"{folder}:{mount.path}" + (":ro" if mount.read_only else ""))
    memory = _bytes(options, "memory", problems)
    if memory is not None and memory < _LEAST_MEMORY:
        problems.append(f"memory is {options['memory']}; Docker gives 6m at least")
    asked = Asked(
        cpus=_cpus(options.get("cpus"), problems),
        memory=memory,
        shm=_bytes(options, "shm", problems),
        binds=tuple(binds),
        publish=tuple(_ports(options.get("publish", ""), problems)),
        user=options.get("user", "") or (_own_user() if binds and is_here else ""),
        is_live=bool(options.get("live")),
        on_host_network=options.get("network") == "host",
    )
    if options.get("network", "host") != "host":
        problems.append(f"network is {options['network']!r}; it can be host, or be left out")
    if asked.on_host_network and quantity > 1:
        problems.append("network=host is for one instance; several need addresses of their own")
    if options.get("pretend_gpus", "no") not in (*YES, "no", "false", "0"):
        problems.append(f"pretend_gpus is {options['pretend_gpus']!r}; write yes or no")
    if asked.user and not re.fullmatch(r"[0-9]+(:[0-9]+)?", asked.user):
        problems.append(f"user is {asked.user!r}; write it like 1000 or 1000:1000")
    told = {"options": "; ".join(problems), "mounts": "; ".join(unmounted)}
    if problems or unmounted:
        raise InvalidRequest({name: text for name, text in told.items() if text})
    return asked


def check_limits(asked: Asked, about: Mapping[str, object]) -> None:
    """Return if the engine whose `/info` is `about` holds containers to what is asked for.

    Some take a limit and enforce none: those without root on cgroups of version 1, whatever Podman says of itself
    there. Sources: the Docker Engine API, `SystemInfo`; Docker's manual, "Rootless mode", on limiting resources.

    Raises:
        InvalidRequest: under `options`, what it doesn't.
    """
    wanted = {"memory": (asked.memory, "MemoryLimit"), "cpus": (asked.cpus, "CpuCfsQuota")}
    security = about.get("SecurityOptions")
    may_none = about.get("CgroupVersion") == "1" and "rootless" in str(security)
    lacking = [
        name
        for name, (value, can) in wanted.items()
        if value is not None and (may_none or about.get(can) is False)
    ]
    if lacking:
        raise InvalidRequest(
            {"options": f"this engine holds no container to its {' or '.join(lacking)}"},
            hint="leave that out; an engine without root can where cgroups are of version 2",
        )


def absolute(options: Mapping[str, str]) -> dict[str, str]:
    """Return options whose folders mean the same wherever they are read later."""
    told = dict(options)
    if told.get("live"):
        told["live"] = str(Path(told["live"]).expanduser().absolute())
    return told


def _cpus(text: str | None, problems: list[str]) -> float | None:
    if text is None:
        return None
    try:
        count = float(text)
    except ValueError:
        count = 0.0
    if not 0.01 <= count <= 4096:
        problems.append(f"cpus is {text!r}; write a number such as 2 or 0.5")
        return None
    return count


def _bytes(options: Mapping[str, str], name: str, problems: list[str]) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        problems.append(f"{name} is {text!r}; write a size such as 512m or 16g")
        return None
    return int(float(match[1]) * 1024 ** _UNITS[match[2].lower()])


def _bind(
    text: str, folder_of: Callable[[str, str, list[str]], str], problems: list[str]
) -> list[str]:
    here, _, rest = text.partition(":")
    there, _, mode = rest.partition(":")
    if not there.startswith("/") or mode not in ("", "ro", "rw"):
        problems.append(f"mount is {text!r}; write it like /here:/there or /here:/there:ro")
        return []
    return [f"{folder_of(here, 'mount', problems)}:{there}" + (f":{mode}" if mode else "")]


def _folder(text: str, name: str, problems: list[str]) -> str:
    path = Path(text).expanduser().absolute()
    if not path.exists():
        problems.append(f"{name}: there is no {path} on this machine")
    if ":" in str(path):
        problems.append(f"{name}: {path} has a colon in its name, which Docker can't mount")
    return str(path)


def _named(text: str, name: str, problems: list[str]) -> str:
    """Return a folder of a machine that can't be looked at from here."""
    if not text.startswith("/") or ":" in text:
        problems.append(
            f"{name}: {text} is no folder of the engine's machine; write a path from its root"
        )
    return text


def _ports(text: str, problems: list[str]) -> list[tuple[int, int]]:
    found = []
    for each in filter(None, text.split(",")):
        here, _, there = each.strip().partition(":")
        numbers = [here, there or here]
        if all(number.isdecimal() and 0 < int(number) < 65_536 for number in numbers):
            found.append((int(numbers[0]), int(numbers[1])))
        else:
            problems.append(f"publish is {each.strip()!r}; write it like 8080 or 8080:80")
    return found


def _own_user() -> str:
    """Return who owns what we make, where that isn't root: files in a mounted folder are then the user's own."""
    if not hasattr(os, "getuid") or os.getuid() == 0:
        return ""
    return f"{os.getuid()}:{os.getgid()}"
