"""Lines of the screen as values: spans of text, each with a tone.

A tone is a word (`good`, `bad`, `dim`, …) that a theme turns into a colour. Text from outside is a plain string all the
way: it is never read as markup, and each character that would act on the terminal is replaced by a visible one, here
when cells are measured and once more when they are painted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from omniq_flow.observe.text import visible

_LONGEST_CELL = 4_096
"""Characters of a text that are looked at for one cell of a screen (C126: a payload may have megabytes)."""


class Span(NamedTuple):
    """A piece of a line in one tone; `action` is what a click on it does."""

    text: str
    tone: str = ""
    action: str = ""


Line = tuple[Span, ...]
Part = str | tuple[str, str] | Span

BLANK: Line = ()


def line(*parts: Part) -> Line:
    """A line of plain texts and (text, tone) pairs."""
    return tuple(Span(safe(part)) if isinstance(part, str) else Span(safe(part[0]), *part[1:]) for part in parts)


def safe(text: str) -> str:
    """A text in one line without characters that act."""
    return visible(text[:_LONGEST_CELL])


def plain(parts: Iterable[Span]) -> str:
    """The line's text alone."""
    return "".join(span.text for span in parts)


def length(parts: Iterable[Span]) -> int:
    """How many cells a line takes."""
    return sum(cell_len(span.text) for span in parts)


def cut(text: str, cells: int) -> str:
    """At most so many cells of a text, with an ellipsis where something was left out."""
    shown = safe(text)
    if cells <= 0:
        return ""
    return shown if cell_len(shown) <= cells else set_cell_size(shown, cells - 1) + "…"


def cell(text: str, cells: int, align: str = "<") -> str:
    """A text that takes exactly so many cells, cut or padded."""
    shown = cut(text, cells)
    pad = " " * (cells - cell_len(shown))
    return pad + shown if align == ">" else shown + pad


def clip(parts: Line, cells: int) -> Line:
    """At most so many cells of a line."""
    kept: list[Span] = []
    left = cells
    for span in parts:
        if left <= 0:
            break
        wide = cell_len(span.text)
        kept.append(span if wide <= left else span._replace(text=cut(span.text, left)))
        left -= min(wide, left)
    return tuple(kept)


def fit(parts: Line, cells: int) -> Line:
    """A line that takes exactly so many cells."""
    kept = clip(parts, cells)
    rest = cells - length(kept)
    return (*kept, Span(" " * rest)) if rest > 0 else kept


def ends(left: Line, right: Line, cells: int) -> Line:
    """Two texts at both ends of a line; the right one gives way if there is no room."""
    gap = cells - length(left) - length(right)
    return fit((*left, Span(" " * gap), *right), cells) if gap > 0 else fit(left, cells)


def beside(left: Sequence[Line], right: Sequence[Line], wide: int, bar: str = "│ ") -> list[Line]:
    """Two columns of lines, the left one `wide` cells, with a bar between them."""
    rows = max(len(left), len(right))
    padded = [*left, *([BLANK] * (rows - len(left)))]
    others = [*right, *([BLANK] * (rows - len(right)))]
    return [(*fit(a, wide), Span(bar, "frame"), *b) for a, b in zip(padded, others, strict=True)]


def rule(cells: int, title: str = "") -> Line:
    """A line across."""
    if not title:
        return (Span("─" * cells, "frame"),)
    shown = cut(title, max(cells - 4, 1))
    return (Span("─ ", "frame"), Span(shown), Span(" " + "─" * max(cells - 3 - cell_len(shown), 0), "frame"))


def wrap(text: str, cells: int, most: int) -> list[str]:
    """A text over several lines, broken between words where there are any; its own line breaks count."""
    lines: list[str] = []
    for paragraph in text[: _LONGEST_CELL * 4].split("\n"):
        rest = safe(paragraph.expandtabs(4))
        while rest and cell_len(rest) > cells and len(lines) < most:
            head = set_cell_size(rest, cells)
            at = head.rfind(" ")
            head = head[:at] if at > cells // 3 else head.rstrip()
            lines.append(head)
            rest = rest[max(len(head), 1) :].lstrip()
        lines.append(rest)
        if len(lines) >= most:
            break
    return lines[:most]


def bar(done: int, total: int, cells: int) -> str:
    """A bar of full and light blocks."""
    full = min(cells * done // total, cells) if total > 0 else 0
    return "█" * full + "░" * (cells - full)


def spark(values: Sequence[float]) -> str:
    """A line of bars, the highest value full."""
    top = max(values, default=0)
    return "".join("▁▂▃▄▅▆▇█"[min(int(v / top * 7.999), 7)] if top > 0 else "▁" for v in values)


def age(ms: int) -> str:
    """How long ago, short: `9s`, `14m02`, `3h07`, `2d4h`; `–` for nothing."""
    if ms < 0:
        return "0s"
    if ms < 60_000:
        return f"{ms // 1000}s"
    if ms < 3_600_000:
        return f"{ms // 60_000}m{ms // 1000 % 60:02}"
    if ms < 86_400_000:
        return f"{ms // 3_600_000}h{ms // 60_000 % 60:02}"
    return f"{ms // 86_400_000}d{ms // 3_600_000 % 24}h"


def took(ms: int) -> str:
    """A duration, short: `0.8s`, `41s`, `3m12s`."""
    if ms < 10_000:
        return f"{ms / 1000:.1f}s"
    return f"{ms // 1000}s" if ms < 60_000 else f"{age(ms)}s" if ms < 3_600_000 else age(ms)


def tail(run_id: str) -> str:
    """The end of an id, enough to tell runs apart and to name one."""
    return run_id[-6:]
