"""C128: after a signal, a hang-up or a crash the shell is left raw, without echo, with mouse codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from tests.cases.rig import ROOT
from tests.support.server import Server
from tests.support.terminal import Terminal

TUI = [sys.executable, "-m", "omniq_flow.cli.main", "tui"]
IS_SET_UP, IS_THERE, NO_SERVER = "\x1b[?1049h", "NEEDS NOBODY", "no server"
NOWHERE = "redis://127.0.0.1:1"
Open = Callable[..., Terminal]


@pytest.fixture
def environment(server: Server, redis_conn: redis.Redis, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMNIQ_FLOW_", "REDIS_URL"))}
    own = {"OMNIQ_FLOW_URL": server.url, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm-256color"}
    return {**kept, **own}


@pytest.fixture
def opened(environment: dict[str, str], tmp_path: Path) -> Iterator[Open]:
    """Runs a command in a terminal that is closed after the test."""
    with ExitStack() as stack:
        yield lambda argv=TUI, **more: stack.enter_context(Terminal(argv, {**environment, **more}, tmp_path))


def is_restored(terminal: Terminal) -> bool:
    assert terminal.settings() == terminal.before, "the terminal was left in another mode"
    assert terminal.modes == set(), "the terminal was left with modes on"
    return True


def broken(source: str) -> list[str]:
    """The terminal UI, with a fault put into it."""
    return [sys.executable, "-c", f"{source}\nfrom omniq_flow.cli.main import main\nmain()", "tui"]


@pytest.mark.parametrize(
    ("numbers", "code", "when"),
    [
        ((signal.SIGTERM,), 143, IS_SET_UP),
        ((signal.SIGTERM,), 143, IS_THERE),
        ((signal.SIGHUP,), 129, IS_THERE),
        ((signal.SIGINT, signal.SIGINT), 130, IS_THERE),
    ],
    ids=["SIGTERM while it is set up", "SIGTERM", "SIGHUP", "SIGINT twice"],
)
def test_c128_a_signal_leaves_the_terminal_as_it_was(opened: Open, numbers: tuple[signal.Signals, ...], code: int, when: str) -> None:
    """As soon as the first mode of the terminal is changed, a signal changes it back, and the exit code names it."""
    terminal = opened()
    terminal.reads(when)
    terminal.signals(*numbers)
    assert terminal.ended() == code
    assert is_restored(terminal)


@pytest.mark.parametrize("way", ["q", "SIGTERM"])
def test_c128_without_a_server_it_ends_as_well(opened: Open, way: str) -> None:
    """Where the server is gone at the start there is a page that says so, which is left like any other."""
    terminal = opened(OMNIQ_FLOW_URL=NOWHERE)
    terminal.reads(NO_SERVER)
    if way == "q":
        terminal.types("q")
    else:
        terminal.signals(signal.SIGTERM)
    assert terminal.ended() == (0 if way == "q" else 143)
    assert is_restored(terminal)


PICTURE = """
from omniq_flow.tui.feed import Want
from omniq_flow.tui.screens.overview import OverviewPage
OverviewPage.want = lambda self: Want("overview", lambda client: 1 / 0)
"""
THREAD = """
from omniq_flow.tui.feed import Feed
Feed._tick = lambda self: 1 / 0
"""
WIDGET = """
from omniq_flow.tui.canvas import Canvas
Canvas.render_line = lambda self, y: 1 / 0
"""


def test_c128_a_picture_that_cannot_be_read_is_told(opened: Open, tmp_path: Path) -> None:
    """An exception in the data thread, of one picture: the screen tells it and lives on; the log has where it comes from."""
    terminal = opened(broken(PICTURE))
    terminal.reads("ZeroDivisionError: division by zero")
    terminal.types("q")
    assert terminal.ended() == 0
    assert is_restored(terminal)
    assert "Traceback" in (tmp_path / "state" / "omniq-flow" / "tui.log").read_text()


@pytest.mark.parametrize("source", [THREAD, WIDGET], ids=["data thread", "widget"])
def test_c128_a_crash_is_told_after_the_terminal_is_restored(opened: Open, tmp_path: Path, source: str) -> None:
    """An exception that ends the data thread or a widget ends the whole: one line names it, the log has the rest, the code is not 0."""
    terminal = opened(broken(source))
    assert terminal.ended() == 1
    assert is_restored(terminal)
    after = terminal.written.decode().rpartition("\x1b[?1049l")[2]
    assert "omniq-flow: the terminal UI failed: ZeroDivisionError: division by zero" in after
    assert "Traceback" not in terminal.written.decode()
    assert "Traceback" in (tmp_path / "state" / "omniq-flow" / "tui.log").read_text()


def test_c128_it_goes_to_the_background_and_comes_back(opened: Open, tmp_path: Path) -> None:
    """ctrl-z gives the shell its terminal as it was, `fg` brings the screen back, q ends it; `stty -a` tells the same all the while."""
    shell = opened(["bash", "--norc", "--noprofile", "--noediting", "-i"], PS1="READY> ")
    shell.reads("READY> ")

    def stty(name: str) -> str:
        shell.types(f"echo code-$?; stty -a > {name}; echo done-$((40 + 2))\n")
        shell.reads("done-42\r\nREADY> ")
        return (tmp_path / name).read_text()

    before = stty("before")
    shell.types(f"{' '.join(TUI)}\n")
    shell.reads(IS_THERE)
    shell.types("\x1a")
    shell.reads("Stopped")
    assert shell.modes == set()
    shell.forget()
    assert stty("stopped") == before
    shell.forget()
    shell.types("fg\n")
    shell.reads(IS_SET_UP)
    shell.reads(IS_THERE)
    shell.types("q")
    shell.reads("READY> ")
    assert shell.modes == set()
    shell.forget()
    assert stty("after") == before
    assert b"code-0" in shell.written


def test_c128_it_may_be_stopped_without_being_asked(opened: Open) -> None:
    """Woken after a SIGSTOP it sets its terminal up anew, and gives it back as it was before all that."""
    terminal = opened()
    terminal.reads(IS_THERE)
    terminal.forget()
    terminal.signals(signal.SIGSTOP, signal.SIGCONT)
    terminal.reads(IS_SET_UP)
    terminal.reads(IS_THERE)
    terminal.types("q")
    assert terminal.ended() == 0
    assert is_restored(terminal)


def test_c128_a_key_does_not_stop_what_no_shell_would_wake(opened: Open) -> None:
    """Started by no shell, ctrl-z says that it does nothing, and the screen stays."""
    terminal = opened()
    terminal.reads(IS_THERE)
    terminal.types("\x1a")
    terminal.reads("no shell here")
    terminal.types("q")
    assert terminal.ended() == 0
    assert is_restored(terminal)


def test_c128_it_ends_with_its_terminal(opened: Open) -> None:
    """A window that is closed takes it along."""
    terminal = opened()
    terminal.reads(IS_THERE)
    terminal.hang_up()
    assert terminal.process.wait(20) == 129


@pytest.mark.parametrize("closed", [">&-", "<&-"])
def test_c128_without_one_of_its_streams_it_refuses(opened: Open, closed: str) -> None:
    """Called with stdout or stdin closed, it says what it needs and touches no terminal."""
    terminal = opened(["sh", "-c", f"exec {' '.join(TUI)} {closed}"])
    assert terminal.ended() == 2
    assert "error: the terminal UI needs a terminal" in terminal.written.decode()
    assert is_restored(terminal)


@pytest.mark.parametrize("to", ["pipe", "file"])
def test_c128_into_a_pipe_or_a_file_it_refuses_in_one_line(environment: dict[str, str], tmp_path: Path, to: str) -> None:
    """What it would draw is no text: nothing comes out, and stderr names a command that does print."""
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            TUI,
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if to == "pipe" else out,
            stderr=subprocess.PIPE,
            timeout=40,
            check=False,
        )
    assert done.returncode == 2
    assert (done.stdout or b"") + (tmp_path / "out").read_bytes() == b""
    error, where, following = done.stderr.decode().splitlines()
    assert error == "error: the terminal UI needs a terminal"
    assert where == "where: omniq-flow tui"
    assert "omniq-flow runs list" in following
