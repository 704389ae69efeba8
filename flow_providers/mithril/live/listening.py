"""Listening in on the adapter's requests: each is noted by its shape as it passes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
from attrs import field, frozen

from flow_providers.mithril.live.hiding import Hider, path_shape, shape

#: Headers that a body which has been read and unpacked no longer has.
_OF_THE_WAY = {"content-encoding", "content-length", "transfer-encoding"}
#: From this status on an answer is a sentence, which is told as far as it quotes nothing.
_REFUSALS = 400


@frozen(kw_only=True)
class Exchange:
    """One request and its answer. `answer` is a shape; `took_ms` is real time."""

    method: str
    path: str
    query: tuple[str, ...]
    status: int
    took_ms: int
    answer: Any = field(hash=False)


class Listening(httpx.BaseTransport):
    """Passes requests on, notes them, and has `hider` learn what must not be told of the answers."""

    def __init__(self, inner: httpx.BaseTransport, hider: Hider) -> None:
        self.heard: list[Exchange] = []
        self._inner = inner
        self._hider = hider
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass one on, and return its answer whole."""
        began = perf_counter()
        response = self._inner.handle_request(request)
        body = response.read()
        took_ms = round((perf_counter() - began) * 1000)
        answer = _json(body)
        with self._lock:
            if response.status_code < _REFUSALS:
                self._hider.learn(answer)
            self.heard.append(
                Exchange(
                    method=request.method,
                    path=path_shape(request.url.path),
                    query=tuple(sorted(set(request.url.params))),
                    status=response.status_code,
                    took_ms=took_ms,
                    answer=shape(answer) if body else "nothing",
                )
            )
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name.lower() not in _OF_THE_WAY
        ]
        return httpx.Response(response.status_code, headers=headers, content=body)

    def close(self) -> None:
        """Close the way on."""
        self._inner.close()


def way_to(url: str, *, proxies: Callable[[], dict[str, str]] = getproxies) -> httpx.BaseTransport:
    """Return the way to `url`: through the proxy that this machine names, if any, but never to itself."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy = None if proxy_bypass(host) else proxies().get(parts.scheme)
    own = parts.scheme == "http"
    return httpx.HTTPTransport(verify=not own, proxy=None if own else proxy)


def _json(body: bytes) -> object:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")
