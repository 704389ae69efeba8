"""The live door, tried on the simulator behind a real port: what it checks, what it spends, what its report tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from flow_providers.mithril.live.__main__ import main
from flow_providers.mithril.live.hiding import Hider, path_shape, shape
from flow_providers.mock.http.server import Server
from flow_providers.mock.http.service import Service, on_disk
from flow_providers.mock.rules import Mood
from tests.house import tree
from tests.meeting.site import PUBLIC_KEY, trouble, whereabouts
from tests.meeting.test_kit_over_a_socket import MovedClock

pytestmark = pytest.mark.slow

OWN_NAMES = ("payroll-secrets", "grandmothers-volume", "my-laptop-key", "quarterly-run")


class Site:
    """A served simulator with things of somebody's, and one moved clock for both sides."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = MovedClock()
        self.service: Service = on_disk(
            folder / "world",
            self.clock,
            rate=1.0,
            seed=3,
            mood=Mood.QUIET,
            whereabouts=whereabouts,
        )
        self.server = Server(self.service, port=0)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        self.http = httpx.Client(
            base_url=self.server.url,
            headers={"authorization": f"Bearer {self.service.api_key}"},
            trust_env=False,
        )
        self.key = self.made(
            "/v2/ssh-keys", name="my-laptop-key", public_key=PUBLIC_KEY, project=self.project
        )
        region = self.http.get("/v2/spot/availability").json()[0]
        self.made(
            "/v2/volumes",
            name="grandmothers-volume",
            project=self.project,
            region=region["region"],
            size_gb=10,
            disk_interface="File",
        )
        self.bid = self.made(
            "/v2/spot/bids",
            name="quarterly-run",
            project=self.project,
            region=region["region"],
            instance_type=region["instance_type"],
            limit_price="$30.00",
            instance_quantity=1,
            launch_specification={
                "volumes": [],
                "ssh_keys": [self.key["fid"]],
                "startup_script": "#!/bin/bash\necho payroll-secrets\n",
            },
        )
        self.clock.sleep(600)

    @property
    def project(self) -> str:
        """Our project's id."""
        return self.service.project

    def made(self, path: str, **body: object) -> Any:
        """Make something over plain HTTP."""
        reply = self.http.post(path, json=body)
        assert 201 == reply.status_code, reply.text
        return reply.json()

    def variables(self, **more: str) -> dict[str, str]:
        """What a user sets."""
        return {
            "MITHRIL_API_URL": self.server.url,
            "MITHRIL_API_KEY": self.service.api_key,
            "MITHRIL_PROJECT": self.project,
            **more,
        }

    def check(self, *arguments: str, **more: str) -> tuple[int, dict[str, Any]]:
        """Run the checks in this process, on the moved clock; return the exit code and the report."""
        file = self.folder / "report.json"
        words = ["--report", str(file), *arguments]
        code = main(words, self.variables(**more), clock=self.clock, chance=Random(1))
        return code, json.loads(file.read_text())

    def private(self) -> set[str]:
        """Every text that the service holds of anybody's, as its API tells it."""
        found: set[str] = {self.service.api_key, self.project, PUBLIC_KEY, *OWN_NAMES}
        for path in (
            "me", "me/teammates", "projects", "ssh-keys", "volumes", "spot/bids", "instances",
            "api-keys",
        ):  # fmt: skip
            body = self.http.get(f"/v2/{path}", params={"project": self.project}).json()
            rows = body.get("data", [body]) if isinstance(body, dict) else body
            for row in rows:
                found |= {
                    str(row[field])
                    for field in ("id", "fid", "name", "email", "user_name", "ssh_destination")
                    if row.get(field)
                }
        # A word of the service's own fields too, so that it tells nothing.
        return {each for each in found if len(each) > 4} - {"default"}

    def close(self) -> None:
        """Stop serving."""
        self.http.close()
        self.server.stop()
        self.thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A simulator behind a port."""
    site = Site(tmp_path)
    yield site
    site.close()


def test_reading_checks_pass_and_change_nothing(site, capsys):
    """Every role is asked over GET alone, each check says what it heard, and the bids are as they were."""
    before = site.http.get("/v2/spot/bids").json()
    code, report = site.check()

    assert (0, True) == (code, report["passed"])
    assert {"GET"} == {each["request"].split()[0] for each in report["requests"]}
    assert "1 allocated" in next(e["says"] for e in report["checks"] if e["check"] == "bids")
    assert before == site.http.get("/v2/spot/bids").json()
    assert len(report["checks"]) == capsys.readouterr().out.count("ok  ")


def test_a_report_tells_the_shape_of_every_answer(site):
    """Fields, kinds of values and the service's own words are told: what to compare with its documents."""
    _, report = site.check()
    bids = next(
        each["answer"] for each in report["requests"] if each["request"] == "GET /v2/spot/bids"
    )
    [bid] = bids["data"]

    assert "id bid_ and 16" == bid["fid"]
    assert "dollars" == bid["limit_price"]
    assert "word Allocated" == bid["status"]
    assert "text" == bid["name"]
    assert "text" == bid["launch_specification"]["startup_script"]


def test_one_bid_is_placed_and_ended_for_less_than_may_be_spent(site):
    """With --spend, one bid comes up, is withdrawn and seen to end; the ledger's growth is within the sum."""
    billed = {each["fid"] for each in site.http.get("/v2/spot/bids").json()["data"]}
    code, report = site.check("--spend", "5")
    bids = site.http.get("/v2/spot/bids").json()["data"]
    [ours] = [each for each in bids if each["fid"] not in billed]
    told = site.http.get(
        "/v2/instances/pricing/history",
        params={"project": site.project, "bid_fid": ours["fid"]},
    ).json()
    cents = [event["price_cents"] for each in told["instances"] for event in each["events"]]

    assert 0 == code
    assert "Terminated" == ours["status"]
    assert ["placed", "ended"] == [report["bid"][0]["seen"], report["bid"][-1]["seen"]]
    assert any("running" in each["seen"] for each in report["bid"])
    assert cents
    assert max(cents) / 2 <= 500
    assert 1 == sum(each["request"] == "POST /v2/spot/bids" for each in report["requests"])


def test_a_bid_whose_answer_is_lost_is_ended_all_the_same(site):
    """When placing goes wrong after it took effect, the check fails, and nothing of it stays live."""
    trouble(site.service, kind="error", when="after", method="POST", path="/v2/spot/bids", times=1)
    code, report = site.check("--spend", "5")
    live = [
        each["name"]
        for each in site.http.get("/v2/spot/bids").json()["data"]
        if each["status"] != "Terminated"
    ]

    assert 1 == code
    assert ["quarterly-run"] == live
    assert "Transient" in report["checks"][-1]["says"]


def test_nothing_is_bid_that_could_cost_more(site):
    """Where nothing is cheap enough for the whole time that a bid may stand, none is placed."""
    code, report = site.check("--spend", "0.01")

    assert 1 == code
    assert report["checks"][-1]["says"].startswith("NoCapacity")
    assert {"GET"} == {each["request"].split()[0] for each in report["requests"]}


@pytest.mark.parametrize("project", ["", "no-such-project-of-mine"])
def test_a_report_holds_nothing_of_anybody_s(site, project):
    """No key, name, id, address or script is in it, also when the service's words quote them."""
    trouble(site.service, kind="error", when="before", method="GET", path="/v2/volumes", times=9)
    more = {"MITHRIL_PROJECT": project} if project else {}
    site.check("--spend", "5", **more)
    text = (site.folder / "report.json").read_text()

    assert [] == [each for each in sorted({*site.private(), project}) if each and each in text]


def test_the_program_runs_as_a_program(site, tmp_path):
    """`python -m` with the user's variables checks the service of that address and says where the report is."""
    home = {name: text for name, text in os.environ.items() if not name.startswith("MITHRIL_")}
    ran = subprocess.run(
        [sys.executable, "-m", "flow_providers.mithril.live", "--report", tmp_path / "it.json"],
        env={**home, **site.variables()},
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 == ran.returncode, ran.stdout + ran.stderr
    assert json.loads((tmp_path / "it.json").read_text())["passed"]
    assert site.service.api_key not in ran.stdout + ran.stderr


def test_without_a_key_nothing_is_asked(capsys):
    """The variable that lacks is named, and the exit code is a wrong call's."""
    with pytest.raises(SystemExit) as ended:
        main([], {})

    assert 2 == ended.value.code
    assert "MITHRIL_API_KEY is not set" in capsys.readouterr().err


def test_sentences_are_told_without_what_answers_held():
    """Texts that were heard, ids, keys, addresses and mail are struck alike, the same thing always by the same mark."""
    hider = Hider("salt", ["fkey_topsecret"])
    hider.learn({"name": "payroll", "inst_Aa1Bb2Cc3": "x", "status": "Open", "at": "$1.00"})
    said = hider.hidden(
        "payroll of ann@example.com at 10.0.0.1 has bid_Ab3dE5gH7jK9mN1p, payroll is Open"
        " for $1.00 with fkey_topsecret and inst_Aa1Bb2Cc3"
    )
    marks = [word.strip(",") for word in said.split() if word.startswith("<")]

    assert 7 == len(marks)
    assert marks[0] == marks[4]
    assert said.endswith(f"is Open for $1.00 with {marks[5]} and {marks[6]}")
    assert marks[5] not in Hider("other", ["fkey_topsecret"]).hidden("fkey_topsecret")


def test_shapes_hold_no_values():
    """Ids as keys, strange fields, and words that only look enumerated become marks; lists are told as one item."""
    told = shape(
        {
            "attachments": {"inst_Aa1Bb2Cc3": "/mnt/x"},
            "Payroll Run": 1,
            "data": [{"a": 1, "b": None}, {"a": 1.5}],
            "status": "<script>",
        }
    )

    assert {
        "attachments": {"{id}": "text"},
        "{key}": "whole number",
        "data": [{"a": "whole number | number", "b?": "null"}],
        "status": "text",
    } == told
    assert "/v2/spot/bids/{id}/status" == path_shape("/v2/spot/bids/bid_Ab3dE5gH7jK9mN1p/status")
