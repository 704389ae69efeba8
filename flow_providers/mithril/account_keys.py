"""The account keys role over /v2/api-keys. Keys are the user's, whatever the project, and may do all that the user may.

Source: contract section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from flow_core.ports.account_keys import NewAccountKey, Withdrawal
from flow_core.ports.clock import Clock
from flow_providers.mithril import wire
from flow_providers.mithril.client import Client, segment

_PATH = "/v2/api-keys"
#: A key lives for a year at most; some of it is left for clocks that differ.
LONGEST = timedelta(days=364)


class MithrilAccountKeys:
    """Implements `ports.account_keys.AccountKeys`; `url` is where the API answers, `clock` the server's time."""

    def __init__(self, client: Client, *, url: str, clock: Clock) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._clock = clock

    def named(self, name: str) -> Sequence[str]:
        """See `AccountKeys.named`."""
        listed = list(self._client.listed("list API keys", wire.ApiKey, _PATH))
        now = self._clock.now()
        return [
            key.fid
            for key in listed
            if key.name == name
            and key.deactivated_at is None
            and (key.expires_at is None or key.expires_at > now)
        ]

    def make(self, name: str, *, expires_at: datetime) -> NewAccountKey:
        """See `AccountKeys.make`."""
        until = min(expires_at, self._clock.now() + LONGEST).replace(microsecond=0)
        body = {"name": name, "expires_at": until.isoformat().replace("+00:00", "Z")}
        made = self._client.create("make an API key", wire.NewApiKey, _PATH, body)
        return NewAccountKey(id=made.fid, secret=made.secret, expires_at=made.expires_at or until)

    def revoke(self, key_id: str) -> None:
        """See `AccountKeys.revoke`."""
        self._client.delete("revoke an API key", f"{_PATH}/{segment(key_id)}")

    def withdrawal(self, bid_id: str, secret: str) -> Withdrawal:
        """See `AccountKeys.withdrawal`."""
        return Withdrawal(
            method="DELETE",
            url=f"{self._url}/v2/spot/bids/{segment(bid_id)}",
            headers={"Authorization": f"Bearer {secret}", "User-Agent": "flow-compute"},
        )
