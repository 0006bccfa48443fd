"""Everything on the screen in ASCII, for terminals that have nothing else: one character for one cell, so nothing moves."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_SAME = {
    "✔": "+",
    "✘": "x",
    "✖": "x",
    "⊘": "/",
    "⤼": "~",
    "◌": ".",
    "▶": ">",
    "‖": "=",
    "↻": "r",
    "▌": ">",
    "▾": "v",
    "▸": ">",
    "×": "x",
    "…": "~",
    "–": "-",
    "→": ">",
    "↑": "^",
    "↓": "v",
    "←": "<",
    "█": "#",
    "░": ".",
    "│": "|",
    "┃": "|",
    "║": "|",
    "─": "-",
    "━": "-",
    "═": "=",
    "▔": "-",
    "▁": "_",
}
_SPARK = dict(zip("▂▃▄▅▆▇", "_..-=#", strict=True))
_CORNERS = dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┣┫┳┻╋╔╗╚╝", "+")
_TABLE = {ord(a): b for a, b in (_SAME | _SPARK | _CORNERS).items()}


def to_ascii(text: str) -> str:
    """A text of as many cells in ASCII; `?` stands for what has no likeness."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() else "?" * cell_len(c) for c in text.translate(_TABLE))


class Ascii(LineFilter):
    """Makes each line that a widget paints ASCII, borders and all."""

    def apply(self, segments: Sequence[Segment], background: Color) -> list[Segment]:
        return [Segment(to_ascii(segment.text), segment.style, segment.control) for segment in segments]
