"""`flow instance`, `volume` and `cancel` over a pretend cloud in memory."""

from __future__ import annotations

BOX = ("instance", "create", "-i", "8xh100", "--name", "box")


def test_a_panel_comes_before_the_bid(flow):
    """All that is about to be held is shown, with the price for one and for all, before bidding."""
    answer = flow(*BOX, "-N", "20", "--max-price-per-hour", "98.32")
    lines = answer.err.splitlines()
    panel = dict(line.strip().split("  ", 1) for line in lines[1:8])

    assert "Instance Configuration" == lines[0]
    assert [
        "Name",
        "Command",
        "Image",
        "Working Dir",
        "Instance Type",
        "Num Instances",
        "Max price",
    ] == list(panel)
    assert (
        "$98.32/hr per instance, $1,966.40/hr for 20 ($12.29/h100-hr) · simulated"
        == panel["Max price"].strip()
    )
    assert "nvidia/cuda:12.1.0-runtime-ubuntu22.04" == panel["Image"].strip()
    assert "Bidding for 20 best-price GPU nodes (8×H100)" in lines[9]


def test_an_instance_runs_until_it_is_given_back(flow, session, clock):
    """Create returns once it runs and prints the name; a day later it is still there; delete ends it."""
    made = flow(*BOX)
    clock.advance(days=1)

    assert (0, "box\n") == (made.code, made.out)
    assert "running" == session.tasks.view("box").state.value
    assert 0 == flow("instance", "delete", "box", "--yes").code
    assert "cancelled" == session.tasks.view("box").state.value


def test_instances_are_listed_with_a_mark_and_a_word(flow):
    """The panel is titled Flow; status, name, GPU, owner and age are its columns."""
    flow(*BOX)
    title, heads, row, *_ = flow("instance", "list").out.splitlines()

    assert "Flow" == title
    assert ["#", "Status", "Instance", "GPU", "Region", "Limit/hr", "Owner", "Age"] == heads.split()
    assert row.startswith("1  ● running  box")
    assert "8×H100·80G" in row
    assert "you" in row


def test_one_namespace_two_lists(flow):
    """An instance shows in `flow status`, and a task in `flow instance list`."""
    flow(*BOX)
    flow("submit", "true", "-i", "a100", "--name", "batch", "--detach")

    assert {"box", "batch"} == {each["name"] for each in flow("status", "--json").document["tasks"]}
    assert {"box", "batch"} == {
        each["name"] for each in flow("instance", "list", "--json").document["instances"]
    }


def test_deleting_needs_yes_without_a_terminal(flow, session):
    """Nobody can be asked, so nothing is deleted, and the way is named."""
    flow(*BOX)
    answer = flow("instance", "delete", "box")

    assert 2 == answer.code
    assert "hint: add --yes" in answer.err
    assert "running" == session.tasks.view("box").state.value


def test_deleting_asks_on_a_terminal(flow, session):
    """No keeps it, yes ends it."""
    flow(*BOX)
    kept = flow("instance", "delete", "box", terminal=True, typed="n\n")

    assert 1 == kept.code
    assert "running" == session.tasks.view("box").state.value
    assert 0 == flow("instance", "delete", "box", terminal=True, typed="y\n").code
    assert "cancelled" == session.tasks.view("box").state.value


def test_cancel_ends_a_task_unasked_and_asks_for_a_kept_one(flow, session):
    """A batch task is cancelled at once; an instance needs --yes here too, and all or nothing is ended."""
    flow(*BOX)
    flow("submit", "sleep 9h", "-i", "a100", "--name", "batch", "--detach")

    assert 2 == flow("cancel", "batch", "box").code
    assert session.tasks.view("batch").record.is_live
    assert 0 == flow("cancel", "batch").code
    assert 0 == flow("cancel", "box", "--yes").code


def test_cancelling_the_ended_changes_nothing(flow):
    """A second cancel says that it had ended already, and succeeds."""
    flow("submit", "true", "-i", "a100", "--name", "batch")
    answer = flow("cancel", "batch")

    assert 0 == answer.code
    assert "had ended already: succeeded" in answer.err


def test_nothing_is_cancelled_when_one_name_is_unknown(flow, session):
    """All names are looked up before anything ends."""
    flow("submit", "sleep 9h", "-i", "a100", "--name", "batch", "--detach")

    assert 4 == flow("cancel", "batch", "nobody").code
    assert session.tasks.view("batch").record.is_live


def test_a_volume_is_made_listed_and_deleted(flow):
    """Its name is printed, the list shows size, interface and region, delete needs --yes."""
    made = flow("volume", "create", "-s", "10000", "-i", "file", "--name", "data")
    listed = flow("volume", "list").out

    assert (0, "data\n") == (made.code, made.out)
    assert "10,000 GB" in listed
    assert 2 == flow("volume", "delete", "data").code
    assert 0 == flow("volume", "delete", "data", "--yes").code
    assert "No volumes" in flow("volume", "list").out


def test_a_volume_in_use_is_refused_by_name(flow):
    """The task that uses it is named, and the code is 6."""
    flow("volume", "create", "-s", "10", "--name", "data")
    flow(*BOX, "--mount", "volume://data:/data")
    answer = flow("volume", "delete", "data", "--yes")

    assert 6 == answer.code
    assert "in use by box" in answer.err


def test_a_volume_without_a_name_gets_a_readable_one(flow):
    """Two words are made up."""
    document = flow("volume", "create", "-s", "10", "--json").document

    assert 2 == len(document["volume"]["name"].split("-"))


def test_problems_of_a_volume_are_told_together(flow):
    """Size and name are wrong at once."""
    answer = flow("volume", "create", "-s", "0", "--name", "a b", "--region", "nowhere")

    assert 2 == answer.code
    assert {"--size", "--name", "--region"} == {
        line.strip().partition(":")[0] for line in answer.err.splitlines() if line.startswith("  ")
    }
