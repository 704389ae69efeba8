"""Mithril from `flow setup` to the last cent: real commands, a real server, nodes that boot, and the server's ledger.

What Flow says each task cost is held against what the simulator would have billed, at the end of every story.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import blocks
from tests.docs.test_pages_run import PAGES, commands
from tests.sim_nodes.kit import openssh, refuse
from tests.stories.simulated_mithril import (
    LOOKS,
    Simulator,
    User,
    cents,
    end_processes_of,
    serving,
    set_up,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="nodes boot on Linux only"),
]

#: Says which run of the command this is and where; the first goes on until it is ended, the second ends.
TWICE = 'echo run >> runs; echo "run $(wc -l < runs) on $(hostname)"; [ "$(wc -l < runs)" -gt 1 ] || sleep infinity'


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Someone with an empty home."""
    (tmp_path / "work").mkdir()
    return User(tmp_path)


@pytest.fixture
def simulator(user: User, request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """The simulator, which `user` has set Flow up for; in the end nothing of either is left running."""
    openssh()
    try:
        with serving(user, rate=getattr(request, "param", 600)) as running:
            if not running.said["nodes_boot"]:
                refuse("the simulator's nodes can't boot here")
            set_up(user, running)
            yield running
    finally:
        left = end_processes_of(user.home)
    assert [] == left
    assert str(user.home) not in Path("/proc/mounts").read_text()


def settled(user: User, simulator: Simulator) -> tuple[dict[str, int], dict[str, int]]:
    """See that nothing is live and nothing watches; return what Flow says was spent, and what was billed."""
    assert not user.is_watched()
    assert [] == simulator.live()
    now = simulator.control("status")
    assert (0, 0) == (now["live_bids"], now["running_nodes"])
    return user.costs() | user.paid(), simulator.billed("Bid") | simulator.billed("Reservation")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_works(page, user, simulator):
    """In their order, in one shell, the page's commands end with 0 on Mithril too, and nothing goes on costing."""
    text = "".join(block.text for block in commands(page)).replace("export FLOW_PROVIDER=mock", "")
    (user.home / "page").write_text(text)
    done = user.run("sh", "-e", str(user.home / "page"))
    assert 0 == done.code, done.err
    said, billed = settled(user, simulator)

    assert billed
    assert billed == said


@pytest.mark.parametrize("block", [b for page in PAGES for b in blocks(page, "python")], ids=str)
def test_a_page_in_python_works(block, user, simulator):
    """The page's script prints what its command printed, and what the ledger says it cost."""
    text = block.text.replace('provider="mock"', 'provider="mithril"')
    (user.home / "page.py").write_text(text)
    done = user.run("python", str(user.home / "page.py"))
    assert 0 == done.code, done.err
    said, billed = settled(user, simulator)

    assert "42" in done.out.split()
    assert billed == said
    assert f"${next(iter(billed.values())) / 100:.2f}" in done.out


def test_setup_is_all_that_is_needed(user, simulator):
    """What was given is checked and found again, and the machine is found well; the key is in its own file alone."""
    checked = user.asked("setup", "--check")
    doctor = user.asked("doctor")
    key = simulator.said["api_key"]
    holders = [
        path.name
        for path in user.home.rglob("*")
        if "simulator" not in path.parts and path.is_file() and key.encode() in path.read_bytes()
    ]

    assert checked["works"]
    assert "file" in next(e["from"] for e in checked["settings"] if e["setting"] == "api_key")
    assert {"ok"} == {each["state"] for each in doctor["checks"]}
    assert ["key.txt", "keys.json"] == sorted(holders)
    assert 0o600 == (user.home / ".config" / "flow" / "keys.json").stat().st_mode & 0o777


def test_account_prices_and_keys(user, simulator):
    """What the account may hold, what is on offer and which keys open nodes is told, and keys come and go."""
    (project,) = user.asked("project", "list")["projects"]
    user.flow("project", "use", project["name"])
    user.flow("ssh-key", "add", "--generate", "--name", "spare", "--to", str(user.home / "spare"))
    keys = [each["name"] for each in user.asked("ssh-key", "list")["keys"]]
    user.flow("ssh-key", "delete", "spare", "--yes")
    left = [each["name"] for each in user.asked("ssh-key", "list")["keys"]]
    offers = user.asked("price", "-i", "8xh100")["prices"]

    assert (simulator.said["project"], True) == (project["id"], project["in_use"])
    assert ["spare"] == [name for name in keys if name not in left]
    assert offers == sorted(offers, key=lambda each: each["price_per_hour"])
    assert any("h100" in each["what"] for each in user.asked("quota")["quotas"])
    assert "$8" in user.flow("price", "history", "-i", "8xh100").out
    assert "moon" in user.flow("submit", "true", "--region", "moon", "--no-code", code=125).err


def test_commands_run_on_nodes(user, simulator):
    """Output and exit codes are the command's, the folder comes along, and a volume outlives its nodes."""
    (user.folder / "data.txt").write_text("from here\n")
    visit = ("submit", "date >> /data/visits; wc -l < /data/visits", "-i", "a100")
    mounted = ("--no-code", "--mount", "volume://data:/data")
    user.flow("volume", "create", "-s", "100", "-i", "file", "--name", "data")

    read = user.flow("submit", "cat data.txt; id -un; exit 7", "-i", "8xh100", code=7)
    visits = [user.flow(*visit, *mounted).out.strip() for _ in range(2)]
    (volume,) = user.asked("volume", "list")["volumes"]
    user.flow("volume", "delete", "data", "--yes")
    said, billed = settled(user, simulator)

    assert "from here\nroot\n" == read.out
    assert ["1", "2"] == visits
    assert ("data", 100) == (volume["name"], volume["size_gb"])
    assert [] == user.asked("volume", "list")["volumes"]
    assert 3 == len(billed)
    assert billed == said


def test_several_nodes_know_each_other(user, simulator):
    """Every node runs the command with its rank, and reaches the first by the name that it was told."""
    line = 'echo "$FLOW_NODE_RANK of $FLOW_NUM_NODES" on $(getent hosts "$MASTER_ADDR" | wc -l)'
    ran = user.flow("submit", line, "-i", "8xa100", "-N", "3", "--no-code")
    said, billed = settled(user, simulator)

    assert [f"[{rank}] {rank} of 3 on 1" for rank in range(3)] == sorted(ran.out.splitlines())
    assert billed == said


def test_an_instance_lives_until_deleted(user, simulator):
    """It is reached by Flow's SSH and OpenSSH's, its limit is changed, it is paused, resumed and deleted."""
    user.flow("instance", "create", "-i", "8xh100", "--name", "box", "--yes")
    user.flow("ssh", "box", "--", "echo kept > note; exit 5", code=5)
    user.flow("ssh-config", "--write")
    config = str(user.home / ".ssh" / "config")
    openssh_says = user.run("ssh", "-F", config, "box", "nvidia-smi -L | wc -l")
    user.flow("instance", "limit", "box", "13.50")
    user.flow("instance", "pause", "box")
    paused = user.until("box", "paused")
    user.flow("instance", "resume", "box")
    resumed = user.until("box", "running")
    read = user.flow("ssh", "box", "--", "cat note")
    (listed,) = user.asked("instance", "list")["instances"]
    user.flow("instance", "delete", "box", "--yes")
    said, billed = settled(user, simulator)

    assert (0, "8") == (openssh_says.code, openssh_says.out.strip()), openssh_says.err
    assert 13.5 == listed["max_price_per_hour"]
    assert [each["id"] for each in paused["nodes"]] == [each["id"] for each in resumed["nodes"]]
    assert "kept\n" == read.out
    assert billed == said


def test_a_preempted_task_comes_back_by_itself(user, simulator):
    """Outbid, it loses its node and gets it again with its disk; the second run goes on and is the last."""
    user.flow("submit", TWICE, "-i", "8xh100", "--name", "heal", "--no-code", "--detach")
    for _ in range(LOOKS):
        # While its node starts there may be nobody yet who gives a log.
        if "run 1" in user.run("flow", "logs", "heal").out:
            break
    simulator.control("outbid", bid=user.task("heal")["bid_id"], lasts="20m")

    followed = user.flow("logs", "heal", "-f")
    task = user.until("heal", "completed")
    said, billed = settled(user, simulator)

    runs = [line.split(" on ") for line in followed.out.splitlines()]
    assert ["run 1", "run 2"] == [run for run, _ in runs]
    assert 1 == len({host for _, host in runs})
    assert "attempt 2 begins" in followed.err
    assert (1, 0) == (task["preemptions"], task["exit_code"])
    assert billed == said
    assert f"${billed[task['bid_id']] / 100:.2f}" in user.flow("status", "heal").out


def test_a_cancelled_task_costs_no_more(user, simulator):
    """`flow cancel` ends a detached task, whose log stays readable."""
    line = "echo begun; sleep infinity"
    user.flow("submit", line, "-i", "a100", "--name", "nap", "--no-code", "--detach")
    for _ in range(LOOKS):
        if user.flow("logs", "nap").out:
            break
    user.flow("cancel", "nap")
    user.until("nap", "cancelled")
    said, billed = settled(user, simulator)

    assert "begun\n" == user.flow("logs", "nap").out
    assert billed == said


def test_another_machines_bids_are_found(user, simulator):
    """Doctor warns of bids of yours that this machine doesn't know; one is taken over, the other withdrawn."""
    elsewhere = {"FLOW_STATE_DIR": str(user.home / "elsewhere")}
    for name in ("mine", "stale"):
        user.flow("instance", "create", "-i", "a100", "--name", name, "--yes", **elsewhere)
    warned = user.flow("doctor").out
    listed = [each["name"] for each in user.asked("reconcile")["bids"]]
    user.flow("reconcile", "mine", "--adopt")
    user.flow("reconcile", "stale", "--withdraw", "--yes")
    user.flow("ssh", "mine", "--", "true")
    user.flow("instance", "delete", "mine", "--yes")
    settled(user, simulator)
    assert not user.is_watched(**elsewhere)

    assert "/hr now" in warned
    assert ["mine", "stale"] == sorted(listed)
    assert ["mine"] == [each["name"] for each in user.asked("status")["tasks"]]
    assert simulator.billed("Bid") == user.costs(**elsewhere)
    assert user.costs().items() <= user.costs(**elsewhere).items()


@pytest.mark.parametrize("simulator", [60], indirect=True)
def test_a_reservation_is_paid_once(user, simulator):
    """It is quoted, made, run on, paused, resumed and extended; its price is on the bill, what ran on it is not."""
    wanted = ("-i", "8xh100", "--for", "12h")
    (cheapest, *_) = user.asked("reservation", "quote", *wanted)["offers"]
    user.flow("reservation", "create", *wanted, "--name", "march", "--yes")
    ran = user.flow("submit", "echo on time", "--reservation", "march", "--no-code")
    user.flow("reservation", "extend", "march", "--by", "1h", "--yes")
    user.flow("reservation", "pause", "march")
    user.flow("reservation", "pause", "march", "--resume")
    simulator.control("advance", seconds=14 * 3600)
    said, billed = settled(user, simulator)

    assert "on time\n" == ran.out
    assert [cents(cheapest["total"]) * 13 // 12] == list(billed.values())
    assert billed == said
