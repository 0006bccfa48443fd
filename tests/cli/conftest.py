"""A project with flows, and the real command run in it as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from tests.server.conftest import end_servers
from tests.support.server import Server

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30

FLOWS = '''
from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import BaseModel

from omniq_flow import Flow, Retry, each, gather, result

ONCE = Retry(attempts=1)


class Guest(BaseModel):
    name: str = "World"


hello = Flow("hello", input=Guest)


@hello.step
def greet(guest: Guest) -> str:
    return f"Hello, {guest.name}!"


@hello.step
def shout(greeting: str = result(greet)) -> str:
    return greeting.upper()


class Book(BaseModel):
    pages: int
    bad: list[int] = []
    author: Guest = Guest()


book = Flow("book", input=Book, retry=ONCE)


@book.step
def split(book: Book) -> list[int]:
    return list(range(book.pages))


@book.step
def read(book: Book, page: int = each(split)) -> int:
    if page in book.bad:
        raise ValueError(f"bad page {page}")
    return page * 10


@book.step
def cover(book: Book) -> str:
    return "cover"


@book.step
def bind(front: str = result(cover), pages: list[int] = gather(read)) -> list[int]:
    return pages


odd = Flow("odd", retry=ONCE)


@odd.step
def noisy() -> str:
    print("a handler prints")
    os.system("echo a child prints")
    raise ValueError("red \\x1b[31m alert\\x1b[0m \\u202egnp.exe\\nsecond line")


class Gate(BaseModel):
    file: str


def hold(gate: Gate) -> str:
    """Tell that it began, and end once it may."""
    Path(gate.file + ".began").touch()
    while not Path(gate.file).exists():
        time.sleep(0.01)
    return "open"


gated = Flow("gated", input=Gate, queue="gates")
last_gate = Flow("last_gate", input=Gate, queue="gates")
held = gated.step(hold)
last_gate.step(hold)


@gated.step
def behind(word: str = result(held)) -> str:
    return word
'''


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        assert self.out.count("\n") == 1, self
        return json.loads(self.out)

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Project:
    """A folder with flows. Commands use its own server unless `url` is set."""

    def __init__(self, root: Path, url: str = "") -> None:
        self.root = root
        self.url = url
        self.flows = root / "flows"
        self.flows.mkdir()
        self.write("shop", FLOWS)

    def write(self, name: str, text: str) -> None:
        (self.flows / f"{name}.py").write_text(text, encoding="utf-8")

    def __call__(self, *args: str, given: str | bytes | None = None, env: dict[str, str] | None = None) -> Done:
        """Run a command to its end."""
        raw = given.encode() if isinstance(given, str) else given
        done = subprocess.run(
            self._argv(args),
            cwd=self.root,
            env=self.env | (env or {}),
            input=raw,
            stdin=None if raw is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def begin(self, *args: str) -> subprocess.Popen[str]:
        """Start a command and let it run."""
        return subprocess.Popen(
            self._argv(args),
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _argv(self, args: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "omniq_flow.cli.main", *args]

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMNIQ_FLOW_", "REDIS_URL"))}
        url = {"OMNIQ_FLOW_URL": self.url} if self.url else {}
        return {**kept, **url, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def project(tmp_path: Path, server: Server, redis_conn: redis.Redis) -> Project:
    """A project that is set to use the server of the tests."""
    return Project(tmp_path, server.url)


@pytest.fixture
def own_server_project(tmp_path: Path) -> Iterator[Project]:
    """A project without an address: its commands share a server of its own."""
    yield Project(tmp_path)
    end_servers(tmp_path)


@pytest.fixture
def background(project: Project) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts commands that are killed when the test is over."""
    started: list[subprocess.Popen[str]] = []

    def begin(*args: str) -> subprocess.Popen[str]:
        started.append(project.begin(*args))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def dump(redis_conn: redis.Redis) -> Callable[[], dict[bytes, Any]]:
    """Calling it gives all keys of the server with their contents."""

    def read() -> dict[bytes, Any]:
        return {key: redis_conn.dump(key) for key in cast("list[bytes]", redis_conn.keys("*"))}

    return read
