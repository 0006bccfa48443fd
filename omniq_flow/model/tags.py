"""Tags of a run: names with values that whoever starts it gives it, to find it by.

They stand in the run's header as lines `name=value`, sorted. They do not decide whether two starts are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Tags = tuple[tuple[str, str], ...]

MOST_TAGS = 16
MAX_VALUE = 128
"""Characters of a value."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")


def checked_tags(given: Mapping[str, str]) -> Tags:
    """Tags in order; `ValueError` says what is wrong with one."""
    if len(given) > MOST_TAGS:
        raise ValueError(f"a run has at most {MOST_TAGS} tags, these are {len(given)}")
    for name, value in given.items():
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a tag: a letter, then letters, digits, _ . and -, 40 characters at most")
        if not value or len(value) > MAX_VALUE or not value.isprintable():
            raise ValueError(f"tag {name}: its value has 1 to {MAX_VALUE} characters, none of them unprintable")
    return tuple(sorted(given.items()))


def stored(tags: Tags) -> str:
    return "\n".join(f"{name}={value}" for name, value in tags)


def parse_tags(text: str) -> Tags:
    """What was stored; whatever else may stand there is no error."""
    return tuple((name, value) for name, is_one, value in (line.partition("=") for line in text.split("\n")) if is_one)


def shown(tags: Tags) -> str:
    """For people, in one line."""
    return " ".join(f"{name}={value}" for name, value in tags)
