"""`flow sweep`: a command for every combination of parameters, and the table of what came of them."""

from __future__ import annotations

import click

from flow_cli.command import FlowCommand
from flow_cli.grouping import stay_with_group
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.sweeps import sweep_json, sweep_table
from flow_cli.task_options import SPELLED, describes_task, raw_task
from flow_core.domain.group import GroupView
from flow_core.domain.names import readable_name
from flow_core.domain.sweep import command_for, is_parameter, is_point, parse_points, task_name
from flow_core.domain.task_form import task_from_mapping
from flow_core.errors import InvalidRequest, NotFound
from flow_core.services.session import Session

_SOME_FAILED = 1


@click.command(cls=FlowCommand)
@click.argument("words", metavar="COMMAND… NAME=VALUES…", nargs=-1, required=True)
@describes_task
@click.option("--code", metavar="PATH", help="Copy this folder to every node.  [default: .]")
@click.option(
    "--concurrency", type=click.IntRange(1), default=1, show_default=True, help="Tasks at once."
)
@click.option("-d", "--detach", is_flag=True, help="Return once the tasks are submitted.")
@pass_invocation
def sweep(
    invocation: Invocation, /, words: tuple[str, ...], code: str | None, concurrency: int, detach: bool,
    **given: object,
) -> int:  # fmt: skip
    """Run COMMAND once for every combination of parameters.

    Values are listed (lr=0.1,0.2) or a range with both ends (seed=0..9). {lr} in COMMAND is replaced; without any,
    --lr 0.1 is appended. Each combination is a task named SWEEP/lr=0.1,seed=3. With the name of a sweep alone, its
    table is shown. Ctrl-C leaves the sweep running; the exit code is 1 when any task failed.

    \b
      flow sweep train.py lr=0.1,0.2 seed=0..9 -i a100 --concurrency 8
      flow sweep SWEEP --json
      flow logs SWEEP/lr=0.1,seed=3
    """
    invocation.spelled.update(SPELLED)
    session = invocation.session()
    parameters = [word for word in words if is_parameter(word)]
    if not parameters:
        return _shown(invocation, session, words)
    rest = [word for word in words if not is_parameter(word)]
    if not rest:
        raise InvalidRequest({"command": "is missing; write it before the parameters"})
    points = parse_points(parameters)
    name = str(
        given.pop("name", None)
        or readable_name(session.ports.chance, taken=session.ports.journal.names())
    )
    names = [task_name(name, point) for point in points]
    specs = []
    for point, each in zip(points, names, strict=True):
        base = {"command": command_for(rest, point), "code": code or ".", "name": each}
        specs.append(task_from_mapping(raw_task(given, base)))
    token = session.groups.submit(specs, name=name, at_once=concurrency)[0].group_token
    invocation.talk.say(
        f"{name}: {len(names)} tasks, {min(concurrency, len(names))} at once", "green"
    )
    if not detach:
        try:
            stay_with_group(invocation, session, token)
        except KeyboardInterrupt:
            invocation.talk.say(
                f"\n{name} goes on without this terminal; `flow sweep {name}` shows it"
            )
            return 130
    return _table(invocation, session, session.groups.view(token))


def _shown(invocation: Invocation, session: Session, words: tuple[str, ...]) -> int:
    try:
        view = session.groups.view(words[0])
    except NotFound:
        view = None
    if len(words) > 1 or view is None or not is_point(view.views[0].record.name):
        raise NotFound(
            f"no sweep is named {words[0]!r}",
            hint="to begin one, give parameters: flow sweep train.py lr=0.1,0.2",
        )
    return _table(invocation, session, view)


def _table(invocation: Invocation, session: Session, group: GroupView) -> int:
    name, views = group.name, group.views
    costs = session.costs.of([view.record for view in views])
    spent = {token: cost.spent for token, cost in costs.items()}
    if invocation.json:
        invocation.out.document("sweep", sweep_json(name, views, spent))
    else:
        invocation.out.show(sweep_table(views, spent))
    failed = any(
        view.record.exit_code or view.state.value in ("failed", "cancelled") for view in views
    )
    return _SOME_FAILED if failed else 0
