"""One call of `flow`: what was asked for all commands alike, the streams, and the session, made when first needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flow_cli.streams import Out, Talk
    from flow_core.ports.machine import Machine
    from flow_core.ports.provider import Provider
    from flow_core.services.session import Session

#: provider by name (None: as configured), environment -> a session.
Connect = Callable[[str | None, Mapping[str, str]], "Session"]
#: provider by name, environment, answers that outrank settings -> the provider alone.
Open = Callable[[str, Mapping[str, str], Mapping[str, object]], "Provider"]


class Invocation:
    """What the commands share. All that can be given is given by tests."""

    def __init__(
        self,
        *,
        connect: Connect | None = None,
        open_provider: Open | None = None,
        machine: Machine | None = None,
        environ: Mapping[str, str] | None = None,
        terminal: bool | None = None,
        width: int | None = None,
    ) -> None:
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self.provider: str | None = None
        self.json = False
        self.verbosity = 0
        self.no_color = bool(self.environ.get("NO_COLOR"))
        #: Whether the exit code is meant for the user's own command, so that Flow's failures are 125.
        self.passes_on = False
        #: How the user writes the fields of a task: `instance_type` -> `--instance-type`.
        self.spelled: dict[str, str] = {"yes": "--yes"}
        #: What an error document says besides the error, such as the task that it is about.
        self.subject: dict[str, object] = {}
        self._connect = connect or _connect
        self._open = open_provider or _open
        self._machine = machine
        self._terminal = (
            False if terminal is None and self.environ.get("TERM") == "dumb" else terminal
        )
        self._width = width
        self._session: Session | None = None

    def session(self) -> Session:
        """Return the session with the chosen provider, the same one at each call."""
        if self._session is None:
            self._session = self._connect(self.provider, self.environ)
        return self._session

    def session_with(self, provider: str) -> Session:
        """Return a session with a provider by name, whichever was chosen."""
        return self._connect(provider, self.environ)

    def provider_with(self, name: str, answers: Mapping[str, object]) -> Provider:
        """Return a provider by name as it would be with `answers`, without a session."""
        return self._open(name, self.environ, answers)

    def machine(self, ssh_key: str | None) -> Machine:
        """Return this machine as it can be looked at; `ssh_key` is the private key that the settings name."""
        if self._machine is not None:
            return self._machine
        from flow_adapters.machine import LocalMachine

        return LocalMachine(self.environ, ssh_key=ssh_key)

    @property
    def debug(self) -> bool:
        """Whether faults are shown in full."""
        return bool(self.environ.get("FLOW_DEBUG"))

    @cached_property
    def out(self) -> Out:
        """Where data goes."""
        from flow_cli.streams import Out

        return Out("stdout", terminal=self._terminal, colour=self._colour, width=self._width)

    @cached_property
    def talk(self) -> Talk:
        """Where words go."""
        from flow_cli.streams import Talk

        return Talk("stderr", terminal=self._terminal, colour=self._colour, width=self._width)

    @property
    def _colour(self) -> bool:
        return not self.no_color


def _connect(provider: str | None, environ: Mapping[str, str]) -> Session:
    from flow_adapters.wiring import connect

    return connect(provider=provider, environ=environ)


def _open(name: str, environ: Mapping[str, str], answers: Mapping[str, object]) -> Provider:
    from flow_adapters.wiring import open_provider

    return open_provider(name, environ=environ, answers=answers)


pass_invocation = click.make_pass_decorator(Invocation)
