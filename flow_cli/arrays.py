"""A batch script with an array, submitted: one group with a task for each index."""

from __future__ import annotations

from flow_cli.grouping import exit_code_of, stay_with_group
from flow_cli.invocation import Invocation
from flow_cli.show.groups import group_json, group_table
from flow_cli.show.tasks import task_json
from flow_cli.sizing import with_size_agreed
from flow_core.domain.placement import Plan
from flow_core.domain.slurm.array import array_specs
from flow_core.domain.slurm.converting import Conversion
from flow_core.services.session import Session


def submit_array(
    invocation: Invocation, session: Session, array: Conversion, plan: Plan, *, yes: bool, detach: bool
) -> int:  # fmt: skip
    """Submit a task for each index, and stay with them unless told not to; return the exit code."""
    name = plan.spec.name or session.groups.free_name()
    specs = array_specs(plan.spec, array, name=name)
    at_once = (array.array.throttle or 0) if array.array is not None else 0
    records = with_size_agreed(
        invocation,
        session,
        lambda: session.groups.submit(specs, name=name, at_once=at_once, plan=plan),
        yes=yes,
    )
    token = records[0].group_token
    so_many = f", {at_once:,} at once" if at_once else ""
    invocation.talk.say(f"✓ {name}: {len(records):,} tasks{so_many}", "green")
    ways = f"  look: flow status {name}\n  logs: flow logs {records[0].name}\n  end:  flow cancel {name}"
    if detach:
        invocation.talk.say(ways)
        if not invocation.json:
            invocation.out.line(name)
            return 0
    else:
        try:
            stay_with_group(invocation, session, token)
        except KeyboardInterrupt:
            invocation.talk.say(f"\n{name} goes on without this terminal.\n{ways}")
            return 130
    view = session.groups.view(token)
    costs = session.costs.of([each.record for each in view.views])
    if invocation.json:
        tasks = [task_json(each, cost=costs[each.record.token]) for each in view.views]
        groups = [group_json(view, costs)]
        invocation.out.document("task-list", {"tasks": tasks, "groups": groups})
    else:
        invocation.out.show(group_table(view, costs, simulated=session.provider.limits.simulated))
    return 0 if detach else exit_code_of(view)
