"""The command in real terminals: under tmux, compared with the command line; in a pty, ended by signals; in a pipe."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.observe.reading import read_run
from tests.observe.drive import Bad, Drive
from tests.observe.flows import pages
from tests.support.server import Server
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


class InPty:
    """A command in a pty of 100 by 30; what it wrote is kept."""

    def __init__(self, argv: list[str], environment: dict[str, str], folder: Path) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder, start_new_session=True
        )
        self.written = b""

    def reads(self, what: bytes, timeout: float = 30.0) -> None:
        """Wait until it has written this."""
        ends_at = time.monotonic() + timeout
        while what not in self.written:
            assert time.monotonic() < ends_at, f"waited in vain for {what!r}; it wrote {self.written[-2000:]!r}"
            self._take(0.1)

    def types(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def ended(self) -> int:
        """Wait for its end; gives the exit code. The terminal must be as it was before."""
        ends_at = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < ends_at:
            self._take(0.05)
        code = self.process.wait(timeout=1)
        self._take(0.2)
        assert termios.tcgetattr(self._theirs) == self.before, "the terminal was left in another mode"
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self._theirs)

    def _take(self, seconds: float) -> None:
        if select.select([self.ours], [], [], seconds)[0]:
            with contextlib.suppress(OSError):
                self.written += os.read(self.ours, 1 << 16)


@pytest.fixture
def in_pty(environment: dict[str, str], tmp_path: Path) -> Iterator[InPty]:
    opened = InPty([sys.executable, "-m", "omniq_flow.cli.main", "tui"], environment, tmp_path)
    yield opened
    opened.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_leaves_the_terminal_as_it_was(in_pty: InPty, number: signal.Signals, code: int) -> None:
    in_pty.reads(b"\x1b[?1049h")
    in_pty.reads(b"NEEDS NOBODY")
    in_pty.process.send_signal(number)
    assert in_pty.ended() == code
    for off in (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[?25h"):
        assert off in in_pty.written


def test_q_ends_it_with_0(in_pty: InPty) -> None:
    in_pty.reads(b"NEEDS NOBODY")
    in_pty.types("q")
    assert in_pty.ended() == 0


def test_text_of_the_server_never_reaches_the_terminal_raw(failed_run: tuple[str, str], in_pty: InPty) -> None:
    in_pty.reads(b"NEEDS YOU")
    in_pty.types("2")
    in_pty.reads("✘ failed".encode())
    in_pty.types("\r")
    in_pty.reads("✘ read".encode())
    in_pty.types("j")
    in_pty.reads(b"OCRTimeout")
    in_pty.types("q")
    assert in_pty.ended() == 0
    for raw in (b"\x1b]52", b"\x1b]0;mine", "\x9b31m".encode()):
        assert raw not in in_pty.written


def test_into_a_pipe_it_says_that_it_needs_a_terminal(environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "omniq_flow.cli.main", "tui"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "needs a terminal" in done.stderr


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


def test_an_unknown_run_is_told_before_the_screen_opens(environment: dict[str, str], tmp_path: Path) -> None:
    opened = InPty([sys.executable, "-m", "omniq_flow.cli.main", "tui", "--run", "@last"], environment, tmp_path)
    try:
        assert opened.ended() == 5
        assert b"there are no runs" in opened.written
    finally:
        opened.close()


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
