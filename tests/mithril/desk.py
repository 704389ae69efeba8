"""A desk that answers Mithril's requests from a table, and keeps what it was asked. It knows no rules of Mithril's."""

from __future__ import annotations

import copy
import json
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
from attrs import field, frozen

from flow_adapters.clocks import ManualClock
from flow_providers.mithril.roles import open_provider

BODIES = Path(__file__).parent / "bodies"
URL = "https://api.mithril.test"
KEY = "fkey_0123456789abcdefSECRET"
PROJECT = "proj_Zx9Cv8Bn7Mq6Wl5K"
BID = "bid_Ab3dE5gH7jK9mN1p"
TYPE = "it_5ECSoHQjLBzrp5YM"
REGION = "us-central1-a"


def body(name: str) -> Any:
    """A recorded example's body, to change at will."""
    return copy.deepcopy(json.loads((BODIES / f"{name}.json").read_text())["body"])


@frozen
class Reply:
    """What the desk answers; `data` is sent as JSON unless `raw` is given."""

    data: Any = None
    status: int = 200
    headers: dict[str, str] = field(factory=dict)
    raw: bytes | None = None

    def response(self, at: str) -> httpx.Response:
        """The answer as httpx has it."""
        headers = {"Date": at, **self.headers}
        if self.raw is not None:
            return httpx.Response(self.status, content=self.raw, headers=headers)
        if self.data is None:
            return httpx.Response(self.status, headers=headers)
        return httpx.Response(self.status, json=self.data, headers=headers)


class NoShell:
    """A shell that no test here uses."""


class Desk:
    """Answers by method and path; the last answer given for a request stays, the others are used up in order."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.asked: list[httpx.Request] = []
        self._table: dict[tuple[str, str], list[Any]] = {}
        self.on("GET /v2/projects", body("projects"))
        self.on("GET /v2/instance-types", body("instance_types"))
        self.on("GET /v2/spot/availability", body("availability"))
        self.on("GET /v2/pricing/current", body("current_prices"))
        self.on("GET /v2/ssh-keys", body("ssh_keys"))
        self.on("GET /v2/me", body("me"))

    def on(self, request: str, *answers: Any) -> None:
        """Have 'METHOD /path' answered so: by data, a Reply, an exception to raise, or a function of the request."""
        method, _, path = request.partition(" ")
        self._table[method, path] = list(answers)

    def asked_for(self, request: str) -> list[httpx.Request]:
        """The requests of this method and path, in order."""
        return [each for each in self.asked if f"{each.method} {each.url.path}" == request]

    def sent(self, request: str) -> Any:
        """The JSON of the last such request."""
        return json.loads(self.asked_for(request)[-1].content)

    def provider(self, **changes: Any) -> Any:
        """Mithril with this desk behind it."""
        values: dict[str, Any] = {
            "find_key": lambda: KEY,
            "clock": self.clock,
            "shell": NoShell(),
            "project": PROJECT,
            "transport": httpx.MockTransport(self.handle),
            **changes,
        }
        return open_provider(values.pop("url", URL), **values)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.asked.append(request)
        answers = self._table.get((request.method, request.url.path))
        if not answers:
            answer: Any = Reply({"detail": f"nothing at {request.url.path}"}, 404)
        else:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, BaseException):
            raise answer
        reply = answer if isinstance(answer, Reply) else Reply(answer)
        return reply.response(format_datetime(self.clock.now(), usegmt=True))
