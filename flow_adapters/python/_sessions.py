"""Which session `flow.run` and friends use when none is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from flow_core.services.session import Session

_used: ContextVar[Session | None] = ContextVar("flow_session", default=None)
_connected: dict[str | None, Session] = {}


@contextmanager
def use(session: Session) -> Iterator[Session]:
    """While entered, `flow.run` and friends use `session` unless another is named.

    Test suites enter it with the session of a pretend cloud; the `session` fixture does so by itself.
    """
    token = _used.set(session)
    try:
        yield session
    finally:
        _used.reset(token)


def connect(provider: str | None = None) -> Session:
    """Return a session with `provider`, or with the configured one.

    The same call returns the same session again, so that connections are shared. No process needs to run for it.

    Raises:
        Misconfigured: no provider is configured, or the named one can't be loaded.
    """
    if provider not in _connected:
        from flow_adapters.wiring import connect as connect_anew

        _connected[provider] = connect_anew(provider=provider)
    return _connected[provider]


def current(session: Session | None = None, provider: str | None = None) -> Session:
    """Return `session` if given, else the one in use, else a connected one."""
    return session or (_used.get() if provider is None else None) or connect(provider)
