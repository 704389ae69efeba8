"""JSON over HTTP with one origin: what may be repeated is repeated, and the key goes nowhere else.

Providers build their clients on `Http`. It raises three exceptions of its own, which each provider translates into
kinds of `FlowError`: `Refused` (the server said no), `NoAnswer` (nothing was heard; `may_have_happened` says whether
the request can have taken effect) and `Garbled` (something was heard that is not the API). Their tracebacks hold no
frame of the HTTP library, because those keep the Authorization header in local variables.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

import tenacity
from attrs import field, frozen

from flow_adapters.http_reading import retry_after, words_of
from flow_adapters.lean_httpx import httpx
from flow_adapters.origins import checked_base_url, is_loopback, origin_of
from flow_core.errors import Misconfigured, NotAuthorized
from flow_core.ports.clock import Clock

#: Statuses that a later try may not meet: a limit on requests, or the server's own trouble.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 3
#: What httpx raises before a byte of the request has left.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


@frozen(kw_only=True)
class Timeouts:
    """Seconds for each part of one try."""

    connect_s: float = 5.0
    read_s: float = 30.0
    write_s: float = 30.0
    pool_s: float = 10.0


@frozen(kw_only=True)
class Retries:
    """How often a request that is safe to repeat is sent, and how long is waited in between, in seconds.

    A server that asks for more than `longest_wait_s` is not waited for: the caller is told instead.
    """

    tries: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 20.0


@frozen(kw_only=True)
class Heard:
    """A whole answer: `data` is its JSON with fractions as Decimal, None for an empty body."""

    status: int
    data: Any = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class Refused(Exception):
    """The server answered with an error; `words` are its own, `body` the JSON it sent, if any."""

    def __init__(
        self,
        status: int,
        words: str,
        *,
        body: object = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status
        self.words = words
        self.body = body
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class NoAnswer(Exception):
    """No whole answer was heard. `may_have_happened` is False when surely nothing was sent."""

    def __init__(self, why: str, *, may_have_happened: bool) -> None:
        super().__init__(why)
        self.why = why
        self.may_have_happened = may_have_happened


class Garbled(NoAnswer):
    """An answer of success that can't be read; a request that changes something has likely taken effect."""

    def __init__(self, why: str, *, request_id: str | None = None) -> None:
        super().__init__(why, may_have_happened=True)
        self.request_id = request_id


class Bearer(httpx.Auth):
    """A key that is looked up when first needed, sent to `origin` alone, and shown nowhere."""

    def __init__(self, origin: str, find: Callable[[], str | None], *, missing: str) -> None:
        self.origin = origin
        self._find = find
        self._missing = missing
        self._known: Callable[[], str] | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the key to a request for its origin; one for elsewhere goes without."""
        if origin_of(str(request.url)) == self.origin:
            request.headers["Authorization"] = f"Bearer {self._key()}"
        yield request

    def hide(self, text: str) -> str:
        """Return `text` without the key, for servers that quote what they were sent."""
        return text if self._known is None else text.replace(self._known(), "…")

    def _key(self) -> str:
        if self._known is None:
            self._known = _sealed(self._find)
        if self._known is None:
            raise NotAuthorized(self._missing, hint="run `flow setup`, or set the variable")
        return self._known()

    def __repr__(self) -> str:
        return f"<Bearer for {self.origin}>"


class Http:
    """JSON requests to one origin over kept connections. Safe to share between threads; close it when done."""

    def __init__(
        self,
        base_url: str,
        *,
        bearer: Bearer,
        clock: Clock,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
        headers: Mapping[str, str] | None = None,
        on_answer: Callable[[str | None, datetime, datetime], None] | None = None,
    ) -> None:
        """Take what to talk to, and how. `on_answer` is told each Date header, with when the try began and ended."""
        times = timeouts or Timeouts()
        self.base_url = checked_base_url(base_url)
        self._bearer = bearer
        self._clock = clock
        self._retries = retries or Retries()
        self._on_answer = on_answer
        self._client = httpx.Client(
            base_url=self.base_url,
            auth=bearer,
            headers={"Accept": "application/json", **(headers or {})},
            timeout=httpx.Timeout(
                connect=times.connect_s, read=times.read_s, write=times.write_s, pool=times.pool_s
            ),
            transport=transport,
            follow_redirects=False,
            # Nothing on the way to this machine's own clear text has a certificate, and reading them all takes time.
            verify=self.base_url.startswith("https:"),
            # A proxy is for the way out: what goes to this machine in clear text must not pass one.
            trust_env=not is_loopback(httpx.URL(self.base_url).host),
        )

    def get(
        self, path: str, params: Mapping[str, str] | None = None, *, once: bool = False
    ) -> Heard:
        """Return the answer to a read, tried again while trouble may pass, unless `once`."""
        if once:
            return self._once("GET", path, params=params)
        return self._repeated("GET", path, params=params)

    def patch(self, path: str, body: Mapping[str, object]) -> Heard:
        """Return the answer to a change that may be made twice, tried again while trouble may pass."""
        return self._repeated("PATCH", path, body=body)

    def delete(self, path: str) -> Heard:
        """Return the answer to a deletion, tried again while trouble may pass; a second try may find nothing (404)."""
        return self._repeated("DELETE", path)

    def post(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> Heard:
        """Return the answer to a creation, which is sent once and never again."""
        return self._once("POST", path, body=body, headers=headers)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _repeated(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Heard:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_pass),
            wait=self._wait,
            stop=tenacity.stop_after_attempt(self._retries.tries),
            sleep=self._clock.sleep,
            reraise=True,
        )
        return retrying(lambda: self._once(method, path, params=params, body=body))

    def _may_pass(self, error: BaseException) -> bool:
        if isinstance(error, Refused):
            asked = error.retry_after_s or 0.0
            return error.status in _PASSING and asked <= self._retries.longest_wait_s
        return isinstance(error, NoAnswer)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after_s if isinstance(error, Refused) else None
        if asked is not None:
            return asked
        growing = self._retries.first_wait_s * 2.0 ** (state.attempt_number - 1)
        return min(growing, self._retries.longest_wait_s)

    def _once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Heard:
        request = self._client.build_request(
            method, path, params=params, json=body, headers=dict(headers or {})
        )
        for _ in range(_MOST_REDIRECTS):
            response = self._send(request)
            if response.status_code not in _REDIRECTS:
                return self._heard(response)
            request = self._redirected(request, response)
        raise Misconfigured(f"{self._bearer.origin} redirects {method} {path} round and round")

    def _send(self, request: httpx.Request) -> httpx.Response:
        began = self._clock.now()
        try:
            response = self._client.send(request)
        except (httpx.TransportError, httpx.DecodingError) as trouble:
            _raise_no_answer(trouble, self._bearer)
        if self._on_answer is not None:
            self._on_answer(response.headers.get("Date"), began, self._clock.now())
        return response

    def _redirected(self, request: httpx.Request, response: httpx.Response) -> httpx.Request:
        """Return the request that a read's redirect asks for, within the origin."""
        target = request.url.join(response.headers.get("Location", ""))
        if origin_of(str(target)) != self._bearer.origin:
            raise Misconfigured(
                f"{self._bearer.origin} redirects to {origin_of(str(target))}, which the key is not for",
                hint="set api_url to the address that the provider documents",
            )
        if request.method != "GET":
            raise Misconfigured(
                f"{self._bearer.origin} redirects {request.method} {request.url.path}; nothing was done",
                hint="set api_url to the address that the provider documents",
            )
        return self._client.build_request("GET", target)

    def _heard(self, response: httpx.Response) -> Heard:
        request_id = self._bearer.hide(_request_id(response.headers))
        content = self._bearer.hide(response.text)
        data, problem = _json(content, response)
        if response.is_success:
            if problem:
                told = f"{problem} (HTTP {response.status_code})"
                raise Garbled(told, request_id=request_id or None)
            return Heard(status=response.status_code, data=data, headers=response.headers)
        words = words_of(data) or ("" if data is not None else _text_of(content, response))
        raise Refused(
            response.status_code,
            words or response.reason_phrase or "no reason given",
            body=data,
            request_id=request_id or None,
            retry_after_s=retry_after(response.headers, now=self._clock.now()),
        )


def _sealed(find: Callable[[], str | None]) -> Callable[[], str] | None:
    """Return a function that tells the key, which no repr of it or of its holder does."""
    key = (find() or "").strip()
    usable = key.isascii() and key.isprintable() and " " not in key
    return (lambda: key) if key and usable else None


def _raise_no_answer(trouble: Exception, bearer: Bearer) -> NoReturn:
    """Raise what `trouble` means, with nothing of the HTTP library's frames behind it."""
    untrusted = False
    link: BaseException | None = trouble
    while link is not None:
        untrusted = untrusted or isinstance(link, ssl.SSLCertVerificationError)
        link.__traceback__ = None
        link.args = tuple(
            bearer.hide(each) if isinstance(each, str) else each for each in link.args
        )
        link = link.__cause__ or link.__context__
    why = str(trouble) or type(trouble).__name__
    if untrusted:
        raise Misconfigured(
            f"this machine does not trust the certificate of {bearer.origin}: {why}",
            hint="check api_url, this machine's time and its certificates",
        ) from trouble
    sent = not isinstance(trouble, _NOT_SENT)
    kind = "no answer came in time" if isinstance(trouble, httpx.TimeoutException) else why
    told = kind if sent else f"{bearer.origin} could not be reached, and nothing was sent: {why}"
    raise NoAnswer(told, may_have_happened=sent) from trouble


def _json(content: str, response: httpx.Response) -> tuple[Any, str]:
    """Return the body's JSON, and what is wrong with it in words; an empty body is None and fine."""
    if not content.strip():
        return None, ""
    try:
        return json.loads(content, parse_float=Decimal), ""
    except (ValueError, RecursionError):
        kind = response.headers.get("Content-Type", "no stated type").partition(";")[0]
        return None, f"the answer is {kind}, and not the JSON of the API"


def _text_of(content: str, response: httpx.Response) -> str:
    if "html" in response.headers.get("Content-Type", "") or content.lstrip()[:1] == "<":
        return "a page of HTML, as gateways and portals send it"
    return words_of(content)


def _request_id(headers: Mapping[str, str]) -> str:
    return headers.get("x-request-id") or headers.get("x-correlation-id") or ""
