"""How one command ended on many nodes: a table of exit codes, each with the nodes that had it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flow_cli.show.layout import Cell, Column, Table


def ranks_text(ranks: Iterable[int]) -> str:
    """Return ranks as `--node` takes them: `0,3-5`."""
    parts: list[list[int]] = []
    for rank in sorted(set(ranks)):
        if parts and parts[-1][1] == rank - 1:
            parts[-1][1] = rank
        else:
            parts.append([rank, rank])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def worst_code(codes: Mapping[int, int], lost: Mapping[int, str], *, lost_as: int) -> int:
    """Return the highest exit code; a lost node counts as `lost_as`."""
    return max([*codes.values(), *(lost_as for _ in lost)], default=0)


def exit_table(codes: Mapping[int, int], lost: Mapping[int, str]) -> Table:
    """Return a row for each exit code, lowest first, then one for the nodes that were lost; both are by rank."""
    by_code: dict[int, list[int]] = {}
    for rank, code in codes.items():
        by_code.setdefault(code, []).append(rank)
    rows = [
        (Cell(str(code), "bold red" if code else "green"), Cell(ranks_text(ranks)))
        for code, ranks in sorted(by_code.items())
    ]
    if lost:
        rows.append((Cell("lost", "bold red"), Cell(ranks_text(lost))))
    return Table((Column("exit code", right=True), Column("nodes", folds=True)), tuple(rows))
