"""`python -m flow_providers.mithril.live`: check the adapter against the service, and write a report to send."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random, SystemRandom
from typing import cast

import httpx

from flow_adapters.clocks import SystemClock
from flow_adapters.origins import origin_of
from flow_core.domain.money import Spend
from flow_core.errors import FlowError
from flow_core.ports.clock import Clock
from flow_core.ports.shell import RemoteShell
from flow_providers.mithril.connecting import api_address
from flow_providers.mithril.facts import API_URL, LANES
from flow_providers.mithril.live.hiding import Hider
from flow_providers.mithril.live.listening import Listening, way_to
from flow_providers.mithril.live.reporting import Live, Result
from flow_providers.mithril.roles import open_provider

REPORT = "mithril-live-report.json"


def main(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    clock: Clock | None = None,
    way: httpx.BaseTransport | None = None,
    chance: Random | None = None,
) -> int:
    """Run the checks and write the report; return 0 when all passed, 1 when one failed, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="python -m flow_providers.mithril.live",
        description="Check Flow's Mithril adapter against the service. Reads only, unless --spend is given.",
        epilog="MITHRIL_API_KEY is the key; MITHRIL_PROJECT and MITHRIL_API_URL count where they are set.",
    )
    parser.add_argument(
        "--spend", metavar="DOLLARS", help="place one small bid, and end it, for at most so much"
    )
    parser.add_argument("--report", metavar="FILE", default=REPORT, help="[default: %(default)s]")
    asked = parser.parse_args(arguments)
    key = environ.get("MITHRIL_API_KEY", "").strip()
    if not key:
        parser.error("MITHRIL_API_KEY is not set")
    try:
        most = Spend.parse(asked.spend, field="--spend") if asked.spend is not None else None
        url = api_address(environ.get("MITHRIL_API_URL") or API_URL)
    except FlowError as trouble:
        parser.error(trouble.message)
    hider = Hider(secrets.token_hex(16), [key, environ.get("MITHRIL_PROJECT", "").strip()])
    listening = Listening(way or way_to(url), hider)
    provider = open_provider(
        url,
        find_key=lambda: key,
        clock=clock or SystemClock(),
        shell=cast(RemoteShell, None),  # no check talks to a node
        project=environ.get("MITHRIL_PROJECT", "").strip() or None,
        transport=listening,
        lanes=LANES,
    )
    live = Live(provider, clock=clock or SystemClock(), listening=listening, hider=hider)
    sys.stdout.write(f"Checking {origin_of(url)}\n")
    try:
        live.read(_tell)
        if most is not None:
            live.spend(most, chance=chance or SystemRandom(), tell=_tell)
    finally:
        listening.close()
        file = Path(asked.report)
        file.write_text(json.dumps(live.report(), indent=1) + "\n", "utf-8")
        sys.stdout.write(f"{file} holds no key, no name and no id: it can be sent to anyone\n")
    return 0 if live.passed else 1


def _tell(result: Result) -> None:
    sys.stdout.write(f"{'ok  ' if result.passed else 'FAIL'} {result.check}: {result.says}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
