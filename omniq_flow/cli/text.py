"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from omniq_flow.observe.text import cut as cut, visible as visible, width as width


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with columns under each other; columns that are empty in all rows are left out."""
    cells = [list(map(visible, row)) for row in rows]
    kept = [n for n, _ in enumerate(head) if any(row[n] for row in cells)]
    whole = [[head[n] for n in kept], *([row[n] for n in kept] for row in cells)]
    wide = [max(width(row[n]) for row in whole) for n in range(len(kept))]
    return ["  ".join(cell + " " * (size - width(cell)) for cell, size in zip(row, wide, strict=True)).rstrip() for row in whole]
