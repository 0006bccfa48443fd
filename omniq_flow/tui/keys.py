"""The keys: what each one does, in one table that bindings, the foot of a screen and the help are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """One key, or several that do the same (with commas), and the action it stands for."""

    keys: str
    action: str
    label: str
    help: str = ""
    is_hint: bool = True
    shown: str = ""

    @property
    def name(self) -> str:
        """The key as people call it."""
        return self.shown or NAMES.get(first := self.keys.split(",")[0], first)


NAMES = {
    "slash": "/",
    "question_mark": "?",
    "escape": "esc",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "minus": "-",
    "at": "@",
    "colon": ":",
    "ctrl+r": "ctrl-r",
    "ctrl+y": "ctrl-y",
    "ctrl+p": "ctrl-p",
    "ctrl+q": "ctrl-q",
}

EVERYWHERE = (
    Key("z", "freeze", "freeze", "freeze or thaw the picture"),
    Key("question_mark", "help", "help", "the keys of this screen"),
    Key("q", "quit", "quit", "leave"),
    Key("ctrl+r", "now", "now", "read again at once", is_hint=False),
    Key("less_than_sign", "slower", "slower", "refresh less often", is_hint=False),
    Key("greater_than_sign", "faster", "faster", "refresh more often", is_hint=False),
    Key("minus", "last_page", "last", "the screen before this one", is_hint=False),
    Key("at", "command_log", "log", "what was done here, as commands", is_hint=False),
    Key("ctrl+y", "copy_command", "copy command", "copy the command that shows what is selected", is_hint=False),
    Key("Y", "copy_json", "copy JSON", "copy what is selected as JSON", is_hint=False),
    Key("colon", "command_line", "command", "a command: runs, run ID, queue NAME LANE, q", is_hint=False),
)

MOVING = (
    ("j k ↑ ↓", "move"),
    ("g G home end", "first, last"),
    ("PgUp PgDn h l ← →", "page back, page on"),
    ("enter", "open"),
    ("tab", "next pane"),
    ("1 … 8", "screens"),
    ("ctrl-p", "palette"),
)

MARKING = (
    ("space", "mark"),
    ("v", "mark from the last mark to here"),
    ("A", "mark all that match"),
    ("u", "unmark all"),
)


def bindings(keys: Iterable[Key]) -> list[Binding]:
    """The bindings of Textual for these keys."""
    return [Binding(key.keys, key.action, key.label, show=False) for key in keys]


def hints(keys: Iterable[Key]) -> list[tuple[str, str]]:
    """What the foot shows."""
    return [(key.name, key.label) for key in keys if key.is_hint]


def help_rows(keys: Sequence[Key], *, has_marks: bool) -> list[tuple[str, str]]:
    """What the help shows: the keys of a screen, then those that are the same everywhere."""
    own = [(key.name, key.help or key.label) for key in keys]
    return [*own, *MOVING, *(MARKING if has_marks else ()), *((k.name, k.help) for k in EVERYWHERE)]
