"""`flow status`, `logs`, `price`, `provider` and `ssh` over a pretend cloud in memory."""

from __future__ import annotations

import pytest

from flow_adapters.wiring import connect_in_memory
from flow_core.domain.allocation import Node
from flow_core.domain.task import TaskSpec
from flow_core.services.ports import Ports
from flow_core.services.remote import Remote
from flow_core.services.session import Session


@pytest.fixture
def train(flow, pretend_cloud) -> str:
    """A task of two nodes that has been running for a while; its name."""
    pretend_cloud.on("python train.py", takes="3h", prints=["one", "two", "three"])
    flow("submit", "python train.py", "-i", "8xh100", "-N", "2", "--name", "train", "--detach")
    pretend_cloud.clock.advance(hours=2, minutes=10)
    return "train"


def test_status_lists_what_runs(flow, train):
    """A task's row has its state as a mark and a word, its GPUs and its cost."""
    row = flow("status").out.splitlines()[1]

    assert row.startswith("train  ● running  2 × 8×H100·80G")
    assert "$" in row


def test_status_of_nothing_says_how_to_begin(flow):
    """An empty list names the command that fills it."""
    assert "flow submit" in flow("status").out


def test_status_as_json_counts_money_and_time_in_numbers(flow, train):
    """The list's document holds each task, whether the watcher runs, and where it comes from."""
    document = flow("status", "--json").document
    (task,) = document["tasks"]

    assert ("task-list", 1, True, "mock", True) == (
        document["kind"], document["version"], document["watcher_running"], document["provider"], document["simulated"],
    )  # fmt: skip
    assert ("train", "running", 2, False) == (
        task["name"], task["state"], task["num_instances"], task["cost_is_estimate"],
    )  # fmt: skip
    assert task["cost"] > 0


def test_status_of_one_task_tells_its_history(flow, train):
    """The detail has every event with its time and reason, and each node."""
    answer = flow("status", train)

    assert "History" in answer.out
    assert "nodes were granted" in answer.out
    assert "0  running  ubuntu@" in answer.out or "0  running" in answer.out


def test_status_says_what_a_task_waits_for(flow, session):
    """A bid under the price says so, with both numbers and what comes next."""
    flow("submit", "true", "-i", "8xh100", "--name", "low", "--max-price-per-hour", "3", "--detach")
    answer = flow("status", "low")

    assert "the $3.00/hr limit is under the clearing price of" in answer.out
    assert "then its nodes start" in answer.out


def test_status_of_a_stranger_is_not_found(flow):
    """An unknown name is code 4."""
    assert 4 == flow("status", "nobody").code


def test_logs_prefix_lines_of_several_nodes(flow, train):
    """Every line begins with the rank of its node."""
    answer = flow("logs", train)

    assert ["[0] one", "[0] two", "[1] one", "[1] two"] == sorted(answer.out.splitlines())


def test_logs_of_one_node_are_as_they_came(flow, train):
    """--node picks one node, whose bytes come bare."""
    assert "one\ntwo\n" == flow("logs", train, "--node", "1").out


def test_logs_follow_to_the_end(flow, train):
    """-f goes on until the command has ended, and misses nothing."""
    assert "one\ntwo\nthree\n" == flow("logs", train, "-f", "--node", "0").out


def test_logs_tail_begins_late(flow, train):
    """--tail 1 begins with the last line."""
    assert "two\n" == flow("logs", train, "--node", "0", "--tail", "1").out


def test_logs_as_json_say_which_node_and_stream(flow, train):
    """Each piece is a document of its own."""
    pieces = [each for each in flow("logs", train, "--json").documents if each["stream"] == "out"]

    assert {("log", 0, "one\n"), ("log", 0, "two\n"), ("log", 1, "one\n"), ("log", 1, "two\n")} == {
        (each["kind"], each["rank"], each["text"]) for each in pieces
    }


def test_a_node_that_is_not_there_is_not_found(flow, train):
    """Ranks beyond the last say which there are."""
    answer = flow("logs", train, "--node", "7")

    assert 4 == answer.code
    assert "0 to 1" in answer.err


@pytest.mark.parametrize("ranks", ["x", "3-1", "1,,2", ""])
def test_ranks_that_are_none_are_a_usage_error(flow, train, ranks):
    """Ranks are numbers and ranges."""
    assert 2 == flow("logs", train, "--node", ranks).code


def test_price_narrows_to_a_family(flow):
    """`-i h100` lists every count of H100s and nothing else; `-i 8xh100` that count alone."""
    family = {
        each["instance_type"] for each in flow("price", "-i", "h100", "--json").document["prices"]
    }
    exact = {
        each["instance_type"] for each in flow("price", "-i", "8xh100", "--json").document["prices"]
    }

    assert {"8xh100"} < family
    assert all(each.endswith("xh100") for each in family)
    assert {"8xh100"} == exact


def test_prices_come_cheapest_gpu_first(flow):
    """The order is by what one GPU costs."""
    prices = [
        each["price_per_gpu_hour"]
        for each in flow("price", "--json").document["prices"]
        if each["gpus"]
    ]

    assert sorted(prices) == prices


def test_a_price_of_nothing_on_offer_says_so(flow):
    """A shape that nobody sells is no error of the list."""
    answer = flow("price", "-i", "8xl4")

    assert 0 == answer.code
    assert "Nothing on offer is 8xl4" in answer.out


def test_ssh_runs_on_all_nodes_and_passes_the_code_on(flow, pretend_cloud, train):
    """Lines are told apart by rank, and the worst code is the command's; a table says whose it was."""
    pretend_cloud.on_shell("nvidia-smi -L", lambda call: (7 if call.node.rank else 0, b"GPU 0\n"))
    answer = flow("ssh", train, "--", "nvidia-smi", "-L")

    assert 7 == answer.code
    assert ["[0] GPU 0", "[1] GPU 0"] == sorted(answer.out.splitlines())
    assert ["7 1"] == [" ".join(line.split()) for line in answer.err.splitlines()][-1:]


def test_ssh_with_one_word_gives_it_to_the_shell_as_it_is(flow, pretend_cloud, train):
    """A quoted line may hold pipes; several words are quoted again."""
    lines = []
    for line in ("ls | wc -l", "echo 'a b'"):
        pretend_cloud.on_shell(line, lambda call: (lines.append(call.line) or 0, b""))
    flow("ssh", train, "--node", "0", "--", "ls | wc -l")
    flow("ssh", train, "--node", "0", "--", "echo", "a b")

    assert ["ls | wc -l", "echo 'a b'"] == lines


def test_ssh_as_json_ends_with_a_code_for_each_node(flow, pretend_cloud, train):
    """What was written comes as log documents, then one document with the codes."""
    pretend_cloud.on_shell("true", lambda call: (0, b"\xff"))
    *pieces, last = flow("ssh", train, "--json", "--", "true").documents

    assert {"base64"} == {key for each in pieces for key in each if key in ("text", "base64")}
    assert ("ssh", {"0": 0, "1": 0}, 0) == (last["kind"], last["exit_codes"], last["exit_code"])


def test_ssh_to_a_lost_node_is_125_and_holds_up_nobody(flow, pretend_cloud, session, train):
    """The other node's output arrives; the lost one is named, with its kind."""
    pretend_cloud.on_shell("hostname", lambda call: (0, b"here\n"))
    nodes = session.remote.nodes(train)
    pretend_cloud.lose_node(train, 1)
    losing = Losing(session, nodes)
    answer = flow("ssh", train, "--", "hostname", connect=lambda *_: losing)

    assert (125, "[0] here\n") == (answer.code, answer.out)
    assert "node 1 was lost: " in answer.err
    assert "[node-unreachable]" in answer.err


class Losing(Session):
    """A session that still believes in nodes seen earlier, as every session does for a moment."""

    def __init__(self, session: Session, nodes: tuple[Node, ...]) -> None:
        super().__init__(session.ports)
        self.nodes = nodes

    @property
    def remote(self) -> Remote:
        """Reach into the nodes as they were."""
        return Believing(self.ports, self.nodes)


class Believing(Remote):
    """Finds the nodes that it was told of."""

    def __init__(self, ports: Ports, nodes: tuple[Node, ...]) -> None:
        super().__init__(ports)
        self._nodes = nodes

    def nodes(self, name: str, *, ranks: object = None) -> tuple[Node, ...]:
        """Return them all."""
        return self._nodes


def test_ssh_to_a_task_without_nodes_is_flows_own_failure(flow):
    """A task that still bids has no node to reach; ssh then ends with 125 and says the state."""
    flow("submit", "true", "-i", "8xh100", "--name", "low", "--max-price-per-hour", "3", "--detach")
    answer = flow("ssh", "low", "--", "true")

    assert 125 == answer.code
    assert "[conflict]" in answer.err
    assert "bidding" in answer.err


def test_a_silent_provider_is_waited_out_while_following(flow, pretend_cloud):
    """A provider that gives no answer for a while ends no submit; that it was silent is said."""
    pretend_cloud.on("python train.py", takes="3h", prints=["done"])
    pretend_cloud.fail_next("bids", times=60)

    answer = flow("submit", "python train.py", "-i", "8xh100")

    assert (0, "done\n") == (answer.code, answer.out)
    assert "gave no answer to 'bids'; the task goes on meanwhile" in answer.err


def test_a_bid_from_another_machine_is_shown_by_its_name(flow, pretend_cloud):
    """A live bid that this machine didn't place is told under its user's name, in words and in JSON."""
    far = connect_in_memory(pretend_cloud)
    far.tasks.submit(TaskSpec(command="train", name="resnet"))

    listed, document = flow("status"), flow("instance", "list", "--json").document

    assert "also live, but not placed from here: resnet (open, " in listed.err
    assert ["resnet"] == [each["name"] for each in document["elsewhere"]]
