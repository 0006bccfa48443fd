"""What the pictures of queues and jobs have in common: columns, widths, ages."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence

from omniq_flow.cli.output import Output
from omniq_flow.cli.text import cut, table, width
from omniq_flow.model.clock import show_duration

WIDE = 200
"""Cells of a line that is not shown on a terminal."""


def line_width(output: Output) -> int:
    return shutil.get_terminal_size().columns if output.out.isatty() else WIDE


def figures(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[str]) -> list[str]:
    """A table whose columns stand to the right, but those that are named."""
    sizes = [max(width(row[n]) for row in (head, *rows)) for n in range(len(head))]
    is_left = [name in left for name in head]

    def placed(row: Sequence[str]) -> list[str]:
        return [
            cell if stays or not cell else " " * (size - width(cell)) + cell for cell, size, stays in zip(row, sizes, is_left, strict=True)
        ]

    return table(placed(head), [placed(row) for row in rows])


def fitted(head: Sequence[str], rows: Sequence[Sequence[str]], cells: int) -> list[str]:
    """A table whose lines are cut where the terminal ends; only the last column is long."""
    return [cut(line, cells) for line in table(head, rows)]


def age(since_ms: int, now: int) -> str:
    return show_duration(max(now - since_ms, 0)) if since_ms else ""


def since(words: str, since_ms: int, now: int) -> str:
    return f"{words}{age(since_ms, now)}" if since_ms else ""
