"""Reading what HTTP says around a body: addresses, origins, dates, waits and the words of refusals."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from flow_adapters.lean_httpx import httpx
from flow_core.errors import Misconfigured

#: How much of a server's own words a message takes over, in characters.
_MOST_WORDS = 500


def origin_of(url: httpx.URL | str) -> str:
    """Return scheme, host and port, the scheme's own port left out."""
    parts = httpx.URL(url)
    port = f":{parts.port}" if parts.port is not None else ""
    host = f"[{parts.host}]" if ":" in parts.host else parts.host
    return f"{parts.scheme}://{host}{port}"


def checked_base_url(text: str) -> str:
    """Return a base URL without its last slash.

    Raises:
        Misconfigured: it is no URL, holds more than scheme, host, port and path, or is plain http to elsewhere.
    """
    hint = "write it like 'https://host'"
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise Misconfigured(f"api_url {text!r} is no URL", hint=hint) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise Misconfigured(f"api_url {text!r} is no URL of a server", hint=hint)
    if url.userinfo or url.query or url.fragment:
        raise Misconfigured("api_url holds a user, a query or a fragment", hint=hint)
    if url.scheme == "http" and not is_loopback(url.host):
        raise Misconfigured(
            f"api_url {text!r} would send the key in clear text; http is for this machine alone",
            hint=f"write 'https://{url.host}'",
        )
    return str(url).rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine's own, by name or number."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return how many seconds the server asks to wait: given as such, or as a date by its own clock if it tells it."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    until = http_date(text)
    if until is None:
        return None
    since = http_date(headers.get("Date", "")) or now
    return max((until - since).total_seconds(), 0.0)


def http_date(text: str) -> datetime | None:
    """Return the time that an HTTP date tells, in UTC, or None when it tells none."""
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return found.replace(tzinfo=found.tzinfo or timezone.utc).astimezone(timezone.utc)


def words_of(data: object) -> str:
    """Return what an error body says, in one line: `detail`, `message` or `error`, lists joined; empty without."""
    if isinstance(data, str):
        return " ".join(data.split())[:_MOST_WORDS]
    if isinstance(data, list):
        return "; ".join(filter(None, map(words_of, data)))[:_MOST_WORDS]
    if isinstance(data, dict):
        if isinstance(data.get("msg"), str):
            where = ".".join(str(part) for part in data.get("loc") or () if part != "body")
            return (f"{where}: " if where else "") + words_of(data["msg"])
        said = (words_of(data.get(key)) for key in ("detail", "message", "error", "reason"))
        return next(filter(None, said), "")
    return ""
