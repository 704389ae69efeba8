"""HTTP: what is repeated, what is said of a request whose answer was not heard, and where the key goes."""

from __future__ import annotations

import traceback
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.clocks import ManualClock
from flow_adapters.http import Bearer, Garbled, Http, NoAnswer, Refused, Retries
from flow_adapters.http_reading import http_date, retry_after, words_of
from flow_adapters.origins import checked_base_url, is_loopback, origin_of
from flow_core.errors import FlowError, Misconfigured, NotAuthorized

URL = "https://api.example.test"
KEY = "fkey_0123456789abcdefSECRET"


class Line:
    """A transport that plays answers in order, the last one for ever, and counts the requests."""

    def __init__(self, *answers, url=URL, key=KEY, **options):
        self.requests: list[httpx.Request] = []
        self.clock = ManualClock()
        self._answers = list(answers)
        self.http = Http(
            url,
            bearer=Bearer(origin_of(url), lambda: key, missing="no key is set"),
            clock=self.clock,
            transport=httpx.MockTransport(self._play),
            **options,
        )

    def _play(self, request):
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_read_is_tried_again_until_it_is_answered():
    """A GET survives two dropped connections and a 503; the waits in between double."""
    line = Line(
        httpx.ReadError("dropped"),
        httpx.ConnectError("refused"),
        httpx.Response(503),
        httpx.Response(200, json={"x": 1}),
    )
    start = line.clock.now()

    assert {"x": 1} == line.http.get("/a").data
    assert 4 == len(line.requests)
    assert timedelta(seconds=0.5 + 1 + 2) == line.clock.now() - start


def test_tries_are_bounded():
    """After as many tries as allowed, the last trouble is raised."""
    line = Line(httpx.ReadTimeout("slow"), retries=Retries(tries=3))

    with pytest.raises(NoAnswer) as caught:
        line.http.get("/a")

    assert caught.value.may_have_happened
    assert 3 == len(line.requests)


@pytest.mark.parametrize(
    "trouble, may_have_happened",
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ConnectTimeout("no route"), False),
        (httpx.PoolTimeout("busy"), False),
        (httpx.WriteError("reset"), True),
        (httpx.ReadError("reset"), True),
        (httpx.ReadTimeout("slow"), True),
        (httpx.RemoteProtocolError("peer closed connection without sending complete body"), True),
    ],
)
def test_a_creation_is_sent_once(trouble, may_have_happened):
    """A POST is never repeated, and its trouble says whether it can have taken effect."""
    line = Line(trouble)

    with pytest.raises(NoAnswer) as caught:
        line.http.post("/a", {})

    assert may_have_happened is caught.value.may_have_happened
    assert 1 == len(line.requests)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_creation_is_not_repeated_on_a_refusal(status):
    """No status makes a POST be sent again."""
    line = Line(httpx.Response(status, headers={"Retry-After": "1"}))

    with pytest.raises(Refused) as caught:
        line.http.post("/a", {})

    assert status == caught.value.status
    assert 1 == len(line.requests)


def test_retry_after_in_seconds_is_waited_for():
    """A 429 that asks for 7 seconds is met again 7 seconds later."""
    line = Line(httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(204))
    start = line.clock.now()
    line.http.delete("/a")

    assert timedelta(seconds=7) == line.clock.now() - start


def test_retry_after_as_a_date_is_told_by_the_server_s_clock():
    """A date is compared with the answer's own Date, even where the server lives in another year."""
    now = ManualClock().now() + timedelta(days=400)
    headers = {
        "Date": format_datetime(now, usegmt=True),
        "Retry-After": format_datetime(now + timedelta(seconds=9), usegmt=True),
    }
    line = Line(httpx.Response(429, headers=headers), httpx.Response(200, json=[]))
    start = line.clock.now()
    line.http.get("/a")

    assert timedelta(seconds=9) == line.clock.now() - start


def test_a_server_that_asks_for_too_long_is_not_waited_for():
    """A wait beyond the longest is told to the caller instead."""
    line = Line(httpx.Response(429, headers={"Retry-After": "3600"}))
    start = line.clock.now()

    with pytest.raises(Refused) as caught:
        line.http.get("/a")

    assert 3600.0 == caught.value.retry_after_s
    assert start == line.clock.now()


@pytest.mark.parametrize("text", ["", "soon", "-3", "1e9999", "inf", "9" * 12, "Mon, 99 Foo"])
def test_a_senseless_retry_after_is_none(text):
    """What is neither seconds nor a date asks for nothing."""
    assert retry_after({"Retry-After": text}, now=ManualClock().now()) is None


def test_an_unreadable_success_is_garbled():
    """A 200 with HTML, and one with half a JSON, say that the answer is not the API's."""
    for content, kind in ((b"<html>hi</html>", "text/html"), (b'{"data": [', "application/json")):
        line = Line(httpx.Response(200, content=content, headers={"Content-Type": kind}))
        with pytest.raises(Garbled, match=kind):
            line.http.post("/a", {})


def test_a_refusal_in_html_is_not_quoted():
    """A gateway's page is named as one instead of being shown."""
    line = Line(
        httpx.Response(404, content=b"<html>x</html>", headers={"Content-Type": "text/html"})
    )

    with pytest.raises(Refused, match="a page of HTML"):
        line.http.get("/a")


def test_a_redirect_within_the_origin_is_followed_for_reads():
    """A GET goes where its own server sends it, with the key."""
    line = Line(httpx.Response(307, headers={"Location": "/b"}), httpx.Response(200, json=1))

    assert 1 == line.http.get("/a").data
    assert ["/a", "/b"] == [request.url.path for request in line.requests]
    assert f"Bearer {KEY}" == line.requests[1].headers["Authorization"]


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.test/a",
        "http://api.example.test/a",
        "https://api.example.test:444/a",
        "//evil.test/a",
    ],
)
def test_a_redirect_to_another_origin_is_not_followed(place):
    """The key leaves for its own scheme, host and port alone; a redirect elsewhere is a setting gone wrong."""
    line = Line(httpx.Response(302, headers={"Location": place}))

    with pytest.raises(Misconfigured, match="redirects to"):
        line.http.get("/a")

    assert 1 == len(line.requests)


def test_a_creation_is_not_redirected():
    """A POST that is redirected, even within the origin, has done nothing and is not sent again."""
    line = Line(httpx.Response(307, headers={"Location": "/b"}))

    with pytest.raises(Misconfigured, match="nothing was done"):
        line.http.post("/a", {})

    assert 1 == len(line.requests)


def test_a_circle_of_redirects_ends():
    """A server that redirects to itself for ever is given up on."""
    line = Line(httpx.Response(302, headers={"Location": "/a"}))

    with pytest.raises(Misconfigured, match="round"):
        line.http.get("/a")


@pytest.mark.parametrize("key", ["", "  ", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_can_t_be_is_no_key(key):
    """Without a usable key nothing is sent, and the key isn't quoted."""
    line = Line(httpx.Response(200), key=key)

    with pytest.raises(NotAuthorized, match="no key is set"):
        line.http.get("/a")

    assert [] == line.requests


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError(f"server quoted {KEY}"),
        httpx.LocalProtocolError(f"Illegal header value b'Bearer {KEY}'"),
        httpx.Response(401, json={"detail": f"{KEY} is revoked"}, headers={"x-request-id": KEY}),
        httpx.Response(200, content=KEY.encode()),
        httpx.Response(302, headers={"Location": "https://evil.test/"}),
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_the_key_is_in_no_traceback(answer, method):
    """Whatever goes wrong, neither the message nor any local variable of any frame shows the key."""
    line = Line(answer, retries=Retries(tries=2))
    http = line.http
    try:
        http.get("/a") if method == "get" else http.post("/a", {})
    except (Refused, NoAnswer, FlowError) as error:
        told = rendered(error)
    else:
        told = ""

    assert told
    assert KEY not in told
    assert KEY not in repr(http.__dict__)


def test_the_key_is_in_no_traceback_of_a_real_connection():
    """A connection that a real socket refuses leaves nothing of the HTTP library's frames behind."""
    url = "http://127.0.0.1:9"
    bearer = Bearer(origin_of(url), lambda: KEY, missing="no key is set")
    http = Http(url, bearer=bearer, clock=ManualClock(), retries=Retries(tries=1))
    with pytest.raises(NoAnswer) as caught:
        http.post("/a", {})
    http.close()

    told = rendered(caught.value)

    assert not caught.value.may_have_happened
    assert "nothing was sent" in told
    assert KEY not in told
    assert "site-packages/http" not in told


def test_only_loopback_may_be_plain():
    """http is refused but for this machine; what is no address of a server is refused too."""
    assert "http://127.0.0.1:8080" == checked_base_url("http://127.0.0.1:8080/")
    assert "http://[::1]:8080/x" == checked_base_url("http://[::1]:8080/x/")
    assert is_loopback("localhost")
    for wrong in (
        "http://api.example.test",
        "http://127.0.0.1.example.test",
        "ftp://api.example.test",
        "api.example.test",
        "https://",
        "https://user:word@api.example.test",
        "https://api.example.test/?a=b",
    ):
        with pytest.raises(Misconfigured):
            checked_base_url(wrong)


def test_origins_are_told_apart_by_scheme_host_and_port():
    """A scheme's own port is the same as none, and letters' case doesn't count."""
    assert origin_of("https://API.example.test:443/x") == origin_of("https://api.example.test/y")
    assert origin_of("http://api.example.test:443") != origin_of("https://api.example.test")


@given(st.text())
def test_any_text_is_a_date_or_none(text):
    """Reading a date never crashes."""
    found = http_date(text)

    assert found is None or found.tzinfo is not None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values)
def test_words_come_from_any_body(data):
    """An error body of any shape gives one line of text, perhaps empty."""
    assert "\n" not in words_of(data)


def rendered(error: BaseException) -> str:
    """An exception as a debugger prints it: with its causes, and every frame's local variables below the test's."""
    seen = traceback.TracebackException.from_exception(error, capture_locals=True)
    if seen.stack:
        seen.stack.pop(0)  # this test's own frame holds the answers it made
    return "".join(seen.format())
