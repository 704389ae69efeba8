"""`flow.run`: submit a task from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from flow_adapters.python._sessions import current
from flow_adapters.python._task import Task
from flow_core.domain.policy import BidPolicy
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import task_from_mapping
from flow_core.domain.task_parts import Recovery, Secret
from flow_core.services.session import Session

Money = str | int | float | Decimal
Duration = str | int | float | timedelta


def run(
    command: str | Sequence[str] | TaskSpec,
    *,
    name: str | None = None,
    instance_type: str | None = None,
    gpu: str | None = None,
    num_instances: int = 1,
    max_price_per_hour: Money | None = None,
    max_price_per_gpu_hour: Money | None = None,
    bid_policy: str | BidPolicy | None = None,
    region: str | None = None,
    image: str | None = None,
    env: Mapping[str, str] | None = None,
    mounts: Mapping[str, str] | None = None,
    working_dir: str | None = None,
    code: str | None = ".",
    run_on: str | None = None,
    keep: bool = False,
    max_run_time: Duration | None = None,
    max_spend: Money | None = None,
    idle_timeout: Duration | None = None,
    after: Sequence[str | Task] = (),
    secrets: Sequence[str | Secret] = (),
    environment: str | None = None,
    retries: int = 0,
    recovery: str | Recovery | None = None,
    checkpoint: str | None = None,
    notice_signal: str | None = None,
    guard: str | None = None,
    reservation: str | None = None,
    options: Mapping[str, str] | None = None,
    provider: str | None = None,
    session: Session | None = None,
) -> Task:
    """Submit a task and return its handle as soon as its bid is placed; nothing is waited for.

    `command` is a line for the shell, a list of arguments, or a whole `TaskSpec` (then the other task options must
    be left out). `instance_type`, or `gpu`, is such as "8xh100"; without it the cheapest GPU on offer is taken.
    Prices are in dollars per instance-hour (`max_price_per_gpu_hour` is the other spelling), durations in seconds
    or written as "1h30m". `bid_policy` chooses the limit up to that maximum: "2x", "p90/24h", "budget:40@09:00", or an
    object of yours that implements `BidPolicy`. The folder `code` is copied to the workspace of every node, minus what
    its ignore files name; None copies nothing. `secrets` names variables whose values this machine keeps. `after` holds
    tasks, or texts such as "afterok:prepare", that must end first.

    Raises:
        InvalidRequest: with one sentence for each option that is wrong; nothing was placed.
        NoCapacity, PriceTooLow, QuotaExceeded, NameTaken, NotAuthorized, Transient, Misconfigured: see their texts.
    """
    found = current(session, provider)
    if isinstance(command, TaskSpec):
        spec = command
    else:
        raw: dict[str, Any] = {
            "command": command if isinstance(command, str) else list(command),
            "name": name,
            "instance_type": instance_type,
            "gpu": gpu,
            "num_instances": num_instances,
            "max_price_per_hour": max_price_per_hour,
            "max_price_per_gpu_hour": max_price_per_gpu_hour,
            "bid_policy": bid_policy,
            "region": region,
            "image": image,
            "env": env,
            "mounts": mounts,
            "working_dir": working_dir,
            "code": code,
            "run_on": run_on,
            "keep": keep,
            "max_run_time": max_run_time,
            "max_spend": max_spend,
            "idle_timeout": idle_timeout,
            "secrets": list(secrets),
            "environment": environment,
            "retries": retries,
            "recovery": recovery,
            "checkpoint": checkpoint,
            "notice_signal": notice_signal,
            "guard": guard,
            "reservation": reservation,
            "options": options,
            "after": [each.name if isinstance(each, Task) else each for each in after],
        }
        spec = task_from_mapping(
            {key: value for key, value in raw.items() if value is not None and value != []}
        )
    record = found.tasks.submit(spec)
    return Task(found, record.token)


def task(name: str, *, provider: str | None = None, session: Session | None = None) -> Task:
    """Return the handle of a task that was submitted earlier, here or from the command line, by its name.

    Raises:
        NotFound: with the nearest names.
    """
    found = current(session, provider)
    return Task(found, found.tasks.record(name).token)


def tasks(
    *, ended: int = 10, provider: str | None = None, session: Session | None = None
) -> list[Task]:
    """Return the handles of all live tasks and of the `ended` that ended last, newest first."""
    found = current(session, provider)
    return [Task(found, view.record.token) for view in found.tasks.views(ended=ended)]
