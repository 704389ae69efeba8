"""Why a node gave no answer, in words a person can act on."""

from __future__ import annotations

import asyncio
import errno
import socket

from flow_adapters.lean_asyncssh import asyncssh
from flow_adapters.ssh.trust import fingerprint

#: What sshd says of itself when it closes a door, and what to make of it.
_TOO_MANY_KEYS = "too many authentication failures"


class KeyChanged(Exception):
    """The node shows another host key than the one pinned to it."""

    def __init__(self, *, pinned: str, shown: str, file: str, alias: str) -> None:
        super().__init__(
            f"host key changed: {fingerprint(pinned)} is pinned to this node, and it now shows {fingerprint(shown)}; "
            f"if you know why, `flow ssh --trust` accepts it in place of {alias} in {file}; "
            "else somebody may be in between"
        )


class Lost(Exception):
    """A call can't be run or its end wasn't heard; the message is the reason."""


def reason_for(error: BaseException, *, where: str, user: str, timeout_s: float) -> str:
    """Return one sentence on why `user` got no answer from `where`."""
    if isinstance(error, (Lost, KeyChanged)):
        return str(error)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return f"no answer from {where} within {timeout_s:g} s"
    if isinstance(error, asyncssh.Error):
        return _ssh_reason(error, where, user)
    if isinstance(error, socket.gaierror):
        return f"{where} is no host that this machine can find"
    if isinstance(error, OSError):
        return _network_reason(error, where)
    return f"{where}: {str(error) or type(error).__name__}"


def _ssh_reason(error: asyncssh.Error, where: str, user: str) -> str:
    if isinstance(error, asyncssh.PermissionDenied) or _TOO_MANY_KEYS in error.reason.lower():
        return f"no key accepted for {user} by {where}"
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return f"no way of encrypting in common with {where}: {error.reason}"
    if isinstance(error, asyncssh.ConnectionLost):
        return f"the connection to {where} was lost"
    if isinstance(error, asyncssh.ChannelOpenError):
        return f"{where} refused another session: {error.reason}"
    return f"{where} ended the connection: {error.reason}"


def _network_reason(error: OSError, where: str) -> str:
    text = str(error)
    # asyncio joins the errors of several addresses into one without a number.
    if error.errno == errno.ECONNREFUSED or "Connect call failed" in text or "refused" in text:
        return f"connection refused by {where}"
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN):
        return f"no route to {where}"
    if error.errno in (errno.ECONNRESET, errno.EPIPE):
        return f"the connection to {where} was reset"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "this machine has no file descriptors left for another connection; raise `ulimit -n`"
    return f"{where}: {error.strerror or text}"
