"""The command lines that talk to Mithril, by others, unchanged, against the simulator on a real socket.

They are judged by what the simulator then holds, not by their words.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installing import installed
from tests.third_party.kit import (
    COMMAND_S,
    REGION,
    Site,
    environment,
    new_pair,
    serving,
)

pytestmark = pytest.mark.slow


class Someone:
    """A user of these programs, with nothing set but the simulator's three variables."""

    def __init__(self, bin_dir: Path, home: Path, site: Site) -> None:
        self.bin_dir, self.home, self.site = bin_dir, home, site
        #: Empty, because one of the programs takes along what it finds where it is started.
        self.work = home / "work"
        self.work.mkdir()

    def types(self, program: str, *words: str, code: int | None = 0) -> str:
        """Run a program as typed, check its exit code, and return all that it said."""
        ran = subprocess.run(
            [self.bin_dir / program, *words],
            env=environment(self.home, **self.site.variables()),
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert code in (None, ran.returncode), ran.stdout
        return ran.stdout

    def live_bids(self) -> dict[str, dict[str, str]]:
        """The bids that haven't ended, by name."""
        bids = self.site.told("/v2/spot/bids")
        return {each["name"]: each for each in bids if each["status"] != "Terminated"}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """flow-compute's `flow` and mithril-client's `ml`."""
    return installed(
        tmp_path_factory.mktemp("clients"),
        "flow-compute==3.28.2",
        alone="mithril-client==0.1.0rc3",
    )


@pytest.fixture
def someone(programs: Path, tmp_path: Path) -> Iterator[Someone]:
    """Someone who pasted the simulator's variables."""
    home = tmp_path / "home"
    home.mkdir()
    private, public = new_pair()
    (home / "id").write_text(private)
    (home / "id").chmod(0o600)
    (home / "id.pub").write_text(f"{public} me@laptop\n")
    with serving(tmp_path / "world") as site:
        yield Someone(programs, home, site)


def test_flow_compute_and_mithril_client(someone):
    """Prices, keys, volumes, bids, pauses, limits, reservations and CPU machines; one program ends the other's bid."""
    someone.types("flow", "availability")
    someone.types("flow", "pricing")
    someone.types("flow", "quota")
    someone.types("flow", "ssh-key", "upload", "../id.pub", "--name", "laptop")
    volume = ("--size", "20", "--interface", "file", "--region", REGION, "--yes")
    someone.types("flow", "volume", "create", "--name", "data-one", *volume)

    assert ["laptop"] == [each["name"] for each in someone.site.told("/v2/ssh-keys")]
    assert [("data-one", 20)] == [
        (each["name"], each["capacity_gb"]) for each in someone.site.told("/v2/volumes")
    ]

    run = ("-i", "8xh100", "-r", REGION, "-m", "20", "-y", "--no-upload-code", "--json")
    mount = ("--mount", "/data=data-one", "--wait-until", "submitted")
    someone.types("flow", "run", "sleep 1000", "-n", "one", *run, *mount)
    [(name, bid)] = someone.live_bids().items()
    [held] = someone.site.told("/v2/volumes")

    assert name.startswith("one")
    assert ("$20.00", 1) == (bid["limit_price"], bid["instance_quantity"])
    assert [bid["fid"]] == held["bids"]

    someone.types("flow", "bid", "pause", name, "-y")
    assert "Paused" == someone.live_bids()[name]["status"]
    someone.types("flow", "bid", "unpause", name)
    assert "Paused" != someone.live_bids()[name]["status"]
    someone.types("flow", "bid", "update", name, "-m", "25", "-y")
    assert "$25.00" == someone.live_bids()[name]["limit_price"]

    assert name in someone.types("ml", "instance", "list")
    assert "h100-80gb.sxm.8x" in someone.types("ml", "instance", "list-types")
    assert bid["fid"] in someone.types("ml", "instance", "info", name)
    someone.types("ml", "k8s", "list")
    someone.types("ml", "instance", "delete", name, "--yes")
    assert {} == someone.live_bids()

    someone.types("flow", "volume", "delete", "data-one", "-y")
    assert [] == someone.site.told("/v2/volumes")

    term = ("-i", "8xh100", "-r", "eu-central1-b", "--start", "+12h", "--duration", "8h")
    someone.types("flow", "reserve", "create", *term, "-n", "later", "-y", "--json")
    [reservation] = someone.site.told("/v2/reservation")
    assert "Pending" == reservation["status"]
    assert reservation["fid"] in someone.types("flow", "reserve", "list")

    someone.types("flow", "vm", "create", "ctl", "-y")
    [machine] = [each for each in someone.site.told("/v2/instances") if not each["bid"]]
    assert "STATUS_RUNNING" == machine["status"]
    someone.types("flow", "cancel", machine["name"], "-y")
    [machine] = [each for each in someone.site.told("/v2/instances") if not each["bid"]]
    assert "STATUS_TERMINATED" == machine["status"]
