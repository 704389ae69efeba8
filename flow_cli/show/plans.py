"""A plan before its bid: the lines of `flow submit`, the panel of `flow instance create`, `--dry-run` and `--why`."""

from __future__ import annotations

from datetime import datetime

from flow_cli.show.layout import Cell, Column, Panel, Table
from flow_cli.show.money import gpu_rate, price_words
from flow_cli.show.policies import policy_json, policy_words
from flow_cli.show.prices import price_origin
from flow_cli.show.text import age, dollars, stamp
from flow_core.domain.bid import Quote
from flow_core.domain.duration import format_duration
from flow_core.domain.money import Price
from flow_core.domain.placement import Plan
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import task_to_mapping
from flow_core.domain.task_parts import Recover, RunOn


def bidding_line(plan: Plan) -> str:
    """Return what is said while a bid is on its way."""
    shape, count = plan.quote.shape, plan.spec.num_instances
    kind = "GPU" if shape.gpus else "CPU"
    what = f"best-price {kind} node" if count == 1 else f"{count} best-price {kind} nodes"
    inside = f" ({shape.short_label})" if shape.gpus else ""
    return f"Bidding for {what}{inside} with {gpu_rate(plan.limit, shape)} limit price…"


def reserved_line(plan: Plan) -> str:
    """Return what is said while a task is brought to the nodes of a reservation."""
    shape, count = plan.quote.shape, plan.spec.num_instances
    return (
        f"Starting on {plan.quote.source} ({count} × {shape.short_label}), which is paid already…"
    )


def launch_line(shape: InstanceShape, price: Price, *, count: int = 1) -> str:
    """Return what is said when the nodes were granted, at the market's price."""
    several = f" on {count} nodes" if count > 1 else ""
    return f"Launching on {shape.gpu_label} for {gpu_rate(price, shape)}{several}"


def choice_line(plan: Plan) -> str:
    """Return which shape was chosen for a task that named none."""
    return (
        f"No instance type was named; the cheapest that fits is {plan.quote.shape.label} in {plan.quote.region},"
        f" at most {price_words(plan.limit, plan.quote.shape, plan.spec.num_instances, simulated=False)}"
    )


#: How many lines of a command a panel shows.
_LINES = 4


def instance_panel(plan: Plan, *, workspace: str, simulated: bool) -> Panel:
    """Return what is about to be held, under the title that `flow instance create` shows."""
    spec = plan.spec
    return Panel(
        title="Instance Configuration",
        rows=(
            ("Name", Cell(spec.name or "(made up)", "bold")),
            ("Command", Cell(spec.command_line)),
            ("Image", Cell(spec.image or "none")),
            ("Working Dir", Cell(spec.working_dir or workspace)),
            ("Instance Type", Cell(f"{plan.quote.shape}  {plan.quote.shape.label}")),
            ("Num Instances", Cell(str(spec.num_instances))),
            (
                "Max price",
                Cell(
                    price_words(
                        plan.limit, plan.quote.shape, spec.num_instances, simulated=simulated
                    )
                ),
            ),
        ),
        notes=plan.notes,
    )


def plan_panel(plan: Plan, *, now: datetime, workspace: str, simulated: bool) -> Panel:
    """Return a plan that will not be carried out: what, where, for how much, and why."""
    spec, quote = plan.spec, plan.quote
    rows = [
        ("Name", spec.name or "(a readable one, made up at submit)"),
        ("Command", short_command(spec)),
        ("Runs on", "every node" if spec.run_on is RunOn.EVERY_NODE else "the first node"),
        ("Image", spec.image),
        ("Code", f"{spec.code} -> {workspace}" if spec.code else "nothing is copied"),
        ("Working Dir", spec.working_dir),
        ("Env", "\n".join(shown_variable(name, value) for name, value in spec.env.items())),
        (
            "Mounts",
            "\n".join(
                f"{mount.path} <- {mount.source}{' (read-only)' if mount.read_only else ''}"
                for mount in spec.mounts
            ),
        ),
        ("After", ", ".join(str(each) for each in spec.after)),
        ("Instances", f"{spec.num_instances} × {quote.shape.label}"),
        ("Where", f"{quote.region} ({quote.type_id})"),
        (
            "Price now",
            f"{quote.price}/hr, {gpu_rate(quote.price, quote.shape)}, {_source(quote)}, {age(quote.as_of, now)} old",
        ),
        (
            "Max price",
            price_words(plan.limit, quote.shape, spec.num_instances, simulated=simulated),
        ),
        ("Why that limit", plan.limit_why),
        ("Policy", policy_words(plan.policy, now)),
        ("Outlook", _outlook(plan)),
        ("Secrets", ", ".join(str(secret) for secret in spec.secrets)),
        ("Environment", spec.environment),
        ("Ends", _ends(spec)),
        ("If it fails", _tries(spec)),
        ("If outbid", _recovery(spec)),
        ("Checkpoint", spec.checkpoint),
    ]
    shown = tuple((name, Cell(text)) for name, text in rows if text)
    return Panel(title="Plan (nothing is placed)", rows=shown, notes=plan.notes)


def short_command(spec: TaskSpec) -> str:
    """Return the command as a panel shows it: whole where it is a few lines, else its beginning and how long it is."""
    lines = spec.command_line.splitlines()
    if len(lines) <= _LINES:
        return spec.command_line
    return "\n".join([*lines[: _LINES - 1], f"… ({len(lines)} lines in all)"])


def shown_variable(name: str, value: str) -> str:
    """Return a variable for people; what is called a key, token, secret or password is not shown."""
    hidden = any(word in name.upper() for word in ("KEY", "TOKEN", "SECRET", "PASSWORD"))
    return f"{name}={'(not shown)' if hidden else value}"


def why_table(plan: Plan, now: datetime) -> Table:
    """Return every offer that was looked at, the chosen one first, and why the others were not taken."""
    rows = [_why_row(plan.quote, now, "chosen: the cheapest that fits", "green")]
    rows += [_why_row(each.quote, now, each.why, "") for each in plan.rejected]
    columns = (
        Column("Instance type"),
        Column("Region"),
        Column("$/hr", right=True),
        Column("Age", right=True),
        Column("Source", wide=True),
        Column("Free", right=True),
        Column("Why", folds=True),
    )
    looked_at = [plan.quote, *(each.quote for each in plan.rejected)]
    return Table(columns=columns, rows=tuple(rows), notes=(price_origin(looked_at, now),))


def plan_json(plan: Plan) -> dict[str, object]:
    """Return the payload of a `plan` document."""
    return {
        "plan": {
            "task": task_to_mapping(plan.spec),
            "instance_type": str(plan.quote.shape),
            "gpu": plan.quote.shape.label,
            "num_instances": plan.spec.num_instances,
            "region": plan.quote.region,
            "type_id": plan.quote.type_id,
            "price_per_hour": dollars(plan.quote.price),
            "price_as_of": stamp(plan.quote.as_of),
            "price_source": plan.quote.source or None,
            "max_price_per_hour": dollars(plan.limit),
            "max_total_per_hour": dollars(plan.total_limit),
            "why_limit": plan.limit_why,
            "policy": policy_json(plan.policy),
            "wins_now": plan.wins_now,
            "rejected": [
                {
                    "instance_type": str(each.quote.shape), "region": each.quote.region,
                    "type_id": each.quote.type_id, "price_per_hour": dollars(each.quote.price),
                    "price_as_of": stamp(each.quote.as_of), "price_source": each.quote.source or None,
                    "why": each.why,
                }
                for each in plan.rejected
            ],
            "notes": list(plan.notes),
        }
    }  # fmt: skip


def _why_row(quote: Quote, now: datetime, why: str, style: str) -> tuple[Cell, ...]:
    free = "" if quote.available is None else str(quote.available)
    old = age(quote.as_of, now)
    texts = (quote.shape.label, quote.region, str(quote.price), old, _source(quote), free, why)
    return tuple(Cell(text, style) for text in texts)


def _source(quote: Quote) -> str:
    return quote.source or "the market"


def _outlook(plan: Plan) -> str:
    if plan.spec.reservation is not None:
        return "starts as soon as the reservation's nodes are up"
    if not plan.wins_now:
        return f"waits: the limit is not above the price of {plan.quote.price}/hr"
    free = plan.quote.available
    if free is not None and free < plan.spec.num_instances:
        return f"may wait: {free} of {plan.spec.num_instances} instances are free now"
    return "wins at the price of now"


def _tries(spec: TaskSpec) -> str:
    if not spec.retries:
        return "it ends: no retries"
    return f"it runs again, {spec.retries} more {'time' if spec.retries == 1 else 'times'} at most"


def _recovery(spec: TaskSpec) -> str:
    if spec.reservation is not None:
        return ""
    after = format_duration(spec.recovery.after)
    return {
        Recover.WAIT: "the bid waits, boot disks kept, until the price falls",
        Recover.MOVE: f"after {after} without nodes it bids in another region, its boot disk lost",
        Recover.RAISE: f"after {after} without nodes its limit is raised, never over the cap",
    }[spec.recovery.how]


def _ends(spec: TaskSpec) -> str:
    ends = ["never by itself: its nodes are kept"] if spec.keep else ["when the command exits"]
    if spec.max_run_time is not None:
        ends.append(f"after {format_duration(spec.max_run_time)} with nodes")
    if spec.max_spend is not None:
        ends.append(f"before it can cost more than {spec.max_spend}")
    if spec.idle_timeout is not None:
        ends.append(f"after {format_duration(spec.idle_timeout)} with nothing to do")
    return ", or ".join(ends)
