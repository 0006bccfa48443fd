"""A widget that paints lines: the one place where text becomes cells of the terminal."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from omniq_flow.tui.text import BLANK, Line, Span, fit, plain, safe

TONES = ("good", "bad", "warn", "busy", "dim", "title", "head", "frame", "mark", "tab", "on", "key", "alarm")


class Canvas(Widget):
    """Shows the lines that `line_at` gives. Text is never markup; a stale canvas shows everything in one dim tone."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"tone--{tone}" for tone in (*TONES, "cursor", "stale")}
    DEFAULT_CSS = """
    Canvas { height: 1fr; width: 1fr; background: $background; color: $foreground; }
    Canvas > .tone--good { color: $text-success; }
    Canvas > .tone--bad { color: $text-error; text-style: bold; }
    Canvas > .tone--warn { color: $text-warning; }
    Canvas > .tone--busy { color: $text-accent; }
    Canvas > .tone--dim { text-style: dim; }
    Canvas > .tone--title { text-style: bold; }
    Canvas > .tone--head { color: $text-primary; text-style: bold; }
    Canvas > .tone--frame { color: $primary; }
    Canvas > .tone--mark { color: $text-accent; text-style: bold; }
    Canvas > .tone--tab { color: $foreground; }
    Canvas > .tone--on { color: $text-primary; text-style: bold reverse; }
    Canvas > .tone--key { color: $text-accent; text-style: bold; }
    Canvas > .tone--alarm { color: $text-error; text-style: bold reverse; }
    Canvas > .tone--cursor { background: $panel; text-style: bold; }
    Canvas > .tone--stale { text-style: dim; }
    """
    is_stale = False

    def line_at(self, y: int, width: int) -> Line:
        """The line of this row."""
        return BLANK

    def is_cursor(self, y: int) -> bool:
        """Whether the row is shown as the one that keys act on."""
        return False

    def set_stale(self, is_stale: bool) -> None:
        if is_stale != self.is_stale:
            self.is_stale = is_stale
            self.refresh()

    def repaint(self, *rows: int) -> None:
        """Paint these rows again, all without any."""
        if not rows:
            self.refresh()
            return
        self.refresh(*(Region(0, y, self.size.width, 1) for y in rows))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.rich_style
        if self.is_cursor(y):
            base += self.get_component_rich_style("tone--cursor", partial=True)
        segments = [Segment(safe(span.text), base + self._tone(span)) for span in fit(self.line_at(y, width), width)]
        return Strip(segments).adjust_cell_length(width, base)

    def _tone(self, span: Span) -> Style:
        tone = "stale" if self.is_stale else span.tone
        style = self.get_component_rich_style(f"tone--{tone}", partial=True) if tone else Style.null()
        return style + Style(meta={"@click": span.action}) if span.action else style


class Board(Canvas):
    """A canvas with fixed lines, from `top` on."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Line, ...] = ()
        self.top = 0
        self.words, self.found = "", -1
        """What was looked for, and the line it was found in."""

    def show(self, *lines: Line) -> None:
        """Show these lines; nothing is painted if they are the same as before."""
        if lines != self._lines:
            self._lines = lines
            self.top = min(self.top, max(len(lines) - 1, 0))
            self.refresh()

    @property
    def lines(self) -> tuple[Line, ...]:
        return self._lines

    def scroll_lines(self, by: int) -> None:
        """Move the lines up or down, not beyond the ends."""
        top = max(min(self.top + by, len(self._lines) - self.size.height), 0)
        if top != self.top:
            self.top = top
            self.refresh()

    def find(self, words: str, by: int) -> bool:
        """Go to the next line with these words, in any case, or to the one before; whether there is one."""
        wanted, start = words.casefold(), self.found if words == self.words and self.found >= 0 else self.top - by
        order = range(start + 1, len(self._lines)) if by > 0 else range(start - 1, -1, -1)
        at = next((n for n in order if wanted in plain(self._lines[n]).casefold()), -1)
        self.words = words
        if at >= 0:
            self.found = at
            self.top = max(min(at - self.size.height // 2, len(self._lines) - self.size.height), 0)
            self.refresh()
        return at >= 0

    def forget_found(self) -> None:
        self.words, self.found = "", -1

    def is_cursor(self, y: int) -> bool:
        return self.top + y == self.found

    def line_at(self, y: int, width: int) -> Line:
        at = self.top + y
        return self._lines[at] if at < len(self._lines) else BLANK
