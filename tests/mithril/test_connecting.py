"""Putting it together: settings, the key, the server's time, and errors by kind."""

from __future__ import annotations

import subprocess
import sys
import traceback
from datetime import timedelta

import httpx
import pytest

from flow_adapters.clocks import ManualClock
from flow_core.domain.task_parts import Source
from flow_core.errors import FlowError, Misconfigured, NotAuthorized, Transient
from flow_core.ports.provider import ProviderContext
from flow_providers.mithril import connect
from flow_providers.mithril.connecting import api_address
from flow_providers.mithril.errors import STATUSES, translated
from flow_providers.mithril.server_time import ServerClock
from tests.mithril.desk import BID, KEY, URL, Reply, body


class Kept:
    """Secrets of which one is kept for one origin."""

    def __init__(self, origin):
        self.origin = origin

    def find(self, name, *, origin=None):
        """The key, for its own origin."""
        return KEY if (name, origin) == ("api_key", self.origin) else None

    def store(self, name, value, *, origin=None):
        """Not used."""
        return ""

    def forget(self, name, *, origin=None):
        """Not used."""


def context(tmp_path, secrets=None, **options):
    """What the composition root would hand over."""
    return ProviderContext(
        state_dir=str(tmp_path), clock=ManualClock(), options=options, secrets=secrets
    )


def test_connecting_asks_nothing(tmp_path):
    """A provider is made without a key, a network or a project; its limits say what Mithril takes."""
    provider = connect(context(tmp_path))

    assert "mithril" == provider.name
    assert (10_000, 60.0) == (provider.limits.script_chars, provider.limits.listing_lag_s)
    assert frozenset({Source.VOLUME, Source.S3}) == provider.limits.mounts
    assert not provider.limits.script_is_private


@pytest.mark.parametrize(
    "options",
    [
        {"api_url": "http://api.mithril.test"},
        {"api_url": "not a url"},
        {"mithril.listing_lag_s": "soon"},
        {"mithril.listing_lag_s": "-1"},
    ],
)
def test_a_setting_that_can_t_be_is_told(tmp_path, options):
    """A wrong setting is found at once, not at the first request."""
    with pytest.raises(Misconfigured):
        connect(context(tmp_path, **options))


def test_a_key_kept_for_another_origin_is_not_used(tmp_path):
    """Pointing api_url elsewhere doesn't take the kept key along."""
    there = context(tmp_path, Kept("https://api.mithril.ai"), api_url="http://127.0.0.1:9")
    with pytest.raises(NotAuthorized, match="no usable API key"):
        connect(there).market.bids()


def test_nothing_heavy_is_loaded_before_connecting():
    """Importing the package, as listing providers does, loads no HTTP library."""
    heavy = ["httpx", "cattrs", "tenacity", "asyncssh"]
    code = f"import sys, flow_providers.mithril; print([m for m in {heavy!r} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == told.stdout.strip()


@pytest.mark.parametrize(
    "answer",
    [
        Reply({"detail": f"{KEY} is not allowed"}, 401, {"x-request-id": "r1"}),
        Reply({"detail": "no"}, 422),
        Reply({"detail": "boom"}, 500),
        Reply(raw=f"<html>{KEY}</html>".encode()),
        Reply({"fid": KEY}),
        httpx.ReadError("dropped"),
        Reply(status=302, headers={"Location": "https://evil.test/v2"}),
    ],
    ids=["401", "422", "500", "html", "shape", "drop", "redirect"],
)
def test_the_key_is_in_no_message_and_no_frame(desk, answer):
    """From the role down to the transport, no message, repr or local variable shows the key."""
    desk.on(f"GET /v2/spot/bids/{BID}", answer)
    provider = desk.provider(find_key=lambda: str(desk_key()))
    try:
        provider.market.bid(BID)
    except FlowError as error:
        seen = traceback.TracebackException.from_exception(error, capture_locals=True)
        seen.stack.pop(0)
        told = "".join(seen.format()) + repr(error.hint)
    else:
        told = ""

    assert told
    assert KEY not in told
    assert KEY not in repr(provider)


def desk_key():
    """The key, out of sight of the calling frame."""
    return KEY


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_each_status_of_the_table_is_its_kind(desk, mithril, status):
    """A status alone, without words, gives its kind, the status and the request's id."""
    desk.on(f"GET /v2/spot/bids/{BID}", Reply({}, status, {"x-request-id": "req-1"}))

    with pytest.raises(STATUSES[status], match=rf"\[HTTP {status}, request req-1\]"):
        mithril.market.bid(BID)


def test_a_field_is_called_what_the_user_calls_it(desk, mithril):
    """A validation error names the setting, not Mithril's field."""
    desk.on(f"GET /v2/spot/bids/{BID}", Reply(body("validation_error"), 422))

    with pytest.raises(FlowError, match="max_price_per_hour: Mithril says: Input should be"):
        mithril.market.bid(BID)


def test_other_errors_pass_untranslated():
    """What HTTP didn't raise is not Mithril's."""
    with pytest.raises(KeyError), translated("do something"):
        raise KeyError("ours")


def test_a_wait_that_was_asked_for_is_passed_on(desk, mithril):
    """A limit on requests that outlasts our patience says how long to wait."""
    desk.on("GET /v2/me", Reply({"detail": "slow down"}, 429, {"Retry-After": "120"}))

    with pytest.raises(Transient) as caught:
        mithril.account.me()

    assert 120.0 == caught.value.retry_after_s


def date(at):
    """A Date header."""
    return at.strftime("%a, %d %b %Y %H:%M:%S GMT")


def test_machines_with_right_clocks_agree():
    """A server whose dates fit our own clock is at our time, to the microsecond."""
    local = ManualClock()
    clock = ServerClock(local)
    for _ in range(5):
        local.advance(seconds=1.3)
        clock.heard(date(local.now()), local.now(), local.now())

    assert local.now() == clock.now()


def test_the_server_s_time_counts():
    """Where this machine is an hour behind, time is told within a second of the server's, and not before it."""
    local = ManualClock()
    clock = ServerClock(local)
    ahead = timedelta(hours=1, milliseconds=400)
    clock.heard(date(local.now() + ahead), local.now(), local.now())

    assert timedelta(0) <= clock.now() - (local.now() + ahead) <= timedelta(seconds=1)


def test_many_answers_narrow_the_difference():
    """Answers at different moments of a second agree on less and less."""
    local = ManualClock()
    clock = ServerClock(local)
    ahead = timedelta(hours=1, milliseconds=437)
    for _ in range(50):
        local.advance(seconds=1.07)
        clock.heard(date(local.now() + ahead), local.now(), local.now())

    assert abs(clock.now() - (local.now() + ahead)) <= timedelta(milliseconds=100)


def test_time_never_runs_back():
    """When an answer shows that the server is earlier than was thought, time stands until it has caught up."""
    local = ManualClock()
    clock = ServerClock(local)
    clock.heard(date(local.now() + timedelta(hours=1)), local.now(), local.now())
    first = clock.now()
    clock.heard(date(local.now()), local.now(), local.now())

    assert first == clock.now()


def test_the_time_is_asked_for_once_where_nothing_was_heard(desk, mithril):
    """Before any answer one small request tells the time; where that fails, our own clock counts."""
    mithril.clock.now()
    mithril.clock.now()
    silent = desk.provider()
    desk.on("GET /v2/me", httpx.ConnectError("refused"))

    assert desk.clock.now() == silent.clock.now() == silent.clock.now()
    assert 2 == len(desk.asked_for("GET /v2/me"))


def test_a_date_that_is_none_teaches_nothing():
    """A missing or broken Date header leaves the clock as it is."""
    local = ManualClock()
    clock = ServerClock(local)
    for wrong in (None, "", "yesterday"):
        clock.heard(wrong, local.now(), local.now())

    assert local.now() == clock.now()


def test_an_address_may_end_in_the_version():
    """An address copied with /v2 at its end means the same."""
    assert URL == api_address(URL + "/v2/") == api_address(URL)
