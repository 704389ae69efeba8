"""`flow submit` over a pretend cloud in memory."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from attrs import evolve

from flow_core.domain.money import Price
from flow_core.domain.status import TaskState
from flow_core.services.ports import Defaults
from flow_core.services.session import Session

TRAIN = ("submit", "python train.py", "-i", "8xh100", "--name", "train")


def test_the_commands_output_and_exit_code_are_passed_on(flow, pretend_cloud):
    """stdout holds what the command wrote and nothing else; the exit code is the command's."""
    pretend_cloud.on("python train.py", takes="1h", prints=["epoch 1", "epoch 2"], exits=3)
    answer = flow(*TRAIN)

    assert 3 == answer.code
    assert "epoch 1\nepoch 2\n" == answer.out


def test_a_limit_is_shown_per_gpu_while_bidding(flow):
    """98.32 an hour for eight H100s reads $12.29 for each."""
    answer = flow(*TRAIN, "--max-price-per-hour", "98.32")

    assert (
        "⠋ Bidding for best-price GPU node (8×H100) with $12.29/h100-hr limit price…" in answer.err
    )


def test_the_launch_names_the_gpu_and_the_price_now(flow, session):
    """Once nodes are granted their GPU and the market's price are said."""
    price = session.provider.market.quotes()[0].price
    answer = flow(*TRAIN)
    cheapest = min(
        quote.price.per(8)
        for quote in session.provider.market.quotes()
        if str(quote.shape) == "8xh100"
    )

    assert price is not None
    assert f"✓ Launching on NVIDIA H100-80GB for {cheapest}/h100-hr" in answer.err


def test_the_last_line_says_how_it_ended(flow, pretend_cloud):
    """The exit code, the cost and the time are told on stderr."""
    pretend_cloud.on("python train.py", takes="1h")
    answer = flow(*TRAIN)
    last = answer.err.splitlines()[-1]

    assert last.startswith("train completed · exit code 0 · $")
    assert "simulated" in last


def test_nothing_is_left_when_it_has_ended(flow, session):
    """After an attached submit the bid is gone."""
    flow(*TRAIN)

    assert [] == list(session.provider.market.bids(live=True))


def test_detached_prints_the_name_alone(flow, session):
    """stdout holds the name, for scripts; the task goes on."""
    answer = flow(*TRAIN, "--detach")

    assert (0, "train\n") == (answer.code, answer.out)
    assert session.tasks.view("train").record.is_live


def test_a_dry_run_places_nothing(flow, session):
    """The plan says what was considered, by whose prices, and why; no bid and no record exist afterwards."""
    answer = flow(*TRAIN, "--dry-run")

    assert 0 == answer.code
    assert "chosen: the cheapest that fits" in answer.out
    assert "prices are from the pretend market, 0s old at most" in answer.out
    assert [] == list(session.provider.market.bids())
    assert [] == session.tasks.views()


def test_a_dry_run_as_json_is_a_plan(flow):
    """It holds the limit in dollars per instance-hour, and every rejected offer with its price's origin and why."""
    plan = flow(*TRAIN, "-N", "2", "--max-price-per-hour", "98.32", "--dry-run", "--json").document[
        "plan"
    ]

    assert (98.32, 196.64) == (plan["max_price_per_hour"], plan["max_total_per_hour"])
    assert all(each["why"] and each["price_as_of"] for each in plan["rejected"])
    assert {"the pretend market"} == {each["price_source"] for each in (plan, *plan["rejected"])}


def test_json_is_one_document_at_the_end(flow, pretend_cloud):
    """With --json stdout holds the task alone; its log goes to stderr."""
    pretend_cloud.on("python train.py", prints=["epoch 1"])
    answer = flow(*TRAIN, "--json")

    assert ("task", 1, "completed") == (
        answer.document["kind"],
        answer.document["version"],
        answer.document["task"]["state"],
    )
    assert "epoch 1\n" in answer.err


def test_all_problems_are_told_at_once_in_the_users_words(flow):
    """Each problem stands under the option it was given by, and Flow's own failure is 125."""
    answer = flow("submit", "true", "-i", "8xa10O", "-N", "0", "--env", "A=B=C", "--mount", "x:y")

    assert 125 == answer.code
    assert "--instance-type: '8xa10O' names no GPU we know; nearest is '8xa100'" in answer.err
    assert "--num-instances: 0 instances" in answer.err
    assert "--mount: " in answer.err


def test_both_spellings_of_the_price_are_one_too_many(flow):
    """A price per hour and a price per GPU-hour can't both be given."""
    answer = flow(*TRAIN, "--max-price-per-hour", "9", "--max-price-per-gpu-hour", "2")

    assert 125 == answer.code
    assert "--max-price-per-gpu-hour: says the same as" in answer.err


def test_detached_failures_have_their_own_codes(flow):
    """Where no exit code is passed on, the kind's own number is used."""
    answer = flow("submit", "true", "-i", "8xb300", "--detach", "--json")

    assert 7 == answer.code
    assert ("error", "no-capacity", 7) == (
        answer.document["kind"],
        answer.document["error"]["kind"],
        answer.document["error"]["exit_code"],
    )


def test_an_unknown_option_says_where_the_commands_own_options_go(flow):
    """Options of the user's command need quotes or two dashes; the hint says so."""
    answer = flow("submit", "python", "train.py", "--lr", "0.1")

    assert 125 == answer.code
    assert "after `--`" in answer.err


def test_words_after_two_dashes_are_the_commands(flow, pretend_cloud, session):
    """Nothing after `--` is read as an option."""
    flow("submit", "-i", "8xh100", "--name", "echo", "--", "echo", "--json", "-i")

    assert ("echo", "--json", "-i") == session.tasks.record("echo").spec.command


def test_a_taken_name_is_kept_and_refused(flow):
    """A name of a live task is no name for a second one."""
    flow(*TRAIN, "--detach")
    answer = flow(*TRAIN, "--detach")

    assert 5 == answer.code
    assert "'train'" in answer.err


def test_an_unnamed_shape_is_chosen_and_shown(flow):
    """Without -i the cheapest GPU on offer is said before it is bid for."""
    answer = flow("submit", "true")

    assert 0 == answer.code
    assert "No instance type was named; the cheapest that fits is" in answer.err


@pytest.fixture
def careful(session) -> Session:
    """The session of a user who wants choices above a cent confirmed."""
    return Session(evolve(session.ports, defaults=Defaults(confirm_above=Price.parse("0.01"))))


def test_a_dear_choice_needs_yes_without_a_terminal(flow, careful):
    """Above the configured price a choice of ours is refused when nobody can be asked, and nothing is placed."""
    answer = flow("submit", "true", "--detach", connect=lambda *_: careful)

    assert 2 == answer.code
    assert "--yes" in answer.err
    assert [] == careful.tasks.views()


def test_a_dear_choice_is_taken_with_yes(flow, careful):
    """--yes agrees beforehand."""
    assert 0 == flow("submit", "true", "--detach", "--yes", connect=lambda *_: careful).code


@pytest.mark.parametrize("reply, placed", [("y\n", 1), ("n\n", 0), ("", 0)])
def test_a_dear_choice_is_asked_about_on_a_terminal(flow, careful, reply, placed):
    """Only a yes goes ahead."""
    flow("submit", "true", "--detach", typed=reply, terminal=True, connect=lambda *_: careful)

    assert placed == len(careful.tasks.views())


def test_several_nodes_are_told_apart_by_rank(flow, pretend_cloud):
    """Each line of four nodes begins with the node's rank, whole lines only."""
    pretend_cloud.on("hostname", prints=["here"])
    answer = flow("submit", "hostname", "-i", "8xh100", "-N", "4")

    assert {f"[{rank}] here" for rank in range(4)} == set(answer.out.splitlines())


def test_a_task_cancelled_elsewhere_is_flows_own_end(flow, pretend_cloud, session, clock):
    """Who follows a task that another terminal cancels gets 125 and the kind."""
    pretend_cloud.on("python train.py", takes="9h")
    cancels = [clock.now() + timedelta(hours=1)]
    clock.add_stepper(
        lambda: cancels[0] if cancels else None,
        lambda: cancels.clear() or session.tasks.cancel("train"),
    )
    answer = flow(*TRAIN)

    assert 125 == answer.code
    assert "'train' was cancelled [task-cancelled]" in answer.err


def test_ctrl_c_leaves_the_task_running(flow, pretend_cloud, session, clock):
    """Nothing is asked; the ways back and out are said; the exit code is 130."""
    pretend_cloud.on("python train.py", takes="9h")
    presses = [clock.now() + timedelta(hours=1)]
    clock.add_stepper(lambda: presses[0] if presses else None, lambda: press(presses))
    answer = flow(*TRAIN)

    assert 130 == answer.code
    assert "flow logs train -f" in answer.err
    assert "flow cancel train" in answer.err
    assert TaskState.RUNNING is session.tasks.view("train").state


def press(presses: list[datetime]) -> None:
    """What Ctrl-C does to the process, once."""
    presses.clear()
    raise KeyboardInterrupt


def test_a_plan_shows_no_key_and_no_whole_script(flow):
    """A long command is cut, with how long it is; what is called a key, token, secret or password is not shown."""
    long = "\n".join(f"echo {number}" for number in range(40))
    said = flow("submit", long, "--env", "API_TOKEN=hunter2", "--env", "LR=0.1", "--dry-run").out

    assert "(40 lines in all)" in said
    assert "echo 30" not in said
    assert "hunter2" not in said
    assert "LR=0.1" in said
