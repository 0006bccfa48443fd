"""`omniq-flow tui --serve` in a real browser: what it shows, that keys reach it, and that looking changes nothing."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.ops import keys
from omniq_flow.ops.admin import is_paused
from omniq_flow.ops.jobs import publish
from tests.interop.environment import ROOT, browser, serving
from tests.support.server import Server, free_port
from tests.support.until import wait_until

pytestmark = pytest.mark.interop
# The browser talks over the descriptors 3 and 4.
TALKS = "import os, sys; a, b = (os.dup2(int(n), 20 + i) for i, n in enumerate(sys.argv[1:3])); os.dup2(a, 3); os.dup2(b, 4)"
TALKS += "; os.execv(sys.argv[3], sys.argv[3:])"


class Browser:
    """One page in a Chromium without a window, by its own protocol over a pair of pipes."""

    def __init__(self, program: Path, folder: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        options = ("--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={folder}")
        argv = [sys.executable, "-c", TALKS, str(theirs_in), str(theirs_out), str(program), *options]
        self.process = subprocess.Popen(argv, pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest = b""
        self._asked = 0
        self._session: dict[str, str] = {}
        self.heard = ""
        """All that the server has sent to the page, as text."""

    def open(self, url: str) -> None:
        target = self.call("Target.createTarget", url="about:blank", width=1200, height=800)["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        self.call("Network.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.call("Page.navigate", url=url)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer; what is told meanwhile is noted."""
        self._asked += 1
        os.write(self._out, json.dumps({"id": self._asked, "method": method, "params": params, **self._session}).encode() + b"\0")
        while True:
            told = self._next()
            self._note(told)
            if told.get("id") == self._asked:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result

    def shows(self, text: str) -> bool:
        """Whether this text has reached the page."""
        self.value("0")
        return text in self.heard

    def value(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def presses(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=ord(key.upper()), **text)

    def picture(self) -> str:
        """What the page looks like now, as the text of a PNG."""
        return str(self.call("Page.captureScreenshot")["data"])

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self._in)
        os.close(self._out)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._in], [], [], 30)[0], "the browser says nothing any more"
            piece = os.read(self._in, 1 << 16)
            assert piece, "the browser has ended"
            self._rest += piece
        one, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(one)
        return found

    def _note(self, told: dict[str, Any]) -> None:
        if told.get("method") == "Network.webSocketFrameReceived":
            self.heard += _plain(told["params"]["response"])


def _plain(response: dict[str, Any]) -> str:
    """The text of a frame; one that is no text comes in base64."""
    payload = str(response["payloadData"])
    return base64.b64decode(payload).decode(errors="replace") if response["opcode"] == 2 else payload


@pytest.fixture
def page(server: Server, redis_conn: redis.Redis, client: Client, tmp_path: Path) -> Iterator[Browser]:
    """The terminal UI over a queue with one job, served and opened."""
    redis_conn.sadd(keys.QUEUES, "mail")
    client.execute(publish("mail", {}))
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMNIQ_FLOW_", "REDIS_URL"))}
    environment = {**kept, "OMNIQ_FLOW_URL": server.url, "PYTHONPATH": f"{ROOT}:{serving()}", "XDG_STATE_HOME": str(tmp_path / "state")}
    argv = [sys.executable, "-m", "omniq_flow.cli.main", "tui", "--serve", f"127.0.0.1:{port}"]
    program = browser()
    log = tmp_path / "log"
    with log.open("wb") as out:
        served = subprocess.Popen(argv, cwd=tmp_path, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    opened = Browser(program, tmp_path / "profile")
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}/") or served.poll() is not None, "it is served", 40)
        assert served.poll() is None, log.read_text()
        opened.open(f"http://127.0.0.1:{port}/")
        yield opened
        served.send_signal(signal.SIGINT)
        assert served.wait(20) in (0, 130)
    finally:
        opened.close()
        served.kill()
        served.wait(10)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError):
        return False


@pytest.mark.timeout(240)
def test_it_is_shown_it_hears_and_it_only_looks(page: Browser, client: Client) -> None:
    """The first screen is painted; a key opens another one, p changes nothing, q ends the session and the page says so."""
    wait_until(lambda: page.shows("no worker serves it"), "the overview has come", 40)
    assert page.shows("RO"), "it is read-only unless told"
    wait_until(lambda: page.value("document.querySelectorAll('canvas').length") > 0, "there is a terminal in the page", 20)
    page.value("document.querySelector('textarea').focus()")
    before = page.picture()
    page.presses("p")
    wait_until(lambda: page.shows("this is read-only"), "it says that it only looks", 20)
    assert not client.execute(is_paused("mail"))
    page.presses("3")
    wait_until(lambda: page.shows("payload"), "the jobs are shown", 20)
    began = time.monotonic()
    wait_until(lambda: page.picture() != before or time.monotonic() > began + 15, "the page looks otherwise", 20)
    assert page.picture() != before
    page.presses("q")
    closed = "getComputedStyle(document.querySelector('.closed-dialog')).display !== 'none'"
    wait_until(lambda: page.value(f"{closed} && document.body.innerText.includes('Session ended')"), "the page says that it is over", 20)
