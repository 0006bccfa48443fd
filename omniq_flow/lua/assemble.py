"""Puts scripts together from files: one operation a file, shared fragments by name.

A script opens with `#!lua` (line 1, with its flags) and a header comment, its contract: KEYS, ARGV, Reply.
A line `--- @include "name"` brings in `lib/name.lua` once, before whoever asked for it; a fragment builds
one table and returns it, so a script spends one local on each (Lua allows 200) and one upvalue (60).

Making the functions is a good part of what a short call costs. So a script gets those only that it can reach. Fragments that
its shortest calls do without it names by `--- @soon "name"` or `--- @later "name"`: those, and what only they need, are made
where it says `soon()` and, after it, `later()`, each a line that stands at one place. What many of the others do without as
well it names by `--- @lazy "name"`: such a one is made when it is first used, after `later()`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent
_INCLUDE = re.compile(r'^--- @(include|soon|later|lazy) "([a-z_]+)"\n', re.MULTILINE)
_FUNCTION = re.compile(r"^(?:function (\w+\.\w+)|local function (\w+))\((?:.* end\n|.*\n(?:(?!end\n).*\n)*end\n)", re.MULTILINE)
_WORD = re.compile(r"\w+(?:\.\w+)?")
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
    at_once, soon, later = (order(name, body, how) for how in ("include", "include|soon", "include|soon|later"))
    wanted = order(name, body)
    reached = _reached(_bare(body), [part for fragment in wanted for part in _parts(fragment)])
    texts = {fragment: "".join(part.text for part in reached if part.fragment == fragment) for fragment in wanted}
    made = {fragment: _made(fragment, texts[fragment], is_lazy=fragment not in later) for fragment in wanted}
    wanted_soon = [fragment for fragment in soon if fragment not in at_once]
    wanted_later = [fragment for fragment in wanted if fragment not in soon]
    text = _with_stage(name, "later", wanted_later, made, _with_stage(name, "soon", wanted_soon, made, _bare(body)))
    staged = [f"local {', '.join(stage)}" for stage in (wanted_soon, wanted_later) if stage]
    source = "\n".join([shebang, *(f"local {made[fragment]}" for fragment in at_once), *staged, text])
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def order(name: str, body: str, how: str = "include|soon|later|lazy") -> list[str]:
    """The fragments a text needs, each once, each after those it needs itself; cycles are refused.

    `how` is what the text itself says of those that are wanted.
    """
    done: list[str] = []

    def visit(fragment: str, path: tuple[str, ...]) -> None:
        if fragment in path:
            raise AssemblyError(f"{name}: fragments include each other: {' > '.join([*path, fragment])}")
        if fragment not in done:
            for _, inner in _INCLUDE.findall(_fragment(name, fragment)):
                visit(inner, (*path, fragment))
            done.append(fragment)

    for said, fragment in _INCLUDE.findall(body):
        if said in how.split("|"):
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


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a fragment: a function of its top level with its name, or what stands between them, which has none."""

    fragment: str
    name: str
    text: str


@cache
def _parts(fragment: str) -> list[_Part]:
    text, parts, at = _bare(_read(fragment)), [], 0
    for found in _FUNCTION.finditer(text):
        name = found[1] or f"{fragment} {found[2]}"
        if name.startswith(fragment):
            parts += [_Part(fragment, "", text[at : found.start()]), _Part(fragment, name, found[0])]
            at = found.end()
    return [*parts, _Part(fragment, "", text[at:])]


def _reached(body: str, parts: list[_Part]) -> list[_Part]:
    """Those that the text of a script leads to; a function that nobody names is left out."""
    functions = {part.name: part for part in parts if part.name}
    open_ends = [_Part("", "", body), *(part for part in parts if not part.name)]
    reached = set(open_ends)
    while open_ends:
        part = open_ends.pop()
        for word in _words(part.text):
            for name in (word, f"{part.fragment} {word.partition('.')[0]}"):
                if name in functions and functions[name] not in reached:
                    reached.add(functions[name])
                    open_ends.append(functions[name])
    return [part for part in parts if part in reached]


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text))


def _made(fragment: str, text: str, *, is_lazy: bool) -> str:
    opening, ending = f"local {fragment} = {{}}\n", f"return {fragment}\n"
    if not is_lazy:
        # A table that grows with each function would be made anew again and again.
        names = re.findall(rf"^function {fragment}\.(\w+)", text, re.MULTILINE)
        text = text.replace(opening, f"local {fragment} = {{{', '.join(f'{name} = 0' for name in names)}}}\n", 1)
        return f"{fragment} = (function()\n{text}end)()"
    # The table is there from the start, for others hold it; its first use fills it.
    if opening not in text or not text.endswith(ending):
        raise AssemblyError(f"lib/{fragment}.lua: it must be one table, local {fragment} = {{}} to return {fragment}")
    filling = text.replace(opening, "", 1).removesuffix(ending)
    return (
        f"{fragment} = setmetatable({{}}, {{__index = function({fragment}, _name)\n"
        f"setmetatable({fragment}, nil)\n{filling}return {fragment}[_name]\nend}})"
    )


def _with_stage(name: str, stage: str, fragments: list[str], made: dict[str, str], body: str) -> str:
    """The body with the fragments of a stage made where it says so; a function for it would cost those calls that never get there."""
    place = re.compile(rf"^ *{stage}\(\)\n", re.MULTILINE)
    if (places := len(place.findall(body))) != bool(fragments):
        raise AssemblyError(
            f"{name}: {stage}() must stand at one place if fragments are made there, and nowhere else; it stands at {places}"
        )
    return place.sub(lambda _: "".join(f"{made[fragment]}\n" for fragment in fragments), body)


def _bare(text: str) -> str:
    """Without includes and comments: the server keeps every byte of a script."""
    return _COMMENT.sub("", _INCLUDE.sub("", text))
