"""Text from outside, made safe to show: nothing of it may move the cursor, hide or recolour what is shown."""

from __future__ import annotations

import unicodedata

_C0_PICTURES = 0x2400
_DIRECTIONS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


def visible(text: str) -> str:
    """A text in one line, with a visible placeholder for each character that acts instead of being seen."""
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def width(text: str) -> int:
    """How many cells a text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def cut(text: str, cells: int) -> str:
    """At most so many cells of a text, with an ellipsis where something was left out."""
    if width(text) <= cells:
        return text
    kept, used = [], 0
    for character in text:
        used += _cells(character)
        if used > cells - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def _visible(character: str) -> str:
    code = ord(character)
    if character == "\n":
        return "⏎"
    if character == "\t":
        return " "
    if code < 0x20:
        return chr(_C0_PICTURES + code)
    if code == 0x7F:
        return "␡"
    if character in _DIRECTIONS or unicodedata.category(character) in ("Cc", "Cs"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
