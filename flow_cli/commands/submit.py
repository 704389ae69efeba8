"""`flow submit`: plan, bid, launch, stream the log, pass the exit code on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import evolve

from flow_cli.command import FlowCommand, yes_option
from flow_cli.following import bidding_words, stay_with
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.log_lines import Sink, sink_for
from flow_cli.show.plans import plan_json, plan_panel, why_table
from flow_cli.show.tasks import end_line, task_json
from flow_cli.sizing import with_size_agreed
from flow_cli.task_options import SPELLED, after_option, confirm_choice, describes_task, raw_task
from flow_core.domain.placement import Plan
from flow_core.domain.record import Outcome, Step, TaskRecord
from flow_core.domain.status import TaskView
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import task_from_mapping
from flow_core.domain.task_parts import Condition, Dependency
from flow_core.errors import InvalidRequest, TaskCancelled, TaskFailed
from flow_core.services.session import Session

if TYPE_CHECKING:
    from flow_core.domain.slurm.converting import Conversion

_FILES = (".yaml", ".yml")
#: With any of these the exit code is Flow's own: nothing is waited for.
_UNATTACHED = frozenset({"-d", "--detach", "--dry-run"})


def _passes_on(words: list[str]) -> bool:
    own = words[: words.index("--")] if "--" in words else words
    return not _UNATTACHED.intersection(own)


@click.command(cls=FlowCommand, passes_on=_passes_on, takes_words=True)
@click.argument("words", metavar="COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
@describes_task
@click.option(
    "--code",
    metavar="PATH",
    help="Copy this folder to every node, minus what its ignore files name.  [default: the current one]",
)
@click.option("--no-code", is_flag=True, help="Copy nothing.")
@click.option(
    "--run-on",
    metavar="WHERE",
    help="every-node, or first-node for commands that start their own peers.",
)
@click.option(
    "--keep", is_flag=True, help="Keep the nodes, and go on paying, when the command has ended."
)
@click.option(
    "--reservation",
    metavar="NAME",
    help="Run on all nodes of this reservation, which is paid already, instead of bidding.",
)
@after_option
@click.option(
    "--sbatch",
    metavar="OPTIONS",
    help="With a batch script: options of sbatch's that outrank the script's, in quotes.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="With a batch script: refuse when anything in it is ignored or decided.",
)
@click.option(
    "-d", "--detach", is_flag=True, help="Return once the bid is placed; print the task's name."
)
@click.option(
    "--arg",
    "arguments",
    multiple=True,
    metavar="NAME=VALUE",
    help="With FILE.py::FUNCTION: an argument of the call; JSON where it is, else text.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan, and why; place nothing.")
@click.option("--why", is_flag=True, help="Show what was considered, and why it was not taken.")
@yes_option("Take a choice that must be confirmed")
@pass_invocation
def submit(
    invocation: Invocation, /, words: tuple[str, ...], detach: bool, dry_run: bool, why: bool, yes: bool,
    code: str | None, no_code: bool, sbatch: str | None, strict: bool, arguments: tuple[str, ...], **given: object,
) -> int:  # fmt: skip
    """Run COMMAND on the cheapest GPUs that fit.

    COMMAND is a line for the shell in quotes, or words that no shell reads; options of its own go in quotes with it
    or after `--`. A file ending in .yaml describes a whole task, which options here change. A batch script for Slurm
    runs as it is, by its #SBATCH directives; words after it are its arguments. FILE.py::FUNCTION calls a function of
    a flow.App with what `--arg` says, and prints what it returns.

    The current folder is copied to the nodes. The log is streamed, and the exit code is the command's own; Flow's own
    failures are 125. Ctrl-C leaves the task running. When the command ends, the nodes go back and the cost ends.

    \b
      flow submit "python train.py" -i 8xh100
      flow submit "torchrun train.py" -i 8xa100 -N 4 --env NCCL_DEBUG=INFO --detach
      flow submit task.yaml --max-price-per-hour 12.29 --dry-run
    """
    invocation.spelled.update(SPELLED)
    invocation.passes_on = not (detach or dry_run)
    if ".py::" in words[0]:
        from flow_cli.calling import call_function

        return call_function(invocation, words, arguments, given)
    if arguments:
        raise InvalidRequest({"--arg": f"is for FILE.py::FUNCTION; {words[0]!r} is a command"})
    told = {**given, "code": None if no_code else code}
    script = _batch_script(invocation, words, told, sbatch=sbatch, strict=strict)
    base = dict(script.task or {}) if script is not None else None
    spec = _spec(words, told, copies=not no_code, base=base)
    session = invocation.session()
    if script is not None and script.waits.is_singleton:
        spec = after_namesakes(session, spec)
    plan = session.tasks.plan(spec)
    if dry_run:
        return _show_plan(invocation, session, plan)
    if why:
        invocation.talk.show(why_table(plan, session.provider.clock.now()))
    confirm_choice(invocation, session, spec, plan, yes=yes)
    for note in plan.notes:
        invocation.talk.say(f"note: {note}", "dim")
    if script is not None and script.array is not None:
        from flow_cli.arrays import submit_array

        return submit_array(invocation, session, script, plan, yes=yes, detach=detach)
    try:
        record, bidding = with_size_agreed(
            invocation, session, lambda: _submitted(invocation, session, spec, plan), yes=yes
        )
    except KeyboardInterrupt:
        invocation.talk.say(
            "interrupted while the bid was on its way; `flow status` shows whether it was placed"
        )
        return 130
    if detach:
        return _leave(invocation, session, record)
    return _attend(invocation, session, record, bidding)


def _batch_script(
    invocation: Invocation, words: tuple[str, ...], given: dict[str, object], *, sbatch: str | None, strict: bool
) -> Conversion | None:  # fmt: skip
    """Return what Flow makes of a batch script; None where the words name none."""
    from flow_cli.commands.slurm import is_batch_script, read_script

    if is_batch_script(words):
        return read_script(invocation, words, given, sbatch=sbatch, strict=strict)
    if sbatch or strict:
        raise InvalidRequest(
            {"--sbatch" if sbatch else "--strict": f"is for batch scripts; {words[0]!r} is none"}
        )
    return None


def _spec(
    words: tuple[str, ...],
    given: dict[str, object],
    *,
    copies: bool,
    base: dict[str, object] | None,
) -> TaskSpec:
    if base is not None:
        pass
    elif len(words) == 1 and words[0].endswith(_FILES):
        from flow_adapters.task_files import read_task

        base = dict(read_task(Path(words[0])))
    else:
        base = {"command": words[0] if len(words) == 1 else list(words)}
    if copies:
        base.setdefault("code", ".")
    else:
        base.pop("code", None)
    return task_from_mapping(raw_task(given, base))


def after_namesakes(session: Session, spec: TaskSpec) -> TaskSpec:
    """Return `spec` as one that waits for live tasks of its name, as singleton does, under the next free name."""
    from flow_core.domain.slurm.waiting import namesakes

    if spec.name is None:
        return spec
    live = session.ports.journal.live(provider=session.provider.name)
    others = namesakes(spec.name, [each.group or each.name for each in live])
    number = 1 + max((int(each[len(spec.name) + 1 :] or 1) for each in others), default=0)
    return evolve(
        spec,
        name=spec.name if number == 1 else f"{spec.name}-{number}",
        after=(*spec.after, *(Dependency(each, Condition.ANY) for each in others)),
    )


def _show_plan(invocation: Invocation, session: Session, plan: Plan) -> int:
    if invocation.json:
        invocation.out.document("plan", plan_json(plan))
        return 0
    limits, now = session.provider.limits, session.provider.clock.now()
    invocation.out.show(
        plan_panel(plan, now=now, workspace=limits.workspace, simulated=limits.simulated)
    )
    invocation.out.show(why_table(plan, now))
    return 0


def _submitted(
    invocation: Invocation, session: Session, spec: TaskSpec, plan: Plan
) -> tuple[TaskRecord, str]:
    """Return the record, and what to go on saying while it has no nodes."""
    if plan.spec.after:
        first = f"Holding until {', '.join(str(each) for each in plan.spec.after)}; then it bids"
        later = ""
    else:
        first, later = bidding_words(invocation, plan)
    with invocation.talk.waiting() as wait:
        wait.tell(first, at_once=True)
        return session.tasks.submit(spec, plan=plan), later


def _leave(invocation: Invocation, session: Session, record: TaskRecord) -> int:
    if invocation.json:
        invocation.out.document("task", {"task": task_json(TaskView(record=record))})
        return 0
    what = "waits for its turn" if record.step is Step.HELD else "is placed"
    invocation.talk.say(f"✓ {record.name} {what}", "green")
    invocation.talk.say(_ways_back(record))
    invocation.out.line(record.name)
    return 0


def _attend(invocation: Invocation, session: Session, record: TaskRecord, bidding: str) -> int:
    # With --json the one document comes at the end, so the task's log goes where talk goes.
    sink = (
        _log_to_talk(invocation, record)
        if invocation.json
        else sink_for(
            invocation.out,
            invocation.talk,
            json=False,
            nodes=record.spec.num_instances,
            split=True,
            colour=not invocation.no_color,
        )
    )
    try:
        view = stay_with(invocation, session, record, bidding=bidding, sink=sink)
    except KeyboardInterrupt:
        invocation.talk.say(f"\n{record.name} goes on without this terminal.\n{_ways_back(record)}")
        if invocation.json:
            invocation.out.document("task", {"task": task_json(session.tasks.view(record.token))})
        return 130
    cost = session.costs.of([view.record])[view.record.token]
    invocation.talk.say(
        end_line(view, cost, simulated=session.provider.limits.simulated), _style(view)
    )
    document = {"task": task_json(view, cost=cost)}
    invocation.subject = dict(document)
    code = _exit_code(view)
    if invocation.json:
        invocation.out.document("task", document)
    return code


def _exit_code(view: TaskView) -> int:
    """Return the command's own exit code.

    Raises:
        TaskCancelled: it was cancelled.
        TaskFailed: it ended for another reason than its command.
    """
    record = view.record
    if record.exit_code is not None and record.outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
        return record.exit_code
    if record.outcome is Outcome.CANCELLED:
        raise TaskCancelled(f"{record.name!r} was cancelled")
    raise TaskFailed(
        f"{record.name!r} ended without its command's end: {record.reason or 'no reason is known'}",
        exit_code=1,
        hint=f"`flow status {record.name}` shows its history",
    )


def _ways_back(record: TaskRecord) -> str:
    return f"  reattach: flow logs {record.name} -f\n  end it:   flow cancel {record.name}"


def _log_to_talk(invocation: Invocation, record: TaskRecord) -> Sink:
    from flow_cli.streams import Out

    talk = invocation.talk
    return sink_for(
        Out("stderr", terminal=talk.is_terminal, colour=False, width=None),
        talk,
        json=False,
        nodes=record.spec.num_instances,
    )


def _style(view: TaskView) -> str:
    return "green" if view.record.outcome is Outcome.SUCCEEDED else "yellow"
