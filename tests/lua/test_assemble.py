"""Scripts are put together once, in order, within Lua's limits, and only from what is there."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import redis

from omniq_flow.lua import assemble

SCRIPTS = list(assemble.names())

LOCALS = 200
"""What Lua allows in one function."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of ours, nothing of it cached."""
    for folder in ("lib", "flow", "omniq"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(assemble, "ROOT", tmp_path)
    for cached in (assemble.load, assemble._read, assemble._parts):
        cached.cache_clear()
        monkeypatch.setattr(assemble, cached.__name__, cached.__wrapped__)
    return tmp_path


def write(root: Path, name: str, *includes: str, body: str = "") -> None:
    lines = [f'--- @include "{include}"\n' for include in includes]
    (root / f"{name}.lua").write_text("".join(lines) + body, encoding="utf-8")


def write_script(root: Path, name: str, *includes: str, shebang: str = "#!lua", body: str = "return 1\n") -> None:
    lines = [f'--- @include "{include}"\n' for include in includes]
    (root / f"{name}.lua").write_text(f"{shebang}\n" + "".join(lines) + body, encoding="utf-8")


def test_each_fragment_comes_once_and_after_those_it_needs(root: Path) -> None:
    write(root, "lib/low", body="local low = {}\nreturn low\n")
    write(root, "lib/left", "low", body="local left = {}\nreturn left\n")
    write(root, "lib/right", "low", "left", body="local right = {}\nreturn right\n")
    write_script(root, "flow/top", "right", "left")
    source = assemble.load("flow/top").source
    assert re.findall(r"^local (\w+) = \(function\(\)$", source, re.MULTILINE) == ["low", "left", "right"]
    assert source.startswith("#!lua\n")
    assert source.endswith("return 1\n")
    assert "@include" not in source


def test_a_cycle_is_refused_with_its_path(root: Path) -> None:
    write(root, "lib/a", "b")
    write(root, "lib/b", "c")
    write(root, "lib/c", "a")
    write_script(root, "flow/top", "a")
    with pytest.raises(assemble.AssemblyError, match=r"^flow/top: fragments include each other: a > b > c > a$"):
        assemble.load("flow/top")


def test_a_fragment_that_includes_itself_is_refused(root: Path) -> None:
    write(root, "lib/a", "a")
    write_script(root, "flow/top", "a")
    with pytest.raises(assemble.AssemblyError, match=r"a > a$"):
        assemble.load("flow/top")


def test_an_unknown_fragment_is_named(root: Path) -> None:
    write_script(root, "flow/top", "nowhere")
    with pytest.raises(assemble.AssemblyError, match=r"^flow/top: there is no fragment lib/nowhere\.lua$"):
        assemble.load("flow/top")


@pytest.mark.parametrize("shebang", ["-- a comment", "#!/bin/sh", ""])
def test_the_first_line_names_the_engine(root: Path, shebang: str) -> None:
    write_script(root, "flow/top", shebang=shebang)
    with pytest.raises(assemble.AssemblyError, match="line 1 must be #!lua"):
        assemble.load("flow/top")


@pytest.mark.parametrize("text", ["return 1\n", "--[[\n  top: no contract.\n]]\n", "--[[\n  KEYS  anchor\n  ARGV  a\n]]\n"])
def test_a_script_without_its_contract_is_refused(root: Path, text: str) -> None:
    write_script(root, "flow/top", body=text)
    with pytest.raises(assemble.AssemblyError, match="header"):
        assemble.header("flow/top")


def test_what_is_wanted_later_is_made_by_later(root: Path, redis_conn: redis.Redis) -> None:
    """So is what only it needs; what is wanted at once as well is there at once. Asked again, nothing is made anew."""
    write(root, "lib/low", body="local low = {n = 0}\nreturn low\n")
    write(root, "lib/deep", "low", body="local deep = {}\nlow.n = low.n + 1\nfunction deep.two() return 2 end\nreturn deep\n")
    write(root, "lib/top", "deep", body="local top = {}\nlow.n = low.n + 10\nfunction top.four() return 2 * deep.two() end\nreturn top\n")
    (root / "flow/used.lua").write_text(
        '#!lua\n--- @include "low"\n--- @later "top"\nlocal before = low.n\nlater()\nreturn {before, top.four(), low.n}\n',
        encoding="utf-8",
    )
    assert redis_conn.eval(assemble.load("flow/used").source, 0) == [0, 4, 11]


def test_what_is_wanted_soon_is_made_before_what_is_wanted_later(root: Path, redis_conn: redis.Redis) -> None:
    write(root, "lib/low", body="local low = {n = 0}\nreturn low\n")
    write(root, "lib/mid", "low", body="local mid = {}\nlow.n = low.n + 1\nfunction mid.two() return 2 end\nreturn mid\n")
    write(root, "lib/top", "mid", body="local top = {}\nlow.n = low.n + 10\nfunction top.four() return 2 * mid.two() end\nreturn top\n")
    (root / "flow/used.lua").write_text(
        '#!lua\n--- @include "low"\n--- @soon "mid"\n--- @later "top"\n'
        "soon()\nlocal before = low.n\nlater()\nreturn {before, mid.two(), top.four(), low.n}\n",
        encoding="utf-8",
    )
    assert redis_conn.eval(assemble.load("flow/used").source, 0) == [1, 2, 4, 11]


@pytest.mark.parametrize("body", ["return 1\n", "later()\nlater()\n", "soon()\nlater()\n"])
def test_a_stage_stands_at_one_place(root: Path, body: str) -> None:
    write(root, "lib/low", body="local low = {n = 0}\nreturn low\n")
    (root / "flow/used.lua").write_text(f'#!lua\n--- @later "low"\n{body}return low.n\n', encoding="utf-8")
    with pytest.raises(assemble.AssemblyError, match=r"flow/used: (later|soon)\(\) must stand at one place"):
        assemble.load("flow/used")


def test_a_function_that_nobody_names_is_left_out(root: Path) -> None:
    """Each by itself: one that stands in one line between others as well."""
    lines = [f"function low.{name}() return '{name}' end\n" for name in ("one", "two", "three")]
    write(root, "lib/low", body="local low = {}\n" + "".join(lines) + "function low.four()\n  return 4\nend\nreturn low\n")
    write_script(root, "flow/top", "low", body="return low.two()\n")
    assert re.findall(r"function low\.(\w+)", assemble.load("flow/top").source) == ["two"]


def test_what_is_lazy_is_made_when_it_is_first_used(root: Path, redis_conn: redis.Redis) -> None:
    """So is what only it needs; whoever holds the table sees it filled."""
    write(root, "lib/low", body="local low = {n = 0}\nreturn low\n")
    write(root, "lib/deep", "low", body="local deep = {}\nlow.n = low.n + 1\nfunction deep.two() return 2 end\nreturn deep\n")
    write(root, "lib/top", "deep", body="local top = {}\nlow.n = low.n + 10\nfunction top.four() return 2 * deep.two() end\nreturn top\n")
    (root / "flow/used.lua").write_text(
        '#!lua\n--- @include "low"\n--- @lazy "top"\nlater()\nlocal held, n = top, low.n\nreturn {n, held.four(), top.four(), low.n}\n',
        encoding="utf-8",
    )
    assert redis_conn.eval(assemble.load("flow/used").source, 0) == [0, 4, 4, 11]


def test_what_is_lazy_must_be_one_table(root: Path) -> None:
    write(root, "lib/low", body="return {}\n")
    (root / "flow/used.lua").write_text('#!lua\n--- @lazy "low"\nlater()\nreturn low.n\n', encoding="utf-8")
    with pytest.raises(assemble.AssemblyError, match=r"lib/low\.lua: it must be one table"):
        assemble.load("flow/used")


def test_comments_stay_at_home(root: Path) -> None:
    """Long ones and whole lines go; what only looks like a comment inside a line stays."""
    write(root, "lib/a", body="--[[\n  what a is\n]]\nlocal a = {}\n-- why\n  -- so\nlocal text = '-- kept'\nreturn a\n")
    write_script(root, "flow/top", "a", body="--[[\n  top\n]]\nreturn 1 -- at the end\n")
    source = assemble.load("flow/top").source
    assert "what a is" not in source
    assert "why" not in source
    assert "so\n" not in source
    assert "'-- kept'" in source


def test_the_scripts_are_those_of_the_contract_and_ours() -> None:
    assert [name.removeprefix("omniq/") for name in SCRIPTS if name.startswith("omniq/")] == [
        "ack_fail",
        "ack_success",
        "child_ack",
        "childs_init",
        "enqueue",
        "heartbeat",
        "pause",
        "promote_delayed",
        "reap_expired",
        "remove_job",
        "remove_jobs_batch",
        "reserve",
        "resume",
        "retry_failed",
        "retry_failed_batch",
    ]
    assert {"flow/tick", "flow/run_start"} <= set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_what_its_sha_says_and_loads(name: str, redis_conn: redis.Redis) -> None:
    script = assemble.load(name)
    assert script.sha == hashlib.sha1(script.source.encode()).hexdigest()
    assert redis_conn.script_load(script.source) == script.sha


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_function_comes_near_the_limit_of_locals(name: str) -> None:
    """Each fragment is a function of its own; the script itself holds one name for each and its own."""
    counts = {"": 0}
    inside = ""
    for line in assemble.load(name).source.splitlines():
        if opening := re.fullmatch(r"(local )?(\w+) = (?:\(function\(\)|setmetatable\(\{\}, \{__index = function\(\w+, _name\))", line):
            counts[""] += opening[1] is not None
            inside = opening[2]
            counts[inside] = 0
        elif line in ("end)()", "end})"):
            inside = ""
        elif line.startswith("local "):
            counts[inside] += line.partition("=")[0].count(",") + 1
    assert max(counts.values()) < LOCALS / 3, counts


def test_export_writes_the_fifteen_for_other_clients(tmp_path: Path) -> None:
    written = assemble.export(tmp_path / "new")
    assert sorted(path.stem for path in written) == sorted(name[6:] for name in SCRIPTS if name.startswith("omniq/"))
    assert all(path.read_text(encoding="utf-8") == assemble.load(f"omniq/{path.stem}").source for path in written)


NAMES = sorted(path.stem for path in (assemble.ROOT / "lib").glob("*.lua"))


@pytest.mark.parametrize("path", sorted(assemble.ROOT.glob("*/*.lua")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_file_includes_what_it_uses_and_nothing_else(path: Path) -> None:
    """A fragment that came along with another one would be gone when that one no longer needs it."""
    text = path.read_text(encoding="utf-8")
    code = re.sub(r"--\[\[.*?\]\]|--[^\n]*|'[^'\n]*'", "", text, flags=re.DOTALL)
    own = {path.stem} if path.parent.name == "lib" else set()
    own |= {name for name in NAMES if re.search(rf"local [\w, ]*\b{name}\b|function[^\n(]*\([^)]*\b{name}\b", code)}
    used = {name for name in NAMES if name not in own and re.search(rf"(?<![\w.:]){name}\.\w", code)}
    assert set(re.findall(r'^--- @(?:include|soon|later|lazy) "(\w+)"$', text, re.MULTILINE)) == used
