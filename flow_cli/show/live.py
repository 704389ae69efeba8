"""The screen of `flow status --watch`: bids, prices against limits, nodes, spend and the last lines of the logs.

A pure function of what was seen and of the screen's size. Narrow, a task takes up to three lines; wide, one, and
another if what it waits for doesn't fit beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from flow_cli.show.groups import group_cell
from flow_cli.show.layout import Cell, Drawing
from flow_cli.show.tasks import gpu_text, state_cell
from flow_cli.show.text import age, clean
from flow_core.domain.overview import Fold, Overview, Row

#: From this width on, a task is one line.
WIDE = 132
_GAUGE = 10
#: Lines of log that are shown rather than nothing, below the tasks.
_LEAST_LOG = 3
_MOST_NAME = 24

Line = tuple[Cell, ...]


@frozen(kw_only=True)
class Frame:
    """What surrounds the tasks: who is asked, how it goes, and what the keys do."""

    provider: str
    simulated: bool = False
    #: What went wrong at the last look; '' when it didn't.
    trouble: str = ""
    #: How old what is shown is, in seconds of real time.
    seen_s: float = 0.0
    every_s: float = 2.0
    #: Whether more than ASCII can be shown.
    fancy: bool = True


def live_screen(overview: Overview | None, frame: Frame, *, width: int, height: int) -> Drawing:
    """Return exactly `height` lines, none wider than `width` where every character is one column wide."""
    lines = [_head(overview, frame, width), ()]
    foot = _foot(overview, frame, width)
    room = max(height - len(lines) - len(foot), 1)
    if overview is None:
        body: list[Line] = [(Cell("looking …" if frame.fancy else "looking ...", "dim"),)]
    else:
        body = _body(overview, frame, width, room)
    body = body[:room]
    lines += body + [()] * (room - len(body)) + foot
    if not frame.fancy:
        lines = [tuple(Cell(_ascii(cell.text), cell.style) for cell in line) for line in lines]
    return Drawing(tuple(_cut(line, width, frame.fancy) for line in lines[:height]))


def _head(overview: Overview | None, frame: Frame, width: int) -> Line:
    who = f"flow · {frame.provider}" if frame.fancy else f"flow: {frame.provider}"
    who += " (simulated)" if frame.simulated else ""
    if overview is None:
        return (Cell(who, "bold"),)
    moment = f"{overview.at:%Y-%m-%d %H:%M:%SZ}" if width >= WIDE else f"{overview.at:%H:%M:%SZ}"
    told = [moment, f"{overview.live} live"]
    if overview.live:
        told += [f"{overview.spent} so far", f"{overview.hourly}/hr now"]
    rest = ("   " if width >= WIDE else "  ").join(told)
    gap = max(width - len(who) - len(rest), 2)
    return (Cell(who, "bold"), Cell(" " * gap + rest))


def _body(overview: Overview, frame: Frame, width: int, room: int) -> list[Line]:
    if not overview.rows:
        return [(Cell("No tasks yet. `flow submit COMMAND -i 8xh100` starts one.", "dim"),)]
    blocks = _blocks(overview, frame, width)
    log_room = 0 if not overview.lines else min(max(_LEAST_LOG, room // 3) + 1, room // 2)
    head, *tasks = blocks
    body, left = list(head), room - len(head)
    hidden = 0
    for place, block in enumerate(tasks):
        last = place == len(tasks) - 1
        if hidden or len(block) + (0 if last else 1) > left - log_room:
            hidden += 1
            continue
        body += block
        left -= len(block)
    if hidden:
        body.append((Cell(f"and {hidden} more; `flow status` lists all", "dim"),))
        left -= 1
    if overview.lines and left > 1:
        body += _log(overview.lines, left, width, frame)
    return body


def _blocks(overview: Overview, frame: Frame, width: int) -> list[list[Line]]:
    """Return the heading, then each task's lines."""
    rows = _folded(overview)
    grid = [_row(row, overview, frame, wide=width >= WIDE) for row in rows]
    names = ["Task", "Status", "GPU", "Limit/hr", "Price/hr", "Cost", "Age"]
    rights = {"Limit/hr", "Price/hr", "Cost", "Age"}
    if width >= WIDE:
        names = [*names[:3], "Region", *names[3:5], "Of limit", *names[5:], "Nodes"]
    widths = [
        max(len(name), *(len(row[place].text) for row in grid)) for place, name in enumerate(names)
    ]
    spare = width - sum(widths) - 2 * (len(widths) - 1)
    if spare < 0:  # names give way first
        widths[0] = max(widths[0] + spare, 8)
    blocks = [[_aligned([Cell(name, "bold") for name in names], widths, names, rights, frame)]]
    for row, cells in zip(rows, grid, strict=True):
        line = _aligned(cells, widths, names, rights, frame)
        fold = overview.folds.get(row.view.record.group_token)
        why = _why(row, overview) if fold is None else fold.words
        if width < WIDE:
            more = [_pressed(row, frame)] if row.view.record.is_live and fold is None else []
            block = [line, *(each for each in more if each)]
            block += [(Cell("  "), Cell(why, "yellow"))] if why else []
        else:
            reason: Line = (Cell("  "), Cell(why, "yellow"))
            fits = sum(len(cell.text) for cell in (*line, *reason)) <= width
            block = [(*line, *reason)] if why and fits else [line, reason] if why else [line]
        blocks.append(block)
    return blocks


def _row(row: Row, overview: Overview, frame: Frame, *, wide: bool) -> list[Cell]:
    record = row.view.record
    style = "" if record.is_live else "dim"
    state = state_cell(row.view.state)
    mark = state if frame.fancy else Cell(row.view.state.value, state.style)
    over = row.pressure is not None and row.pressure >= 1
    name = record.name if len(record.name) <= _MOST_NAME or wide else record.name[:_MOST_NAME]
    price = "" if row.quote is None or not record.is_live else str(row.quote.price)
    spent = Cell(_at_most(row, frame) + str(row.spent), style)
    fold = overview.folds.get(record.group_token)
    if fold is not None:
        name, style = fold.name, "dim" if fold.view.is_final else ""
        mark = group_cell(fold.view) if frame.fancy else Cell("")
        spent = Cell(_at_most(fold, frame) + str(fold.spent), style)
    cells = [
        Cell(name, style or "bold"),
        mark,
        Cell(gpu_text(row.view), style),
        Cell(str(record.limit), style),
        Cell(price, "red" if over else style),
        spent,
        Cell(age(record.created_at, overview.at), style),
    ]
    if not wide:
        return cells
    gauge = _gauge(row, frame)
    nodes = Cell(row.nodes if fold is None else "", style)
    return [*cells[:3], Cell(record.region, style), *cells[3:5], gauge, *cells[5:], nodes]


def _folded(overview: Overview) -> list[Row]:
    """Return the rows that have a line: of a group that is folded, the first, which is live if any is."""
    found, seen = [], set()
    for row in overview.rows:
        token = row.view.record.group_token
        if token not in seen:
            found.append(row)
        if token in overview.folds:
            seen.add(token)
    return found


def _at_most(row: Row | Fold, frame: Frame) -> str:
    if not row.is_estimate:
        return ""
    return "≤" if frame.fancy else "<"


def _ascii(text: str) -> str:
    return text.replace("×", "x").replace("·", "-").encode("ascii", "replace").decode("ascii")


def _pressed(row: Row, frame: Frame) -> Line:
    """Return a narrow task's second line: how near the price is to the limit, and its nodes."""
    gauge = _gauge(row, frame)
    parts = [gauge.text + " of the limit"] if gauge.text else []
    parts += [f"nodes: {row.nodes}"] if row.nodes else []
    if not parts:
        return ()
    joint = " · " if frame.fancy else ", "
    return (Cell("  "), Cell(joint.join(parts), gauge.style or "dim"))


def _gauge(row: Row, frame: Frame) -> Cell:
    if row.pressure is None:
        return Cell("")
    full, empty = ("━", "╌") if frame.fancy else ("#", "-")
    filled = min(round(row.pressure * _GAUGE), _GAUGE)
    style = "red" if row.pressure >= 1 else "yellow" if row.pressure >= 0.9 else "green"
    return Cell(full * filled + empty * (_GAUGE - filled) + f" {row.pressure:4.0%}", style)


def _why(row: Row, overview: Overview) -> str:
    if row.waits_for is not None:
        return clean(row.waits_for.text(overview.at))
    record = row.view.record
    if not row.view.state.is_final:
        return ""
    code = record.exit_code
    return clean(record.reason) if record.reason else (f"exit code {code}" if code else "")


def _aligned(
    cells: Sequence[Cell],
    widths: Sequence[int],
    names: Sequence[str],
    rights: set[str],
    frame: Frame,
) -> Line:
    line: list[Cell] = []
    for cell, width, name in zip(cells, widths, names, strict=True):
        text = _short(clean(cell.text), width, frame.fancy)
        text = text.rjust(width) if name in rights else text.ljust(width)
        line += [Cell(text, cell.style), Cell("  ")]
    return tuple(line[:-1])


def _log(lines: Sequence[tuple[str, str]], room: int, width: int, frame: Frame) -> list[Line]:
    bar, rule = ("│", "─") if frame.fancy else ("|", "-")
    shown = lines[-(room - 1) :]
    widest = min(max(len(name) for name, _ in shown), 16)
    title = f"{rule * 2} log "
    found: list[Line] = [(Cell(title + rule * max(width - len(title), 0), "dim"),)]
    for name, text in shown:
        head = f"{_short(name, widest, frame.fancy).ljust(widest)} {bar} "
        found.append((Cell(head, "dim"), Cell(clean(text))))
    return found


def _foot(overview: Overview | None, frame: Frame, width: int) -> list[Line]:
    lines: list[Line] = []
    if frame.trouble:
        seen = f"{frame.seen_s:.0f} s old: " if overview is not None else ""
        text = f"{seen}{clean(frame.trouble)}; asking again"
        lines.append((Cell(text, "bold red"),))
    elif overview is not None and not overview.watcher_runs:
        lines.append((Cell("no watcher runs, so nothing ends by itself", "bold yellow"),))
    joint = " · " if frame.fancy else ", "
    lines.append((Cell(joint.join(("q quits", f"every {frame.every_s:g} s")), "dim"),))
    return lines


def _short(text: str, width: int, fancy: bool) -> str:
    if len(text) <= width:
        return text
    return text[: width - 1] + "…" if fancy else text[: max(width - 2, 0)] + ".."


def _cut(line: Line, width: int, fancy: bool) -> Line:
    """Cut a line to the screen, so that it never wraps."""
    found: list[Cell] = []
    left = width
    for cell in line:
        if len(cell.text) > left:
            found.append(Cell(_short(cell.text, left, fancy) if left > 1 else "", cell.style))
            break
        found.append(cell)
        left -= len(cell.text)
    return tuple(found)
