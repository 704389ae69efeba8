"""Putting the Slurm provider together: settings in, a `Provider` out. Nothing is asked of the cluster yet.

Settings, each with `slurm.` before it:

    login             where Slurm's commands are, USER@HOST or USER@HOST:PORT; without it this machine
    folder            a folder that the login node and every node share (~/.flow-slurm)
    python            the Python 3.8 or newer that the login node and every node have (python3)
    account, qos, constraint, time    what tasks that say nothing are submitted with
    images            what runs images on the nodes: pyxis, apptainer or singularity (what the login node has)
    gpu_names         GPU families by the cluster's own types: 'tesla=v100,big=a100-80gb'
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from flow_core.errors import Misconfigured
from flow_core.ports.provider import Limits, Provider, ProviderContext
from flow_providers.slurm.asked import OPTIONS, SETTINGS, partitions_of
from flow_providers.slurm.catalog import Surveyor
from flow_providers.slurm.estate import Estate
from flow_providers.slurm.fleet import SlurmFleet
from flow_providers.slurm.login import Here, Login
from flow_providers.slurm.logs import SlurmLogs
from flow_providers.slurm.market import SlurmMarket
from flow_providers.slurm.setup import SlurmSetup
from flow_providers.slurm.shell import SlurmShell
from flow_providers.slurm.volumes import SlurmVolumes

NAME = "slurm"
FOLDER = "~/.flow-slurm"
#: Real seconds between two looks at files, here and over SSH; the controller is asked less often.
POLL_HERE_S, POLL_THERE_S = 0.25, 1.0
#: Slurm's own limit is 4 MB. Source: slurm.conf(5), max_script_size.
SCRIPT_CHARS = 1_000_000


def connect(context: ProviderContext, *, environ: Mapping[str, str] | None = None) -> Provider:
    """Return the provider over the cluster that settings name.

    Raises:
        Misconfigured: a setting can't be.
    """
    python = _text(context, "python") or "python3"
    login = _login(context, python, os.environ if environ is None else environ)
    estate = Estate(login, _text(context, "folder") or FOLDER)
    surveyor = Surveyor(estate, names=_gpu_names(_text(context, "gpu_names") or ""))
    defaults = {name: value for name in SETTINGS if (value := _text(context, name))}
    market = SlurmMarket(
        estate,
        surveyor,
        clock=context.clock,
        defaults=defaults,
        python=python,
        images=_images(_text(context, "images") or ""),
    )
    return Provider(
        name=NAME,
        market=market,
        offers=lambda options: market.within(partitions_of(options)),
        fleet=SlurmFleet(estate, surveyor),
        shell=SlurmShell(estate, surveyor, python=python),
        clock=context.clock,
        logs=SlurmLogs(estate),
        volumes=SlurmVolumes(estate, surveyor),
        limits=Limits(
            poll_s=POLL_HERE_S if isinstance(login, Here) else POLL_THERE_S,
            script_chars=SCRIPT_CHARS,
            script_is_private=True,
            options=OPTIONS,
            workspace="workspace",
            images_by_kit=True,
            pauses=True,
            shares_hosts=True,
        ),
        setup=SlurmSetup(surveyor, where=login.where),
    )


def _login(context: ProviderContext, python: str, environ: Mapping[str, str]) -> Login:
    told = _text(context, "login")
    if told is None:
        return Here(environ)
    from flow_adapters.ssh import SshShell
    from flow_adapters.ssh.asking import ask_at_terminal
    from flow_providers.slurm.there import There, parse_login

    private = context.options.get("ssh_key")
    shell = SshShell(
        state_dir=Path(context.state_dir) / NAME,
        keys=[Path(str(private)).expanduser()] if private else (),
        workspace="/",
        sudo=(),
        ask_passphrase=ask_at_terminal,
    )
    return There(parse_login(told), shell, python=python)


def _images(text: str) -> str:
    if text not in ("", "pyxis", "apptainer", "singularity"):
        raise Misconfigured(f"slurm.images is {text!r}; it can be pyxis, apptainer or singularity")
    return text


def _gpu_names(text: str) -> dict[str, str]:
    found = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        name, equals, family = each.partition("=")
        if not equals or not name.strip() or not family.strip():
            raise Misconfigured(
                f"slurm.gpu_names has {each!r}; write it like tesla=v100,big=a100-80gb"
            )
        found[name.strip().lower()] = family.strip()
    return found


def _text(context: ProviderContext, name: str) -> str | None:
    """Return a setting of ours by its full name; short ones, such as `time`, may be someone else's."""
    value = context.options.get(f"{NAME}.{name}")
    return str(value).strip() or None if value is not None else None
