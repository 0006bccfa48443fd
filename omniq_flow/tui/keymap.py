"""Keys of the settings, `[tui.keys] retry = "x"`: which actions there are, and that no two have one key on one screen."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from itertools import combinations

from textual.keys import Keys, _character_to_key

from omniq_flow.errors import ConfigError, Fault
from omniq_flow.tui.keys import EVERYWHERE, Key, key_name, mapped
from omniq_flow.tui.page import Page

_FIXED = """
    up down left right home end pageup pagedown enter tab shift+tab space escape j k h l g G v A u
    1 2 3 4 5 6 7 8 9 0 ctrl+c ctrl+q ctrl+p
"""
FIXED = frozenset(_FIXED.split())
"""Keys that move, mark, or are Textual's own: they mean the same on every screen."""
_KNOWN = {str(key.value) for key in Keys}


def read_keys(raw: Mapping[str, str], pages: Iterable[type[Page]], where: str = "") -> dict[str, str]:
    """The keys of actions as Textual calls them; `ConfigError` with every action, key and clash that cannot be."""
    pages = list(pages)
    known = {key.id: key for key in (*EVERYWHERE, *(key for page in pages for key in page.KEYS)) if key.keys != "enter"}
    faults = [_unknown(name, known) for name in raw if name not in known]
    keymap: dict[str, str] = {}
    for name, text in raw.items():
        keys = [key for word in (text.split(",") if text != "," else [text]) if (key := key_of(word.strip()))]
        keymap[name] = ",".join(keys)
        faults += [f"{name}: there is no key {text!r}; write r, R, ctrl-r, f5 or +" for _ in [0] if not keys or "" in keys]
        faults += [f"{name}: the key {key_name(key)} is taken: it moves, marks or leaves everywhere" for key in keys if key in FIXED]
    if not faults:
        faults = list(dict.fromkeys(fault for page in pages for fault in _clashes(mapped((*page.KEYS, *EVERYWHERE), keymap))))
    if faults:
        raise ConfigError("the keys of the terminal UI are not usable", tuple(Fault(f"tui.keys: {fault}", where) for fault in faults))
    return keymap


def key_of(text: str) -> str:
    """A key as people write it, as Textual calls it; empty for what is none."""
    key = _character_to_key(text) if len(text) == 1 else text.replace("ctrl-", "ctrl+").replace("shift-", "shift+")
    return key if len(text) == 1 or key in _KNOWN else ""


def _clashes(keys: Iterable[Key]) -> list[str]:
    return [
        f"{one.id} and {other.id} both have the key {key_name(key)}"
        for one, other in combinations(keys, 2)
        for key in sorted(set(one.keys.split(",")) & set(other.keys.split(",")))
        if one.id != other.id
    ]


def _unknown(name: str, known: Mapping[str, Key]) -> str:
    meant = difflib.get_close_matches(name, known, n=1)
    return f"there is no action {name!r}; " + (f"did you mean {meant[0]!r}?" if meant else f"there are {', '.join(sorted(known))}")
