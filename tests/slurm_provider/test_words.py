"""Slurm's words, read: states, reasons, ends, complaints, offers and options."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from flow_core.domain.allocation import Node, NodeState
from flow_core.domain.bid import BidRequest, BidState, Launch
from flow_core.domain.money import Price
from flow_core.domain.run import RunPhase, Stream
from flow_core.domain.shape import parse_shape
from flow_core.errors import (
    FlowError,
    InvalidRequest,
    Misconfigured,
    NoCapacity,
    NotAuthorized,
    QuotaExceeded,
    Transient,
)
from flow_core.ports.shell import NodeExit, NodeOutput
from flow_providers.slurm import desk
from flow_providers.slurm.asked import read_options, sbatch_words
from flow_providers.slurm.errors import translated
from flow_providers.slurm.estate import Found
from flow_providers.slurm.logs import reports_of
from flow_providers.slurm.offers import Offer, minutes_of, offers_of, read_nodes, read_partitions
from flow_providers.slurm.steps import Hearing
from flow_providers.slurm.words import ending_words, state_of, waiting_words

CUT = (
    "slurmstepd-n1: error: *** JOB 4 ON n1 CANCELLED AT 2026-11-28T13:33:38 DUE TO JOB REQUEUE ***"
)
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
PARTITIONS = """\
PartitionName=cpu Default=YES MaxNodes=UNLIMITED MaxTime=UNLIMITED RootOnly=NO State=UP DefMemPerCPU=2000
PartitionName=gpu AllowGroups=ALL Default=NO MaxNodes=4 MaxTime=2-00:00:00 RootOnly=NO State=UP DefMemPerNode=UNLIMITED
PartitionName=old AllowGroups=ALL Default=NO MaxNodes=4 MaxTime=1:00:00 RootOnly=NO State=DOWN
"""
NODE = (
    "NodeName={name} Arch=x86_64 CPUAlloc={used} CPUTot=64 ActiveFeatures={features} Gres={gres} GresUsed={busy}"
    " NodeAddr={name}.cluster OS=Linux 6.1 #1 SMP RealMemory=512000 AllocMem=0 State={state} Partitions={partition}"
    " Reason=fans are loud\n"
)


def node(name: str, partition: str, **told: str) -> str:
    """One line of scontrol's."""
    usual = {"used": "0", "features": "(null)", "gres": "(null)", "busy": "(null)", "state": "IDLE"}
    return NODE.format(**{**usual, "name": name, "partition": partition, **told})


def offers(*lines: str, **names: str) -> dict[tuple[str, str], Offer]:
    """Offers by partition and the cluster's own type of GPU."""
    found = offers_of(read_nodes("".join(lines)), read_partitions(PARTITIONS), names=names)
    return {(offer.partition.name, offer.gpu): offer for offer in found}


def row(state: str, reason: str = "None") -> dict[str, str]:
    """One row of squeue's."""
    return {"state": state, "reason": reason, "end": "N/A"}


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        ("PENDING", "Resources", BidState.OPEN),
        ("PENDING", "JobHeldUser", BidState.PAUSED),
        ("PENDING", "job requeued in held state", BidState.PAUSED),
        ("REQUEUED", "None", BidState.OPEN),
        ("CONFIGURING", "None", BidState.ALLOCATED),
        ("RUNNING", "None", BidState.ALLOCATED),
        ("COMPLETING", "None", BidState.ALLOCATED),
        ("SUSPENDED", "None", BidState.PAUSED),
        ("TIMEOUT", "TimeLimit", BidState.TERMINATED),
        ("SOMETHING_NEW", "None", BidState.ALLOCATED),
    ],
)
def test_states_are_read(state: str, reason: str, expected: BidState):
    """Each of Slurm's states is one of a bid's; one that we never heard of holds nodes, so that it is withdrawn."""
    assert expected is state_of(row(state, reason))


def test_the_reason_for_waiting_is_slurms():
    """What a bid waits for is said in Slurm's word, after what became of the nodes that it had."""
    assert "waiting: Resources" == waiting_words(row("PENDING", "Resources"))
    assert "waiting: AssocGrpGRES" == waiting_words(row("PENDING", "(AssocGrpGRES)"))
    assert "waiting" == waiting_words(row("PENDING"))
    assert "held: JobHeldUser" == waiting_words(row("PENDING", "JobHeldUser"))
    failed = waiting_words(row("PENDING", "BeginTime"), cut="NODE FAILURE")
    assert "a node failed; waiting: BeginTime" == failed
    requeued = waiting_words(row("PENDING", "BeginTime"), cut="JOB REQUEUE")
    assert "it was put back into the queue; waiting: BeginTime" == requeued
    assert "waiting: QOSMaxGRESPerUser" == waiting_words(row("PENDING", "QOSMaxGRESPerUser"))
    assert "it was preempted; waiting" == waiting_words(row("PENDING"), cut="PREEMPTION")


def test_what_slurm_forgot_is_told_by_its_last_words(tmp_path: Path):
    """Where squeue forgot it and nobody keeps accounts, a time limit is known by what slurmstepd wrote last."""
    (tmp_path / "slurm.out").write_text(
        "slurmstepd-n1: error: *** JOB 4 ON n1 CANCELLED AT 2026-11-28T13:33:38 DUE TO TIME LIMIT ***\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        told = desk.remembered("4", desk.why_it_ended(str(tmp_path)))
        unknown = desk.remembered("4", "")

    assert ("TIMEOUT", "REVOKED") == (told["state"], unknown["state"])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("TIMEOUT|01:00:00", {"state": "TIMEOUT", "limit": "01:00:00"}),
        ("NODE_FAIL|UNLIMITED", {"state": "NODE_FAIL", "limit": "UNLIMITED"}),
        ("CANCELLED by 1000|1-00:00:00", {"state": "CANCELLED", "limit": "1-00:00:00"}),
        ("OUT_OF_MEMORY|10:00", {"state": "OUT_OF_MEMORY", "limit": "10:00"}),
    ],
)
def test_accounting_tells_what_slurm_forgot(tmp_path: Path, said: str, expected: dict[str, str]):
    """Where accounts are kept, sacct's word counts, without who cancelled it."""
    sacct = tmp_path / "sacct"
    sacct.write_text(f"#!/bin/sh\necho '{said}'\n")
    sacct.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

        assert expected == desk.remembered("4", "")


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (143, ["flow-begins", CUT], RunPhase.INTERRUPTED),
        (137, ["flow-begins", CUT], RunPhase.INTERRUPTED),
        (0, ["flow-begins", CUT], RunPhase.EXITED),
        (143, ["flow-begins", CUT, "flow-begins"], RunPhase.EXITED),
        (143, ["flow-begins"], RunPhase.EXITED),
    ],
)
def test_a_command_that_slurm_ended_has_no_end_of_its_own(
    tmp_path: Path, code: int, said: list[str], expected: RunPhase
):
    """What TERM or KILL ended while Slurm ended all was interrupted; since a later start, it ended by itself."""
    (tmp_path / "slurm.out").write_text("".join(f"{line}\n" for line in said))
    (tmp_path / "bid.json").write_text('{"quantity": 1}')
    (tmp_path / "job").write_text("7")
    (tmp_path / "node-0").mkdir()
    state = {"phase": "exited", "exit_code": code, "attempt": 0}
    (tmp_path / "node-0" / "state.json").write_text(json.dumps(state))
    told = desk.read_bid(str(tmp_path))
    [report] = reports_of(Found(id="t-abc", told=told, row=row("RUNNING")))

    assert expected is report.phase


BEGUN, ENDED = b"\x1eflow-begun\n", b"\x1eflow-ended 7\n"
SRUN = b"srun: error: n1: task 0: Exited with exit code 7\n"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([BEGUN, b"err\n", ENDED, SRUN], b"err\n"),
        ([BEGUN, b"err\n", SRUN, ENDED], b"err\n"),
        ([BEGUN, b"err\n" + SRUN, ENDED, SRUN], b"err\n" + SRUN),
        ([BEGUN, b"err\n", SRUN, SRUN, ENDED], b"err\n" + SRUN),
        ([BEGUN, b"srun: of mine\n", ENDED, SRUN], b"srun: of mine\n"),
    ],
)
def test_srun_tells_a_code_once(written: list[bytes], expected: bytes):
    """srun's own line about a step's code, before the last mark or after it, is not the command's; others are."""
    at = Node(id="t/0", rank=0, state=NodeState.RUNNING)
    hearing = Hearing(at)
    events = [NodeOutput(at, Stream.ERR, each) for each in written]
    said = [each for event in [*events, NodeExit(at, 7)] for each in hearing.hear(event)]

    assert expected == b"".join(each.data for each in said if isinstance(each, NodeOutput))
    assert NodeExit(at, 7) == said[-1]


def test_ends_are_told_apart():
    """A time limit, a failed node and memory that ran out are different sentences."""
    assert "it reached Slurm's time limit, 1:00:00" == ending_words("TIMEOUT", limit="1:00:00")
    assert "a node failed" == ending_words("NODE_FAIL", why="NODE FAILURE")
    assert "ran out of memory" in ending_words("OUT_OF_MEMORY")
    assert "it was cancelled at the cluster" == ending_words("CANCELLED")


@pytest.mark.parametrize(
    ("kind", "says", "expected"),
    [
        ("absent", "there is no sbatch here", Misconfigured),
        ("silent", "squeue gave no answer within 30 s", Transient),
        ("folder", "/shared: Permission denied", Misconfigured),
        ("refused", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)", Transient),
        ("refused", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", Transient),
        ("refused", "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job"
         " violates accounting/QOS policy (job submit limit, user's size and/or time limits)", QuotaExceeded),
        ("refused", "sbatch: error: Batch job submission failed: Requested node configuration is not"
         " available", NoCapacity),
        ("refused", "sbatch: error: Batch job submission failed: Invalid account or account/partition combination"
         " specified", InvalidRequest),
        ("refused", "sbatch: error: Batch job submission failed: Access/permission denied", NotAuthorized),
        ("refused", "sinfo: fatal: Could not establish a configuration source", Misconfigured),
    ],
)  # fmt: skip
def test_complaints_are_kinds_of_errors(kind: str, says: str, expected: type[FlowError]):
    """What Slurm complains of is one of Flow's kinds, in Slurm's words without its programs' names."""
    error = translated({"refused": kind, "says": says}, where="login")

    assert type(error) is expected
    assert "sbatch: error" not in error.message


def test_each_partition_offers_its_nodes():
    """CPUs in each partition that is up, GPUs where nodes have them, and how many nodes have room."""
    found = offers(
        node("c1", "cpu"),
        node("c2", "cpu", state="DOWN*"),
        node(
            "g1",
            "gpu",
            gres="gpu:h100:8(S:0-1)",
            busy="gpu:h100:6(IDX:0-5)",
            used="48",
            state="MIXED",
        ),
        node("g2", "gpu", gres="gpu:h100:8(S:0-1)", busy="gpu:h100:0(IDX:N/A)"),
        node("o1", "old"),
    )
    whole = found["gpu", "h100"].quote(8, as_of=NOW)

    assert {("cpu", ""), ("gpu", ""), ("gpu", "h100")} == set(found)
    assert (1, 2) == (
        found["cpu", ""].quote(0, as_of=NOW).available,
        found["cpu", ""].quote(0, as_of=NOW).capacity,
    )
    assert (1, 2, "gpu:h100:8") == (whole.available, whole.capacity, whole.type_id)
    assert 2 == found["gpu", "h100"].quote(2, as_of=NOW).available
    assert parse_shape("8xh100").matches(whole.shape)


@pytest.mark.parametrize(
    ("gres", "features", "asked"),
    [
        ("gpu:a100-sxm4-80gb:4", "(null)", "4xa100-80gb"),
        ("gpu:4", "ib,v100,fast", "4xv100"),
        ("gpu:tesla:4", "(null)", "4xt4"),
    ],
)
def test_gpus_are_known_by_type_feature_or_setting(gres: str, features: str, asked: str):
    """A GPU's family comes from the cluster's own type, else its nodes' features; a setting outranks both."""
    line = node("g1", "gpu", gres=gres, features=features)
    [found] = [offer for (_, gpu), offer in offers(line, tesla="t4").items() if gpu]

    assert parse_shape(asked).matches(found.shape(4))


def request(shape: str, region: str = "gpu", quantity: int = 2) -> BidRequest:
    """A request for two nodes."""
    return BidRequest(
        name="t-abc", type_id="", shape=parse_shape(shape), region=region, quantity=quantity,
        limit=Price.ZERO, launch=Launch(script=""),
    )  # fmt: skip


def test_what_our_own_script_complains_of_is_told():
    """Where node scripts failed, the last thing that one of them said is the reason."""
    why = "flow: volume a can't be at /data: Permission denied"

    assert "its node scripts failed: volume a can't be at /data: Permission denied" == ending_words(
        "FAILED", why=why
    )


def test_gpus_come_with_their_part_of_the_node():
    """Half of a node's GPUs have half of its CPUs, and of its memory where the partition gives none."""
    offer = offers(node("g1", "gpu", gres="gpu:h100:8"))["gpu", "h100"]
    words = sbatch_words(request("4xh100"), offer, read_options({}, defaults={}), gpus=4)

    assert {
        "--gpus-per-node=h100:4",
        "--cpus-per-task=32",
        "--mem=256000M",
        "--nodes=2",
        "--partition=gpu",
    } <= set(words)


def test_limits_are_slurms_too():
    """A task's longest time is Slurm's with five minutes on top, never above the partition's; an option outranks it."""
    offer = offers(node("g1", "gpu", gres="gpu:h100:8"))["gpu", "h100"]

    def limit(most: timedelta | None, **options: str) -> list[str]:
        asked = read_options(options, defaults={})
        words = sbatch_words(request("1xh100"), offer, asked, gpus=1, most=most)
        return [word for word in words if word.startswith("--time")]

    assert ["--time=65"] == limit(timedelta(hours=1))
    assert ["--time=2880"] == limit(timedelta(days=9))
    assert [] == limit(None)
    assert ["--time=1-12"] == limit(timedelta(hours=1), time="1-12")
    assert 2880 == minutes_of("2-00:00:00")


def test_options_reach_sbatch():
    """Account, quality of service and whatever else one has for sbatch are told as they were written."""
    options = {
        "account": "lab",
        "cpus": "4",
        "memory": "16g",
        "exclusive": "yes",
        "sbatch": "--nice=10 '--mail-user=a b'",
    }
    offer = offers(node("c1", "cpu"))["cpu", ""]
    words = sbatch_words(
        request("cpu", "cpu"), offer, read_options(options, defaults={"qos": "low"}), gpus=0
    )

    assert [
        "--cpus-per-task=4",
        "--mem=16384M",
        "--account=lab",
        "--qos=low",
        "--exclusive",
        "--nice=10",
        "--mail-user=a b",
    ] == words[4:]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cpus": "2.5"}, "whole number"),
        ({"memory": "lots"}, "a size such as"),
        ({"time": "1h"}, "as sbatch does"),
        ({"exclusive": "perhaps"}, "yes or no"),
        ({"sbatch": "--job-name=x"}, "Flow says itself"),
        ({"sbatch": "--out=x"}, "Flow says itself"),
        ({"sbatch": "--nice 10"}, "--name=value"),
        ({"sbatch": "other.sh"}, "--name=value"),
        ({"sbatch": "'"}, "No closing quotation"),
    ],
)
def test_options_that_can_not_be_are_told(options: dict[str, str], says: str):
    """Each option that makes no sense is refused in a sentence."""
    with pytest.raises(InvalidRequest, match=says):
        read_options(options, defaults={})
