"""The composition root: the one file that knows everything, and puts a session together.

Nothing else chooses an implementation of a port. What is expensive to import is imported when its part is put in.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flow_adapters import places
from flow_adapters.clocks import ManualClock, SystemClock
from flow_adapters.journal import SqliteJournal
from flow_adapters.later import Once, later
from flow_adapters.log_keep import FolderLogKeep
from flow_adapters.ssh_hosts import hosts_of
from flow_adapters.watch import ProcessWatch
from flow_core.errors import Misconfigured
from flow_core.ports.journal import Journal
from flow_core.ports.provider import Provider, ProviderContext
from flow_core.ports.vault import Vault
from flow_core.ports.watch import Watch
from flow_core.services.ports import Defaults, Ports
from flow_core.services.session import Session

if TYPE_CHECKING:
    from flow_adapters.credentials import LocalSecrets
    from flow_core.domain.node_files import NodeFiles
    from flow_core.domain.settings import Settings
    from flow_core.ports.buckets import Buckets
    from flow_core.ports.code import CodeStore


class CloudInMemory(Protocol):
    """A cloud that a test holds; `flow_providers.mock.PretendCloud` is one."""

    clock: ManualClock
    provider: Provider

    def after_events(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Have `listener` called whenever time has passed something that happened."""
        ...

    def changes(self) -> object:
        """Return something that differs whenever the cloud has changed since; cheap to ask."""
        ...


class Unwatched:
    """Implements `ports.watch.Watch` inside the watcher itself, which needs no other."""

    def ensure(self) -> None:
        """See `Watch.ensure`."""

    def is_running(self) -> bool:
        """See `Watch.is_running`."""
        return True

    def trouble(self) -> str | None:
        """See `Watch.trouble`."""
        return None


def connect(
    *,
    provider: str | None = None,
    options: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    state_dir: Path | None = None,
    journal: Journal | None = None,
    secrets: Mapping[str, str] | None = None,
    vault: Vault | None = None,
    watched: bool = False,
) -> Session:
    """Return a session with `provider`, or with the configured one.

    `options` are settings by name that outrank every file and variable. `watched` says that the caller is the watcher;
    `secrets` are then what commands handed to it, and `vault` holds those of tasks.

    Raises:
        Misconfigured: no provider is configured, it can't be loaded, or a settings file is wrong.
    """
    from flow_adapters.vault import HandedVault

    surroundings = dict(os.environ if environ is None else environ)
    surroundings.update(secrets or {})
    settings = load_settings(provider=provider, options=options, environ=surroundings)
    name = settings.text("provider")
    if name is None:
        raise Misconfigured(
            "no provider is chosen",
            hint="try the simulated market with `flow --provider mock ...` (or `flow config set provider mock`); "
            "for Mithril run `flow setup`",
        )
    clock = SystemClock()
    folder = places.made(state_dir or places.state_dir(surroundings))
    return Session(
        Ports(
            provider=open_provider(name, settings=settings, environ=surroundings, folder=folder),
            journal=journal or open_journal(folder),
            clock=clock,
            code=later(Once(lambda: _code_store(folder))),
            watch=_watch(folder, clock, surroundings, watched=watched),
            chance=random.Random(),
            node_files=later(Once(lambda: _node_files(folder))),
            log_keep=FolderLogKeep(folder / "logs"),
            vault=vault or HandedVault(folder, clock=clock, environ=surroundings),
            defaults=_defaults(settings),
            ssh_hosts=hosts_of(folder, surroundings),
            buckets=later(Once(lambda: _buckets(surroundings))),
        )
    )


def _code_store(folder: Path) -> CodeStore:
    from flow_adapters.packing import TarCodeStore

    return TarCodeStore(folder / "code", without=folder)


def _node_files(folder: Path) -> NodeFiles:
    from flow_adapters.node_files import kept_node_files

    return kept_node_files(folder / "node.json")


def _buckets(surroundings: Mapping[str, str]) -> Buckets:
    from flow_adapters.aws_files import AwsFiles

    return AwsFiles(surroundings)


def open_provider(
    name: str,
    *,
    environ: Mapping[str, str],
    answers: Mapping[str, object] | None = None,
    settings: Settings | None = None,
    folder: Path | None = None,
) -> Provider:
    """Return a provider by name; `answers` are settings by their full names that outrank those in force.

    `settings` and the state's `folder` are those of `environ` unless given.

    Raises:
        Misconfigured: there is none of that name, it can't be loaded, or a setting of its own is wrong.
    """
    from flow_adapters import discovery

    settings = settings or load_settings(environ=environ)
    context = ProviderContext(
        state_dir=str(folder or places.made(places.state_dir(environ))),
        clock=SystemClock(),
        options={**_options(settings, name), **(answers or {})},
        secrets=local_secrets(settings, environ),
    )
    return discovery.load(name)(context)


def local_secrets(settings: Settings, environ: Mapping[str, str]) -> LocalSecrets:
    """Return where this machine keeps secrets: the environment, then the keyring or the file that settings name."""
    from flow_adapters.credentials import LocalSecrets

    named = settings.text("secrets_file")
    file = Path(named).expanduser() if named else None
    return LocalSecrets(environ, variables=_secret_variables(), file=file)


def connect_in_memory(
    cloud: CloudInMemory, *, seed: int = 0, defaults: Defaults | None = None
) -> Session:
    """Return a session with a cloud in memory: no process, no disk, no time but the cloud's clock."""
    from flow_adapters.memory import MemoryLogKeep, SteppedWatch, UnpackedCode
    from flow_adapters.node_files import load_node_files
    from flow_adapters.vault import HeldVault

    journal = SqliteJournal(":memory:")
    watch = SteppedWatch(cloud.clock, lambda: (journal.changes(), cloud.changes()))
    session = Session(
        Ports(
            provider=cloud.provider,
            journal=journal,
            clock=cloud.clock,
            code=UnpackedCode(),
            watch=watch,
            chance=random.Random(seed),
            node_files=load_node_files(),
            log_keep=MemoryLogKeep(),
            vault=HeldVault(os.environ),
            defaults=defaults or Defaults(),
        )
    )
    watch.drive(session.watcher)
    cloud.after_events(watch.wake)
    return session


def load_settings(
    *,
    provider: str | None = None,
    options: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings in force here, each with its origin.

    Raises:
        Misconfigured: a file of settings is wrong; the message names the line.
    """
    from flow_adapters import config_files
    from flow_core.domain.settings import Layer

    explicit = [Layer("said here", dict(options))] if options else []
    if provider is not None:
        explicit.append(Layer("--provider", {"provider": provider}))
    surroundings = os.environ if environ is None else environ
    return config_files.load_settings(surroundings, cwd=Path.cwd(), explicit=explicit)


def open_journal(state_dir: Path) -> Journal:
    """Return the journal of a state folder, made when it isn't there."""
    return SqliteJournal(state_dir / "journal.sqlite")


def _watch(folder: Path, clock: SystemClock, environ: Mapping[str, str], *, watched: bool) -> Watch:
    if watched:
        return Unwatched()
    from flow_adapters.aws_files import SECRETS

    names = [each for variables in _secret_variables().values() for each in variables]
    names += SECRETS
    secrets = {name: environ[name] for name in names if name in environ}
    return ProcessWatch(folder, clock=clock, environ=environ, secrets=secrets)


def _options(settings: Settings, provider: str) -> dict[str, object]:
    """Return what a provider may know: what is no provider's, and its own section by short and by full names.

    Where both have a name, such as `ssh_key`, the short one is what is no provider's.
    """
    general = {
        key: entry.value
        for key, entry in settings.entries.items()
        if "." not in key and entry.value is not None and not entry.setting.secret
    }
    own = settings.section(provider)
    return {**own, **general, **{f"{provider}.{key}": value for key, value in own.items()}}


def _secret_variables() -> dict[str, tuple[str, ...]]:
    """Return the variables that may hold each secret; the watcher gets theirs over a pipe."""
    from flow_core.domain.settings import SETTINGS

    return {each.name: each.environment for each in SETTINGS.values() if each.secret}


def _defaults(settings: Settings) -> Defaults:
    return Defaults(
        instance_type=settings.shape("instance_type"),
        region=settings.text("region"),
        ceiling=settings.price("max_price_per_hour"),
        confirm_above=settings.price("confirm_above_price_per_hour"),
    )
