"""Addresses of servers as settings write them, and the origins that keys are bound to. Nothing here loads httpx."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from flow_core.errors import Misconfigured

_OWN_PORTS = {"http": 80, "https": 443}
#: A host as it may be written: names of letters that DNS has, numbers, IPv6 in brackets (which urlsplit takes off).
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?|[0-9a-f:.]*:[0-9a-f:.]*")


def origin_of(url: str) -> str:
    """Return scheme, host and port, the scheme's own port left out; empty for what is no server's address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    host = parts.hostname or ""
    if not _HOST.fullmatch(host):
        return ""
    written = f"[{host}]" if ":" in host else host
    own = port is None or _OWN_PORTS.get(parts.scheme) == port
    return f"{parts.scheme}://{written}" + ("" if own else f":{port}")


def checked_base_url(text: str) -> str:
    """Return a base URL without its last slash.

    Raises:
        Misconfigured: it is no URL, holds more than scheme, host, port and path, or is plain http to elsewhere.
    """
    hint = "write it like 'https://host'"
    parts = _split(text)
    origin = origin_of(text)
    if parts is None or parts.scheme not in _OWN_PORTS or not origin:
        raise Misconfigured(f"api_url {text!r} is no URL of a server", hint=hint)
    if parts.username is not None or parts.query or parts.fragment:
        raise Misconfigured("api_url holds a user, a query or a fragment", hint=hint)
    host = parts.hostname or ""
    if parts.scheme == "http" and not is_loopback(host):
        raise Misconfigured(
            f"api_url {text!r} would send the key in clear text; http is for this machine alone",
            hint=f"write 'https://{host}'",
        )
    return (origin + parts.path).rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine's own, by name or number."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _split(text: str) -> SplitResult | None:
    try:
        return urlsplit(text)
    except ValueError:
        return None
