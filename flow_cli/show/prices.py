"""What is on offer, cheapest GPU first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flow_cli.show.layout import Cell, Column, Table
from flow_cli.show.text import age, dollars, stamp
from flow_core.domain.bid import Quote
from flow_core.domain.shape import InstanceShape


def price_table(
    quotes: Sequence[Quote], now: datetime, *, simulated: bool, asked: str | None
) -> Table:
    """Return the list of `flow price`; `asked` is the shape it was narrowed to."""
    columns = (
        Column("Instance type"),
        Column("GPU"),
        Column("Region"),
        Column("$/hr", right=True),
        Column("$/GPU-hr", right=True),
        Column("Floor", right=True),
        Column("Free", right=True),
        Column("Of", right=True, wide=True),
        Column("Age", right=True, wide=True),
        Column("Source", wide=True),
    )
    rows = tuple(
        (
            Cell(str(quote.shape), "bold"),
            Cell(quote.shape.label),
            Cell(quote.region),
            Cell(str(quote.price)),
            Cell(str(quote.price.per(quote.shape.gpus)) if quote.shape.gpus else ""),
            Cell(str(quote.floor)),
            Cell("" if quote.available is None else str(quote.available)),
            Cell("" if quote.capacity is None else str(quote.capacity)),
            Cell(age(quote.as_of, now)),
            Cell(quote.source),
        )
        for quote in in_order(quotes)
    )
    empty = (
        f"Nothing on offer is {asked}. `flow price` lists all there is."
        if asked
        else "Nothing is on offer."
    )
    return Table(
        columns=columns,
        rows=rows,
        empty=empty,
        notes=_notes(quotes, now, simulated=simulated) if rows else (),
    )


def price_origin(quotes: Sequence[Quote], now: datetime) -> str:
    """Return who told the prices of some offers, of which there is one at least, and how old the oldest is."""
    sources = dict.fromkeys(quote.source or "the market" for quote in quotes)
    oldest = min(quote.as_of for quote in quotes)
    return f"prices are from {' and '.join(sources)}, {age(oldest, now)} old at most"


def price_json(quotes: Sequence[Quote]) -> list[dict[str, object]]:
    """Return the offers as a `price-list` document holds them."""
    return [
        {
            "instance_type": str(quote.shape),
            "gpu": quote.shape.label,
            "gpus": quote.shape.gpus,
            "region": quote.region,
            "type_id": quote.type_id,
            "price_per_hour": dollars(quote.price),
            "price_per_gpu_hour": dollars(quote.price.per(quote.shape.gpus))
            if quote.shape.gpus
            else None,
            "floor_per_hour": dollars(quote.floor),
            "available": quote.available,
            "capacity": quote.capacity,
            "as_of": stamp(quote.as_of),
            "source": quote.source or None,
        }
        for quote in in_order(quotes)
    ]


def _notes(quotes: Sequence[Quote], now: datetime, *, simulated: bool) -> tuple[str, ...]:
    return (("prices are simulated",) if simulated else ()) + (price_origin(quotes, now),)


def in_order(quotes: Sequence[Quote]) -> list[Quote]:
    """Return the offers by what one GPU of them costs; those without a GPU last."""

    def rank(quote: Quote) -> tuple[bool, int, str, str]:
        shape: InstanceShape = quote.shape
        return (shape.gpus == 0, quote.price.micros // max(shape.gpus, 1), str(shape), quote.region)

    return sorted(quotes, key=rank)
