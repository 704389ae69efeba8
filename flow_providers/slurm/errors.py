"""What goes wrong at the desk, as Flow's own kinds of errors; Slurm's words stay in the sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flow_core.errors import (
    Conflict,
    FlowError,
    InUse,
    InvalidRequest,
    Misconfigured,
    NameTaken,
    NoCapacity,
    NotAuthorized,
    QuotaExceeded,
    Transient,
)

#: The end of every complaint of sbatch's that says nothing.
_CHAFF = re.compile(r"^(?:sbatch|scontrol|squeue|scancel|srun|sinfo|sacct): (?:error: |fatal: )?")
_EMPTY = re.compile(r"Batch job submission failed: ?")
_NO_ANSWER = (
    "unable to contact slurm controller", "socket timed out", "zero bytes were transmitted", "connection refused",
    "unable to establish", "slurmctld is not responding", "temporarily unable to accept", "try again later",
    "slurm backup controller", "communication connection failure", "unexpected message received",
    "protocol authentication error", "munge", "resource temporarily unavailable",
)  # fmt: skip
_QUOTA = ("violates accounting/qos policy", "maxsubmit", "job limit", "quota", "limit exceeded")
_ACCOUNTS = ("invalid account", "invalid qos")
_LOGIN = ("access/permission denied", "user not found", "user's group not permitted")
_NEVER = (
    "requested node configuration is not available", "more processors requested than permitted",
    "node count specification invalid", "requested time limit is invalid", "nodes required for job are down",
    "memory specification can not be satisfied", "required partition not available", "invalid partition",
)  # fmt: skip


def translated(answer: Mapping[str, Any], *, where: str, field: str = "launch") -> FlowError:
    """Return the error that a desk's refusal is; `field` is what a request's fault is put down to."""
    kind, says = str(answer["refused"]), words_of(str(answer["says"]))
    if kind == "absent":
        return Misconfigured(
            f"{says.replace(' here', '')} on {where}",
            hint="set slurm.login to a machine that has Slurm's commands, such as the cluster's login node",
        )
    if kind == "folder":
        return Misconfigured(
            f"the shared folder can't be used on {where}: {says}",
            hint="set slurm.folder to a folder that you may write to there and that all nodes see",
        )
    if kind == "missing":
        return Conflict(says)
    if kind == "taken":
        return NameTaken(says)
    if kind == "used":
        return InUse(says)
    if kind == "mounts":
        return InvalidRequest(
            {"mounts": says},
            hint="mount it where you may make a folder, such as in your home or scratch, or name an image",
        )
    lower = says.lower()
    if kind == "silent" or any(each in lower for each in _NO_ANSWER):
        return Transient(
            f"Slurm on {where} gave no answer: {says}",
            hint="`scontrol ping` there says whether its controller is up",
        )
    if "configuration source" in lower or "fetch_config" in lower:
        return Misconfigured(
            f"Slurm on {where} has no configuration: {says}",
            hint="log in to a machine of the cluster, or set SLURM_CONF where Flow runs",
        )
    if any(each in lower for each in _QUOTA):
        return QuotaExceeded(f"Slurm refuses it: {says}", hint="ask the cluster's administrators")
    if any(each in lower for each in _ACCOUNTS):
        return InvalidRequest(
            {"options": f"Slurm refuses it: {says}"},
            hint=f"`sacctmgr show assoc user=$USER format=account,partition,qos` on {where} lists what you may name",
        )
    if any(each in lower for each in _LOGIN):
        return NotAuthorized(f"Slurm refuses you: {says}", hint="ask the cluster's administrators")
    if any(each in lower for each in _NEVER):
        return NoCapacity(f"Slurm refuses it: {says}", hint="`flow price` lists what there is")
    return InvalidRequest({field: f"Slurm refuses it: {says}"})


def words_of(text: str) -> str:
    """Return what one of Slurm's commands complains of, without its name before each line."""
    lines = [_EMPTY.sub("", _CHAFF.sub("", line)).strip() for line in text.strip().splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))
