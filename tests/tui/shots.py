"""A screen as text: what stands where, and in which style; kept in files that people can read and compare.

`OMNIQ_FLOW_UPDATE_SHOTS=1` writes them anew. A shot has the characters, then a letter for the style of each cell, then
what each letter stands for in the theme.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from textual.app import App

FOLDER = Path(__file__).parent / "shots"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def screen_lines(app: App[Any]) -> list[str]:
    """The characters on the screen, without blanks at the ends of lines."""
    return ["".join(segment.text for segment in strip).rstrip() for strip in _strips(app)]


def screen_text(app: App[Any]) -> str:
    return "\n".join(screen_lines(app))


def shot(app: App[Any]) -> str:
    """Characters, styles and their meaning."""
    styles: dict[str, str] = {}
    painted = []
    for strip in _strips(app):
        row = ""
        for segment in strip:
            name = str(segment.style) if segment.style else "none"
            letter = styles.setdefault(name, LETTERS[len(styles) % len(LETTERS)])
            row += letter * segment.cell_length
        painted.append(row)
    legend = [f"{letter}  {name}" for name, letter in styles.items()]
    return "\n".join([*screen_lines(app), "", *painted, "", *legend, ""])


def assert_shot(app: App[Any], name: str) -> None:
    """The screen looks as it did when it was last approved."""
    path = FOLDER / f"{name}.txt"
    found = shot(app)
    if os.environ.get("OMNIQ_FLOW_UPDATE_SHOTS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    wanted = path.read_text(encoding="utf-8")
    assert found == wanted, f"{path.name} is not as it was; look at both, then OMNIQ_FLOW_UPDATE_SHOTS=1 keeps the new one"


def _strips(app: App[Any]) -> Any:
    return app.screen._compositor.render_strips()
