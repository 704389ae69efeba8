"""The two things that are drawn, a table and a panel, as values; and how they look plain and on a terminal.

Presenters return these and know nothing of terminals. Plain is for pipes and files: nothing is cut, nothing is
coloured. `drawn` is the only place that imports rich, and makes its texts from plain strings, so that nothing a
provider sends is read as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flow_cli.show.text import clean

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

#: Columns marked `wide` show from this width on.
WIDE = 110


class Cell(NamedTuple):
    """A piece of text and how it is meant: a rich style, or ''."""

    text: str
    style: str = ""


class Column(NamedTuple):
    """A table's column.

    Where a terminal is narrow, `cuts` may be shortened and `folds` may run over several lines; `wide` shows only where
    it is wide.
    """

    name: str
    right: bool = False
    cuts: bool = False
    folds: bool = False
    wide: bool = False


class Table(NamedTuple):
    """Rows under columns; `title` frames it, `empty` is said instead of no rows, `notes` follow it."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    empty: str = ""
    notes: tuple[str, ...] = ()


class Panel(NamedTuple):
    """Facts by name in a frame; `notes` follow them."""

    title: str
    rows: tuple[tuple[str, Cell], ...]
    notes: tuple[str, ...] = ()


class Drawing(NamedTuple):
    """Lines of characters that stand where they stand: nothing is wrapped, cut or moved."""

    lines: tuple[tuple[Cell, ...], ...]


Block = Table | Panel | Drawing


def plain(block: Block) -> str:
    """Return the block as lines without escape codes, nothing cut."""
    if isinstance(block, Panel):
        return _plain_panel(block)
    if isinstance(block, Drawing):
        return "\n".join("".join(cell.text for cell in line).rstrip() for line in block.lines)
    lines = [block.title] if block.title else []
    if not block.rows:
        return "\n".join([*lines, block.empty, *block.notes])
    grid = [
        [column.name for column in block.columns],
        *([clean(cell.text) for cell in row] for row in block.rows),
    ]
    widths = [max(len(line[place]) for line in grid) for place in range(len(block.columns))]
    for line in grid:
        padded = [
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(line, widths, block.columns, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join([*lines, *block.notes])


def drawn(block: Block, width: int) -> RenderableType:
    """Return the block as a rich renderable that fits a terminal of `width` columns."""
    if isinstance(block, Drawing):
        return _drawn_lines(block)
    return _drawn_panel(block) if isinstance(block, Panel) else _drawn_table(block, width)


def _plain_panel(panel: Panel) -> str:
    widest = max((len(name) for name, _ in panel.rows), default=0)
    lines = [panel.title]
    for name, cell in panel.rows:
        first, *rest = clean(cell.text, lines=True).split("\n")
        lines.append(f"  {name.ljust(widest)}  {first}".rstrip())
        lines += [f"  {' ' * widest}  {line}".rstrip() for line in rest]
    return "\n".join([*lines, *(f"  {note}" for note in panel.notes)])


def _drawn_lines(drawing: Drawing) -> RenderableType:
    from rich.text import Text

    lines = [Text.assemble(*((cell.text, cell.style) for cell in line)) for line in drawing.lines]
    text = Text("\n").join(lines)
    text.no_wrap, text.overflow = True, "crop"
    return text


def _drawn_panel(panel: Panel) -> RenderableType:
    from rich.box import ROUNDED
    from rich.console import Group
    from rich.panel import Panel as Frame
    from rich.table import Table as Grid

    grid = Grid.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, cell in panel.rows:
        grid.add_row(_text(Cell(name, "bold")), _text(cell, lines=True))
    notes = [_text(Cell(note, "dim"), lines=True) for note in panel.notes]
    return Frame(
        Group(grid, *notes),
        title=_text(Cell(panel.title, "bold")),
        box=ROUNDED,
        expand=False,
        padding=(0, 1),
    )


def _drawn_table(table: Table, width: int) -> RenderableType:
    from rich.box import ROUNDED, SIMPLE_HEAD
    from rich.console import Group
    from rich.panel import Panel as Frame
    from rich.table import Table as Grid

    places = [
        place for place, column in enumerate(table.columns) if not column.wide or width >= WIDE
    ]
    body: RenderableType
    if table.rows:
        grid = Grid(
            box=SIMPLE_HEAD if not table.title else None,
            pad_edge=False,
            padding=(0, 1),
            header_style="bold",
            show_edge=False,
        )
        for place in places:
            column = table.columns[place]
            grid.add_column(
                column.name,
                justify="right" if column.right else "left",
                no_wrap=not (column.cuts or column.folds),
                overflow="ellipsis",
            )
        for row in table.rows:
            grid.add_row(
                *(_text(row[place], cuts=not table.columns[place].folds) for place in places)
            )
        body = grid
    else:
        body = _text(Cell(table.empty, "dim"))
    notes = [_text(Cell(note, "dim")) for note in table.notes]
    if not table.title:
        return Group(body, *notes)
    return Group(
        Frame(
            body, title=_text(Cell(table.title, "bold")), box=ROUNDED, expand=False, padding=(0, 1)
        ),
        *notes,
    )


def _text(cell: Cell, *, lines: bool = False, cuts: bool = False) -> Text:
    from rich.text import Text

    text = Text(clean(cell.text, lines=lines), style=cell.style)
    if cuts:
        text.no_wrap, text.overflow = True, "ellipsis"
    return text
