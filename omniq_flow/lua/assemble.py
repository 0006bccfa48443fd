"""Puts scripts together from files: one operation a file, shared fragments by name.

A script opens with `#!lua` (line 1, with its flags) and a header comment, its contract: KEYS, ARGV, Reply.
A line `--- @include "name"` brings in `lib/name.lua` once, before whoever asked for it; a fragment builds
one table and returns it, so a script spends one local on each (Lua allows 200) and one upvalue (60).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent
_INCLUDE = re.compile(r'^--- @include "([a-z_]+)"\n', re.MULTILINE)
_COMMENT = re.compile(r"^\s*--(?!\[\[)[^\n]*\n|^--\[\[.*?\]\]\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Script:
    """An assembled script; `sha` is what EVALSHA wants."""

    name: str
    source: str
    sha: str


@dataclass(frozen=True, slots=True)
class Header:
    """The contract at the head of a script's file."""

    keys: tuple[str, ...]
    argv: tuple[str, ...]
    reply: str


class AssemblyError(Exception):
    """A fragment is missing or includes itself."""


@cache
def load(name: str) -> Script:
    """The assembled script of `flow/tick` or `omniq/reserve`."""
    text = (ROOT / f"{name}.lua").read_text(encoding="utf-8")
    shebang, _, body = text.partition("\n")
    if not shebang.startswith("#!lua"):
        raise AssemblyError(f"{name}: line 1 must be #!lua, it is {shebang[:20]!r}")
    parts = [_wrap(fragment) for fragment in order(name, body)]
    source = "\n".join([shebang, *parts, _bare(body)])
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def order(name: str, body: str) -> list[str]:
    """The fragments a text needs, each once, each after those it needs itself; cycles are refused."""
    done: list[str] = []

    def visit(fragment: str, path: tuple[str, ...]) -> None:
        if fragment in path:
            raise AssemblyError(f"{name}: fragments include each other: {' > '.join([*path, fragment])}")
        if fragment not in done:
            for inner in _INCLUDE.findall(_fragment(name, fragment)):
                visit(inner, (*path, fragment))
            done.append(fragment)

    for fragment in _INCLUDE.findall(body):
        visit(fragment, ())
    return done


def names() -> Iterator[str]:
    """All scripts, as `load` wants them."""
    for folder in ("flow", "omniq"):
        for path in sorted((ROOT / folder).glob("*.lua")):
            yield f"{folder}/{path.stem}"


def header(name: str) -> Header:
    """Read the contract of a script out of its header comment."""
    text = (ROOT / f"{name}.lua").read_text(encoding="utf-8")
    found = re.search(r"--\[\[\n(.*?)\]\]", text, re.DOTALL)
    if not found:
        raise AssemblyError(f"{name}: no header comment")
    lines = dict(re.findall(r"^  (KEYS|ARGV|Reply)\s+(.*(?:\n {8,}\S.*)*)", found[1], re.MULTILINE))
    if set(lines) != {"KEYS", "ARGV", "Reply"}:
        raise AssemblyError(f"{name}: the header must name KEYS, ARGV and Reply")
    return Header(tuple(lines["KEYS"].split()), tuple(lines["ARGV"].split()), lines["Reply"])


def export(folder: Path) -> list[Path]:
    """Write the fifteen OmniQ scripts as `<name>.lua`, so that other OmniQ clients can run them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names():
        if name.startswith("omniq/"):
            path = folder / f"{name.removeprefix('omniq/')}.lua"
            path.write_text(load(name).source, encoding="utf-8")
            written.append(path)
    return written


@cache
def _read(fragment: str) -> str:
    return (ROOT / "lib" / f"{fragment}.lua").read_text(encoding="utf-8")


def _fragment(name: str, fragment: str) -> str:
    try:
        return _read(fragment)
    except FileNotFoundError:
        raise AssemblyError(f"{name}: there is no fragment lib/{fragment}.lua") from None


def _wrap(fragment: str) -> str:
    return f"local {fragment} = (function()\n{_bare(_read(fragment))}end)()"


def _bare(text: str) -> str:
    """Without includes and comments: the server keeps every byte of a script."""
    return _COMMENT.sub("", _INCLUDE.sub("", text))
