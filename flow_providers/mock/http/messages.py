"""Requests and replies as values: what a socket, a test or a client's transport brings, and gets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from attrs import field, frozen

Json = dict[str, Any]


@frozen(kw_only=True)
class Request:
    """A request: `headers` by their names in lower case, `query` in order, `path` decoded."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(factory=dict, hash=False)
    body: bytes = b""

    @property
    def base_url(self) -> str:
        """Where the sender thinks it found us."""
        return f"http://{self.headers.get('host', 'localhost')}"


@frozen(kw_only=True)
class Response:
    """A reply; with `is_dropped` the connection is cut instead, whether or not the request took effect."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    is_dropped: bool = False

    @property
    def document(self) -> Any:
        """The body as JSON; None without one."""
        return json.loads(self.body) if self.body else None


class Refused(Exception):
    """A request that can't be served as it stands: raised by handlers before they change anything."""

    def __init__(self, status: int, detail: str | list[Json] | Json) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


def reply(status: int, document: Any, *, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return a reply with a JSON body; strings that UTF-8 can't hold are escaped."""
    body = json.dumps(document, separators=(",", ":")).encode("ascii")
    return Response(
        status=status, body=body, headers=(("content-type", "application/json"), *headers)
    )


def ok(document: Any) -> Response:
    """Return a 200."""
    return reply(200, document)


def created(document: Any) -> Response:
    """Return a 201."""
    return reply(201, document)


def nothing() -> Response:
    """Return a 204."""
    return Response(status=204)


def refusal(refused: Refused) -> Response:
    """Return what a client reads of a refusal."""
    extra = (("www-authenticate", "Bearer"),) if refused.status == 401 else ()
    return reply(refused.status, {"detail": refused.detail}, headers=extra)


def query_of(text: str) -> tuple[tuple[str, str], ...]:
    """Return the parameters of a query string, in order; bytes that aren't UTF-8 are replaced."""
    return tuple(parse_qsl(text, keep_blank_values=True, max_num_fields=None, errors="replace"))
