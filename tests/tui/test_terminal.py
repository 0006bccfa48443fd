"""The command in real terminals: under tmux, compared with the command line; in a pty; for a browser. How it leaves them: C128."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.observe.reading import read_run
from omniq_flow.ops.jobs import publish
from tests.observe.drive import Bad, Drive
from tests.observe.flows import pages
from tests.support.server import Server
from tests.support.terminal import Terminal
from tests.support.until import wait_until

ROOT = Path(__file__).parents[2]
HOSTILE = "\x1b]52;c;aGk=\x07\x1b]0;mine\x07\x1b[2J[/]\x9b31m"


@pytest.fixture
def environment(server: Server, redis_conn: redis.Redis, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMNIQ_FLOW_", "REDIS_URL"))}
    own = {"OMNIQ_FLOW_URL": server.url, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm-256color"}
    return {**kept, **own}


@pytest.fixture
def failed_run(client: Client, redis_conn: redis.Redis, queue: str) -> tuple[str, str]:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    return queue, Drive(client, pages(queue)).finished({"split": [1, 2, 3], "read[1]": Bad(HOSTILE, "OCRTimeout")})


@pytest.fixture
def in_terminal(environment: dict[str, str], tmp_path: Path) -> Iterator[Terminal]:
    with Terminal([sys.executable, "-m", "omniq_flow.cli.main", "tui"], environment, tmp_path) as opened:
        yield opened


def test_q_ends_it_with_0(in_terminal: Terminal) -> None:
    in_terminal.reads("NEEDS NOBODY")
    in_terminal.types("q")
    assert in_terminal.ended() == 0


def test_text_of_the_server_never_reaches_the_terminal_raw(failed_run: tuple[str, str], in_terminal: Terminal) -> None:
    in_terminal.reads("NEEDS YOU")
    in_terminal.types("2")
    in_terminal.reads("✘ failed")
    in_terminal.types("\r")
    in_terminal.reads("✘ read")
    in_terminal.types("j")
    in_terminal.reads("OCRTimeout")
    in_terminal.types("q")
    assert in_terminal.ended() == 0
    for raw in (b"\x1b]52", b"\x1b]0;mine", "\x9b31m".encode()):
        assert raw not in in_terminal.written


def test_for_a_browser_it_needs_no_terminal(environment: dict[str, str], tmp_path: Path) -> None:
    """Packets go by stdout, also where the flow files of the project print."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "loud.py").write_text("print('loud')\n")
    quit = b'{"type": "quit"}'
    done = subprocess.run(
        [sys.executable, "-m", "omniq_flow.cli.main", "tui", "--read-only"],
        env={**environment, "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver"},
        cwd=tmp_path,
        input=b"M" + struct.pack(">I", len(quit)) + quit,
        capture_output=True,
        check=False,
        timeout=40,
    )
    assert done.stdout.startswith(b"__GANGLION__\n")
    assert b"loud" not in done.stdout


@pytest.fixture
def tui(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Opens the UI with these arguments, and these variables beside the others, over a queue with one job."""
    argv = [sys.executable, "-m", "omniq_flow.cli.main", "tui"]
    with ExitStack() as stack:
        yield lambda *args, **more: stack.enter_context(Terminal([*argv, *args], {**environment, **more}, tmp_path))


@pytest.fixture
def a_job(client: Client, redis_conn: redis.Redis) -> None:
    redis_conn.sadd("{omniq-flow}:queues", "mail")
    client.execute(publish("mail", {}, job_id="a"))


@pytest.mark.usefixtures("a_job")
@pytest.mark.parametrize(
    ("args", "locale", "is_ascii"),
    [(["--ascii"], "C.UTF-8", True), ([], "C", True), (["--no-ascii"], "C", False), ([], "C.UTF-8", False)],
    ids=["told to", "by the locale", "told not to", "UTF-8"],
)
def test_where_the_terminal_has_ascii_alone_nothing_else_is_written(
    tui: Callable[..., Terminal], args: list[str], locale: str, is_ascii: bool
) -> None:
    terminal = tui(*args, LC_ALL=locale, LANG=locale)
    terminal.reads("mail")
    terminal.reads("no worker serves it")
    terminal.types("q")
    assert terminal.ended() == 0
    assert terminal.written.isascii() is is_ascii


@pytest.mark.parametrize("is_left", [True, False])
def test_the_mouse_may_be_left_to_the_terminal(tui: Callable[..., Terminal], is_left: bool) -> None:
    terminal = tui(*["--no-mouse"] * is_left)
    terminal.reads("NEEDS NOBODY")
    terminal.types("q")
    assert terminal.ended() == 0
    assert (b"\x1b[?1000h" not in terminal.written) is is_left


def test_without_retries_a_server_that_is_away_is_an_error(tui: Callable[..., Terminal]) -> None:
    """Told after the screen is gone, with the exit code of every other command."""
    terminal = tui("--no-retry", OMNIQ_FLOW_URL="redis://127.0.0.1:1")
    assert terminal.ended() == 4
    error = terminal.written.decode().rpartition("\x1b[?1049l")[2]
    assert "error: " in error
    assert "nobody listens there" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(("flags", "variables"), [(["--no-color"], {}), ([], {"NO_COLOR": "1"})], ids=["told to", "by the environment"])
def test_no_colour_is_written_where_none_is_wanted(tui: Callable[..., Terminal], flags: list[str], variables: dict[str, str]) -> None:
    """Bold and reversed text is no colour; grey is none either."""
    terminal = tui(*flags, **variables)
    terminal.reads("NEEDS NOBODY")
    terminal.types("q")
    assert terminal.ended() == 0
    colours = re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)|[34]8;5;(\d+)", terminal.written)
    assert all(r == g == b if not n else int(n) in (*range(16), *range(232, 256)) for r, g, b, n in colours)


def test_an_unknown_run_is_told_before_the_screen_opens(environment: dict[str, str], tmp_path: Path) -> None:
    with Terminal([sys.executable, "-m", "omniq_flow.cli.main", "tui", "--run", "@last"], environment, tmp_path) as opened:
        assert opened.ended() == 5
        assert b"there are no runs" in opened.written


@pytest.mark.skipif(not shutil.which("tmux"), reason="there is no tmux here")
def test_what_tmux_shows_is_what_the_command_line_says(
    environment: dict[str, str], client: Client, failed_run: tuple[str, str], tmp_path: Path
) -> None:
    def tmux(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["tmux", "-S", str(tmp_path / "t"), *args], env=environment, capture_output=True, text=True, check=False)

    def screen() -> str:
        return tmux("capture-pane", "-p").stdout

    argv = f"{sys.executable} -m omniq_flow.cli.main tui --run @last --read-only"
    assert tmux("new-session", "-d", "-x", "100", "-y", "30", "-c", str(tmp_path), argv).returncode == 0
    try:
        wait_until(lambda: "✘ read" in screen(), "the run is on the screen", 40)
        said = json.loads(
            subprocess.run(
                [sys.executable, "-m", "omniq_flow.cli.main", "runs", "show", "@last", "--json"],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        shown = screen()
        assert said["run_id"][-6:] in shown
        assert said["state"] == read_run(client, *failed_run).word
        assert f"  {said['state']} " in shown
        assert "  RO" in shown
        for step in said["steps"]:
            row = next(row for row in shown.split("\n") if f" {step['step']}" in row.split("│")[0])
            if step["level"]:
                assert f"{step['succeeded']}/{step['total']}" in row
            if step["failed"] and step["level"]:
                assert f"✘{step['failed']}" in row
        tmux("send-keys", "Escape")
        wait_until(lambda: "[1]Overview" in screen(), "the overview is on the screen", 20)
        tmux("send-keys", "2")
        wait_until(lambda: "✘ failed" in screen(), "the list is on the screen", 20)
        tmux("send-keys", "q")
        wait_until(lambda: tmux("has-session").returncode != 0, "the command has ended", 20)
    finally:
        tmux("kill-server")
