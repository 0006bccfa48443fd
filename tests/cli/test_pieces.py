"""The parts of the command line that need no process: arguments, input, text, progress."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, strategies as st

from omniq_flow.cli import main
from omniq_flow.cli.argv import SWITCHES, WITH_VALUE, lift
from omniq_flow.cli.inputs import json_or_text, read_input
from omniq_flow.cli.output import iso, times
from omniq_flow.cli.progress import Lines, Live, NoteStream, picture
from omniq_flow.cli.text import cut, table, visible, width
from omniq_flow.cli.trouble import error_lines
from omniq_flow.errors import Fault, InputError, NotFound, UsageError
from omniq_flow.model.plan import Plan
from omniq_flow.model.runs import RunHeader
from omniq_flow.model.states import RunState
from omniq_flow.observe.snapshot import RunSnapshot, tally_steps
from tests.observe.flows import pages

# arguments


@pytest.mark.parametrize(
    ("argv", "lifted", "rest"),
    [
        (["runs", "list"], [], ["runs", "list"]),
        (["runs", "list", "--json", "--url", "x"], ["--json", "--url", "x"], ["runs", "list"]),
        (["runs", "--url=x", "list", "-v"], ["--url=x", "-v"], ["runs", "list"]),
        (["--quiet", "start", "a", "--debug"], ["--quiet", "--debug"], ["start", "a"]),
        (["start", "a", "--key", "--json"], [], ["start", "a", "--key", "--json"]),
        (["start", "a", "-i", "--url", "--json"], ["--json"], ["start", "a", "-i", "--url"]),
        (["start", "--", "--json"], [], ["start", "--", "--json"]),
        (["start", "a", "--key"], [], ["start", "a", "--key"]),
    ],
)
def test_global_flags_are_lifted_and_values_are_left_alone(argv: list[str], lifted: list[str], rest: list[str]) -> None:
    assert lift(argv, {"--key", "-i"}) == (lifted, rest)


@pytest.mark.parametrize("argv", [["runs", "--url"], ["--url", "--json"], ["runs", "list", "--connect-timeout", "-v"]])
def test_a_global_flag_without_its_value_is_refused(argv: list[str]) -> None:
    with pytest.raises(UsageError, match="needs a value"):
        lift(argv, set())


def test_the_lifted_flags_are_those_of_the_program() -> None:
    root = typer.main.get_command(main.app)
    switches = {opt for p in root.params if getattr(p, "is_flag", False) for opt in p.opts} - {"--help", "-h"}
    assert switches == SWITCHES
    assert {opt for p in root.params if not getattr(p, "is_flag", True) for opt in p.opts} == WITH_VALUE
    inner = main.options_with_value(root) - WITH_VALUE
    assert inner >= {
        "-i",
        "--input",
        "--set",
        "--key",
        "--timeout",
        "-q",
        "--queue",
        "-f",
        "--flow",
        "-c",
        "--state",
        "--limit",
        "--format",
    }
    assert not inner & SWITCHES, "a flag of a command must not be taken for a global one"


# input


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('"1"', "1"),
        ("[1,2]", [1, 2]),
        ("Ada", "Ada"),
        ("", ""),
        ("01", "01"),
        ("NaN", "NaN"),
    ],
)
def test_set_takes_json_if_it_is_else_text(text: str, value: Any) -> None:
    assert json_or_text(text) == value


def test_set_wins_and_reaches_into_objects() -> None:
    found = read_input('{"a": {"b": 1, "c": 2}, "d": 3}', ["a.b=9", "e.f.g=x=y", "d={}"])
    assert found == {"a": {"b": 9, "c": 2}, "d": {}, "e": {"f": {"g": "x=y"}}}
    assert read_input(None, []) is None
    assert read_input(None, ["a=1"]) == {"a": 1}


def test_all_that_set_cannot_do_is_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        read_input('{"a": 1}', ["a.b=1", "a.c.d=2", "fine=3"])
    assert [f.message for f in caught.value.faults] == ["--set a.b=1: a is no object", "--set a.c.d=2: a is no object"]


@pytest.mark.parametrize("setting", ["name", "=1", "a..b=1", ".a=1"])
def test_set_needs_a_path_and_a_value(setting: str) -> None:
    with pytest.raises(UsageError, match="is no assignment"):
        read_input(None, [setting])


# text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[2J\x07", "␛[2J␇"),
        ("a\nb\tc\r\x00\x7f", "a⏎b c␍␀␡"),
        ("\x9b31m\u202eexe\u2028", "\\x9b31m\\u202eexe\\u2028"),
        ("\udc80", "\\udc80"),
        ("größe 漢 🎉 e\u0301", "größe 漢 🎉 e\u0301"),
    ],
)
def test_what_acts_on_a_terminal_is_shown_instead(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_no_text_gets_through_to_the_terminal(text: str) -> None:
    shown = visible(text)
    assert all(character >= " " and not "\x7f" <= character < "\xa0" and character != "\x1b" for character in shown)
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(st.text(), st.integers(1, 40))
def test_a_cut_text_fits(text: str, cells: int) -> None:
    assert width(cut(visible(text), cells)) <= cells


def test_a_table_leaves_out_empty_columns_and_aligns_wide_characters() -> None:
    assert table(("A", "B", "C"), [("漢字", "", "1"), ("x", "", "2")]) == ["A     C", "漢字  1", "x     2"]


def test_times_are_told_twice_and_absent_ones_are_null() -> None:
    assert times(created=1_700_000_000_123, ended=0) == {
        "created_ms": 1_700_000_000_123,
        "created_at": "2023-11-14T22:13:20.123Z",
        "ended_ms": None,
        "ended_at": None,
    }
    assert iso(1) == "1970-01-01T00:00:00.001Z"


def test_an_error_is_what_where_and_what_next() -> None:
    error = NotFound("there is no flow 'a\x1b'", where="flows\n", hint="omniq-flow flows list")
    assert error_lines(error) == ["error: there is no flow 'a␛'", "where: flows⏎", " next: omniq-flow flows list"]
    several = InputError("bad", tuple(Fault(f"f{n}", "here") for n in range(60)))
    assert error_lines(several)[:2] == ["error: bad", "  f0 (here)"]
    assert error_lines(several)[-1] == "  … and 10 more"


# progress


def snapshot(drawn: Plan, counts: dict[str, int], state: RunState = RunState.RUNNING) -> RunSnapshot:
    header = RunHeader("0" * 26, drawn.flow, drawn.queue, drawn.sha, state, created_ms=1)
    return RunSnapshot(header, drawn, tally_steps(drawn, counts, state))


BEGINNING = {"split:Q": 1}
MIDDLE = {"split:D": 1, "read:t": 8, "read:Q": 3, "read:D": 2, "read:F": 1, "clean:t": 8, "clean:D": 2}
END = {"split:D": 1, "read:t": 8, "read:D": 7, "read:F": 1, "clean:t": 8, "clean:D": 7, "clean:U": 1, "merge:U": 1, "last:U": 1}


def test_a_pipe_gets_a_line_for_each_change_of_a_step() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    drawn = pages("q")
    for counts in (BEGINNING, BEGINNING, MIDDLE, MIDDLE | {"read:D": 3, "read:Q": 2}):
        lines.update(snapshot(drawn, counts))
    lines.update(snapshot(drawn, END | {"read:b": 1_000, "read:e": 4_000, "read:r": 2}, RunState.FAILED))
    assert said == [
        "split: started",
        "split: succeeded",
        "read: started",
        "clean: started",
        "read: failed (8/8, 1 failed, 2 retries, 3.0s)",
        "clean: upstream_failed (8/8)",
        "merge: upstream_failed",
        "last: upstream_failed",
    ]


def test_the_picture_has_one_line_a_step_and_a_bar_for_a_map() -> None:
    timings = {"split:b": 1_000, "split:e": 1_800, "read:b": 2_000, "read:e": 2_500, "read:r": 4}
    lines = [text for text, _ in picture(snapshot(pages("q"), MIDDLE | timings), 20, 10_000)]
    assert lines == [
        "✔ split    800ms",
        "▶ read ×   ███████░░░░░░░░░░░░░ 3/8  ✘1  8.0s  ↻4",
        "▶ clean ×  █████░░░░░░░░░░░░░░░ 2/8",
        "◌ merge",
        "◌ last",
    ]


def test_a_low_terminal_shows_where_something_happens() -> None:
    lines = [text.split("  ")[0] for text, _ in picture(snapshot(pages("q"), MIDDLE), 3, 10_000)]
    assert lines == ["▶ read ×", "▶ clean ×", ""]
    assert picture(snapshot(pages("q"), MIDDLE), 3, 0)[-1][0] == "  … and 3 more steps"


def test_a_terminal_gets_one_picture_that_is_redrawn() -> None:
    """Replayed on a screen, only the newest picture stands, with the notes above it in their order."""
    stream = io.StringIO()
    live = Live(stream, may_colour=False)
    live.note("run 01")
    live.update(snapshot(pages("q"), BEGINNING))
    live.note("told \x1b[2J by a handler\nin two lines")
    live.update(snapshot(pages("q"), END, RunState.FAILED))
    screen = replay(stream.getvalue())
    assert screen[:3] == ["run 01", "told ␛[2J by a handler", "in two lines"]
    assert [line[:1] for line in screen[3:]] == ["✔", "✘", "⊘", "⊘", "⊘"]


def replay(text: str) -> list[str]:
    """What a screen shows after these lines, `\\x1b[nF\\x1b[J` (up n lines, clear to the end), and nothing else."""
    lines: list[str] = []
    for line in text.split("\n")[:-1]:
        if line.startswith("\x1b["):
            up, line = line[2:].split("F\x1b[J", 1)
            del lines[len(lines) - int(up) :]
        assert "\x1b" not in line
        lines.append(line)
    return lines


def test_what_is_printed_becomes_notes_line_by_line() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    with NoteStream(lines) as stream:
        print("one", "two", file=stream)
        stream.write("left ")
        stream.write("open\nand the rest")
        assert said == ["one two", "left open"]
    assert said == ["one two", "left open", "and the rest"]


def test_a_step_of_an_empty_map_does_not_divide_by_zero() -> None:
    drawn = pages("q")
    empty = snapshot(drawn, {"split:D": 1, "merge:D": 1, "last:D": 1}, RunState.SUCCEEDED)
    assert [text for text, _ in picture(empty, 20, 0)] == ["✔ split", "✔ read ×", "✔ clean ×", "✔ merge", "✔ last"]
    assert replace(empty.steps[1], total=0).done == 0


def test_json_of_the_input_may_be_any_value(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text(json.dumps([1, {"a": None}]))
    assert read_input(f"@{file}", []) == [1, {"a": None}]
