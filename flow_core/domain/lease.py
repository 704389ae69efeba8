"""By whom a task's limits of money and time are kept, in words."""

from __future__ import annotations

from flow_core.domain.money import Price
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Guard


def lease_words(spec: TaskSpec, *, limit: Price) -> str:
    """Return when the limits of a task hold, and what its nodes cost at most while they don't; '' without limits."""
    limits = [f"ceiling of {spec.max_spend}"] if spec.max_spend is not None else []
    limits += ["limit of time"] if spec.max_run_time is not None else []
    if not limits:
        return ""
    what = f"the {' and the '.join(limits)} {'holds' if len(limits) == 1 else 'hold'}"
    if spec.guard is Guard.NODE:
        return f"{what} also while this machine sleeps: the first node guards the lease"
    if spec.reservation is not None:
        return f"{what} while this machine is awake"
    hourly = limit * spec.num_instances
    return f"{what} while this machine is awake; while it sleeps the nodes cost up to {hourly}/hr"
