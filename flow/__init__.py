"""Flow: get GPUs at the best price and run work on them.

    import flow

    task = flow.run("python train.py", instance_type="8xh100")
    for line in task.logs(follow=True):
        print(line)
    print(task.result(), task.cost)

Names load when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_adapters.python._app import App
    from flow_adapters.python._function import Function
    from flow_adapters.python._function_call import FunctionCall, gather
    from flow_adapters.python._preempt import on_preempt, preempt_notice
    from flow_adapters.python._run import run, task, tasks
    from flow_adapters.python._sessions import connect, use
    from flow_adapters.python._task import Cancelled, Logs, Task, TimedOut
    from flow_core.domain.money import Price, Spend
    from flow_core.domain.shape import InstanceShape
    from flow_core.domain.status import TaskState
    from flow_core.domain.task import TaskSpec
    from flow_core.domain.task_parts import Dependency, Mount, Recovery, RunOn, Secret
    from flow_core.errors import (
        BillingRefused,
        Conflict,
        FlowError,
        InUse,
        InvalidRequest,
        Misconfigured,
        NameTaken,
        NoCapacity,
        NodeUnreachable,
        NoRoom,
        NotAuthorized,
        NotFound,
        PriceTooLow,
        QuotaExceeded,
        TaskCancelled,
        TaskFailed,
        Transient,
        Unsupported,
        WaitTimedOut,
    )
    from flow_core.services.session import Session

__version__ = "0.1.0"

_HOMES = {
    "flow_adapters.python._app": ("App",),
    "flow_adapters.python._function": ("Function",),
    "flow_adapters.python._function_call": ("FunctionCall", "gather"),
    "flow_adapters.python._preempt": ("on_preempt", "preempt_notice"),
    "flow_adapters.python._run": ("run", "task", "tasks"),
    "flow_adapters.python._sessions": ("connect", "use"),
    "flow_adapters.python._task": ("Cancelled", "Logs", "Task", "TimedOut"),
    "flow_core.domain.money": ("Price", "Spend"),
    "flow_core.domain.shape": ("InstanceShape",),
    "flow_core.domain.status": ("TaskState",),
    "flow_core.domain.task": ("TaskSpec",),
    "flow_core.domain.task_parts": ("Dependency", "Mount", "Recovery", "RunOn", "Secret"),
    "flow_core.errors": (
        "BillingRefused",
        "Conflict",
        "FlowError",
        "InUse",
        "InvalidRequest",
        "Misconfigured",
        "NameTaken",
        "NoCapacity",
        "NodeUnreachable",
        "NoRoom",
        "NotAuthorized",
        "NotFound",
        "PriceTooLow",
        "QuotaExceeded",
        "TaskCancelled",
        "TaskFailed",
        "Transient",
        "Unsupported",
        "WaitTimedOut",
    ),
    "flow_core.services.session": ("Session",),
}

__all__ = [
    "App",
    "BillingRefused",
    "Cancelled",
    "Conflict",
    "Dependency",
    "FlowError",
    "Function",
    "FunctionCall",
    "InUse",
    "InstanceShape",
    "InvalidRequest",
    "Logs",
    "Misconfigured",
    "Mount",
    "NameTaken",
    "NoCapacity",
    "NoRoom",
    "NodeUnreachable",
    "NotAuthorized",
    "NotFound",
    "Price",
    "PriceTooLow",
    "QuotaExceeded",
    "Recovery",
    "RunOn",
    "Secret",
    "Session",
    "Spend",
    "Task",
    "TaskCancelled",
    "TaskFailed",
    "TaskSpec",
    "TaskState",
    "TimedOut",
    "Transient",
    "Unsupported",
    "WaitTimedOut",
    "__version__",
    "connect",
    "gather",
    "on_preempt",
    "preempt_notice",
    "run",
    "task",
    "tasks",
    "use",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            found: object = getattr(import_module(home), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module 'flow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
