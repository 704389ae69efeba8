"""The journal: what was written is there, for whoever asks and whatever comes between."""

from __future__ import annotations

import contextlib
import threading
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.journal import IN_MEMORY, SqliteJournal
from flow_adapters.journal_rows import READERS
from flow_core.domain.bid import BidState
from flow_core.domain.money import Price, Spend
from flow_core.domain.policy import Foreign
from flow_core.domain.record import Outcome, Step, TaskEvent, TaskRecord
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task import TaskSpec
from flow_core.errors import InvalidRequest, NameTaken, NotFound
from tests import strategies
from tests.records import DONE, record
from tests.strategies import EPOCH


@pytest.fixture(params=["file", "memory"])
def journal(request, tmp_path):
    """An empty journal, on disk and in memory."""
    place = tmp_path / "state" / "journal.sqlite" if request.param == "file" else IN_MEMORY
    with contextlib.closing(SqliteJournal(place)) as made:
        yield made


@pytest.fixture
def path(tmp_path):
    """Where a journal may be made."""
    return tmp_path / "journal.sqlite"


@given(written=strategies.records)
def test_a_record_reads_back_the_same(written):
    """Whatever a record holds comes back to the micro-dollar and microsecond."""
    with contextlib.closing(SqliteJournal(IN_MEMORY)) as journal:
        journal.add(written)

        assert written == journal.find(written.token)


@given(lines=st.lists(strategies.events, max_size=5))
def test_a_history_reads_back_in_order(lines):
    """Events come back as they were logged, the oldest first."""
    with contextlib.closing(SqliteJournal(IN_MEMORY)) as journal:
        for line in lines:
            journal.log("token", line)

        assert lines == journal.events("token")
        assert [] == journal.events("other")


def test_bytes_that_are_no_text_survive(journal):
    """What came from an argument or a log line in another encoding is kept as it came."""
    odd = b"caf\xe9".decode("utf-8", "surrogateescape")
    written = record(reason=odd, spec=TaskSpec(command=odd, env={"WHERE": odd}))
    journal.add(written)
    journal.log(written.token, TaskEvent(at=EPOCH, what=odd))

    assert written == journal.find("train")
    assert odd == journal.events(written.token)[0].what
    with pytest.raises(NotFound):
        journal.find(odd)
    assert [] == journal.names(odd)


def test_a_gpu_that_only_a_provider_knows_is_kept(journal):
    """The shape of a record comes back though no spelling of it can be read."""
    written = record(spec=TaskSpec(command="true", instance_type=InstanceShape("x9", 3, 7)))
    journal.add(written)

    assert written == journal.find("train")


def test_a_policy_of_somebodys_own_is_kept_by_its_name(journal):
    """No other program can ask it, but the task that was submitted with it stays readable."""
    written = record(spec=TaskSpec(command="true", bid_policy=Foreign("by-night 2x")))
    journal.add(written)

    assert written == journal.find("train")


def test_what_could_not_be_read_back_is_not_written(journal):
    """A record that would spoil every later list is refused when it is added."""
    with pytest.raises(InvalidRequest):
        journal.add(record(spec=TaskSpec(command="true", max_run_time=timedelta(days=100_000))))

    assert [] == journal.live()


def test_every_field_of_a_record_has_a_reader():
    """A field of a new type can't be added to the record without a reader for it."""
    types = {str(each.type).partition(" |")[0] for each in attrs.fields(TaskRecord)}

    assert set() == types - set(READERS) - {"TaskSpec"}


def test_a_live_name_is_taken(journal):
    """Names are unique among the live records of one provider, and free again after the end."""
    first = record()
    journal.add(first)
    with pytest.raises(NameTaken, match="'train'"):
        journal.add(record())
    journal.add(record(provider="other"))
    journal.add(record(name="Train"))
    journal.update(first.token, **DONE)
    journal.add(record())

    assert 3 == len(journal.live())


def test_a_record_that_ended_holds_no_name(journal):
    """A record may be added when it is over already, whatever is live."""
    journal.add(record())
    over = record(**DONE)
    journal.add(over)

    assert [over.token] == [each.token for each in journal.recent(5) if not each.is_live]


def test_a_token_is_used_once(journal):
    """A second record with the same token is refused, and the first one stays."""
    first = record(**DONE)
    journal.add(first)
    with pytest.raises(NameTaken, match="token"):
        journal.add(attrs.evolve(first, name="other"))

    assert "train" == journal.find(first.token).name


def test_an_update_returns_what_is_now_so(journal):
    """Each named field changes, the others stay."""
    journal.add(first := record())
    changed = journal.update(
        first.token, step=Step.PLACED, bid_id="b1", bid_state=BidState.OPEN, limit=Price(5)
    )

    assert changed == journal.find("train")
    assert (
        attrs.evolve(first, step=Step.PLACED, bid_id="b1", bid_state=BidState.OPEN, limit=Price(5))
        == changed
    )


def test_a_spec_may_be_replaced(journal):
    """The task of a record can be changed like any other field."""
    journal.add(first := record())
    other = TaskSpec(command="false", env={"A": "1"})
    journal.update(first.token, spec=other)

    assert other == journal.find("train").spec


def test_an_update_of_nothing_is_refused(journal):
    """A token that no record has is not found; a field that no record has is a mistake in the program."""
    with pytest.raises(NotFound):
        journal.update("0" * 8, step=Step.PLACED)
    journal.add(first := record())
    with pytest.raises(AttributeError):
        journal.update(first.token, colour="red")


def test_the_first_outcome_stays(journal):
    """A second outcome changes neither the first nor its code, reason and time; other fields still change."""
    journal.add(first := record())
    journal.update(
        first.token, outcome=Outcome.FAILED, exit_code=3, reason="it broke", ended_at=EPOCH
    )
    later = EPOCH + timedelta(hours=1)
    after = journal.update(
        first.token, outcome=Outcome.CANCELLED, exit_code=None, reason="cancelled",
        ended_at=later, spent=Spend(9),
    )  # fmt: skip

    assert (Outcome.FAILED, 3, "it broke", EPOCH) == (
        after.outcome,
        after.exit_code,
        after.reason,
        after.ended_at,
    )
    assert Spend(9) == after.spent


def test_what_was_released_stays_released(journal):
    """A release is never taken back."""
    journal.add(first := record(outcome=Outcome.FAILED))
    journal.update(first.token, released=True)

    assert journal.update(first.token, released=False, preemptions=1).released
    assert [] == journal.live()


def test_finding_prefers_what_is_live(journal):
    """A name means the live record, else the one that ended last, not the one that was made last."""
    old, older = record(), record(name="other")
    journal.add(old)
    journal.add(older)
    journal.update(old.token, **DONE)
    journal.update(older.token, name="train", **DONE)
    ended_last = journal.find("train")
    journal.add(alive := record())

    assert older.token == ended_last.token
    assert alive == journal.find("train")
    assert old.token == journal.find(old.token).token
    with pytest.raises(NotFound):
        journal.find("train", provider="elsewhere")


def test_an_unknown_name_leads_to_its_neighbour(journal):
    """The hint tells the name that is spelled most like it, or where names are listed."""
    journal.add(record(name="resnet"))
    with pytest.raises(NotFound) as near:
        journal.find("resnt")
    with pytest.raises(NotFound) as far:
        journal.find("zzz")

    assert "nearest is 'resnet'" == near.value.hint
    assert "flow status" in far.value.hint


def test_lists_are_in_their_order(journal):
    """Live ones come oldest first; recent ones newest first, the live ones and those that ended last."""
    made = [record(name=f"t{number}") for number in range(6)]
    for each in made:
        journal.add(each)
    for number in (3, 0, 1):
        journal.update(made[number].token, **DONE)

    assert ["t2", "t4", "t5"] == [each.name for each in journal.live()]
    assert ["t5", "t4", "t2", "t1", "t0"] == [each.name for each in journal.recent(2)]
    assert ["t5", "t4", "t2"] == [each.name for each in journal.recent(0)]
    assert [] == journal.recent(2, provider="other") + journal.live(provider="other")


def test_names_complete(journal):
    """Names start with the prefix as it is, live ones first, each once."""
    for number, name in enumerate(["a_1", "ab1", "A1", "a%2", "a_1"]):
        journal.add(record(name=name, **(DONE if number % 2 == 0 else {})))

    assert ["a%2", "ab1", "a_1"] == journal.names("a")
    assert ["a_1"] == journal.names("a_")
    assert ["a%2"] == journal.names("a%")
    assert {"a%2", "ab1", "a_1", "A1"} == set(journal.names())


def test_a_claim_excludes_others(journal):
    """Of two claims on one thing one holds; claims on other things don't mind; leaving ends it."""
    with (
        journal.claim("t1", "place") as first,
        journal.claim("t1", "place") as second,
        journal.claim("t1", "deliver") as third,
        journal.claim("t2", "place") as fourth,
    ):
        held = (first, second, third, fourth)
    with pytest.raises(ValueError, match="given up"), journal.claim("t1", "place"):
        raise ValueError("given up")
    with journal.claim("t1", "place") as again:
        assert again

    assert (True, False, True, True) == held


def test_changes_grow_with_writes(journal):
    """The number grows with each write, and not with reads or with writes that change nothing."""
    numbers = [journal.changes()]
    journal.add(first := record())
    numbers.append(journal.changes())
    journal.update(first.token, preemptions=1)
    numbers.append(journal.changes())
    journal.log(first.token, TaskEvent(at=EPOCH, what="x"))
    numbers.append(journal.changes())
    journal.update(first.token, preemptions=1)
    journal.live()
    with pytest.raises(NameTaken):
        journal.add(record())

    assert sorted(set(numbers)) == numbers
    assert numbers[-1] == journal.changes()


def test_changes_by_others_are_seen(path):
    """A write through another connection is seen, once."""
    with (
        contextlib.closing(SqliteJournal(path)) as ours,
        contextlib.closing(SqliteJournal(path)) as theirs,
    ):
        before = ours.changes()
        theirs.add(record())
        after = ours.changes()

        assert before < after
        assert after == ours.changes()
        assert ["train"] == [each.name for each in ours.live()]


def test_threads_share_a_journal(journal):
    """Writes from several threads are all kept."""

    def write(start: int) -> None:
        for number in range(start, start + 20):
            journal.add(record(name=f"t{number}"))

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 60 == len(journal.live())


def test_what_is_written_together_is_written_whole(journal):
    """Writes kept together are there once it is left, and gone, all of them, when an error ends it."""
    one, two = record(name="one"), record(name="two")
    with journal.together():
        journal.add(one)
        with journal.together():
            journal.log(one.token, TaskEvent(at=one.created_at, what="submitted"))
    taken = attrs.evolve(two, token="another")
    with contextlib.suppress(NameTaken), journal.together():
        journal.update(one.token, membership=7)
        journal.add(two)
        journal.add(taken)

    assert [one] == list(journal.live())
    assert ["submitted"] == [each.what for each in journal.events(one.token)]


def test_the_newest_group_of_a_name_has_its_members(journal):
    """A group is found by name or token, its tasks oldest first; of two with one name the newer counts."""
    older = [record(name=f"g_{n}", group="g", group_token="old") for n in range(2)]
    newer = [record(name=f"h_{n}", group="g", group_token="new") for n in range(2)]
    for each in (*older, *newer, record(name="alone")):
        journal.add(each)

    assert newer == list(journal.members("g"))
    assert older == list(journal.members("old"))
    assert [] == list(journal.members(""))
    assert [] == list(journal.members("g", provider="elsewhere"))
