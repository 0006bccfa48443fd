"""`tui --serve`: what is refused, and what is served; textual-serve itself is not needed for that."""

from __future__ import annotations

import shlex
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from omniq_flow.cli.main import run
from omniq_flow.tui import serve

ADDRESS = "127.0.0.1:8787"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """What would be served, where the package is installed."""
    calls: list[tuple[str, int, str]] = []
    package = ModuleType("textual_serve")
    package.__spec__ = ModuleSpec("textual_serve", None)
    monkeypatch.setitem(sys.modules, "textual_serve", package)
    monkeypatch.setattr(serve, "serve", lambda *args: calls.append(args))
    monkeypatch.setenv("OMNIQ_FLOW_URL", "redis://:secret@127.0.0.1:1")
    return calls


def test_without_the_package_it_tells_how_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    assert run(["tui", "--serve", ADDRESS]) == 2
    said = capsys.readouterr()
    assert "needs the package textual-serve" in said.err
    assert "pip install 'omniq-flow[serve]'" in said.err
    assert said.out == ""


@pytest.mark.parametrize("address", ["8787", ":8787", "localhost:", "localhost:no", "localhost:70000", "localhost:\u0664"])
def test_what_is_no_address_is_refused(address: str, served: list[tuple[str, int, str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tui", "--serve", address]) == 2
    assert "is no address" in capsys.readouterr().err
    assert not served


@pytest.mark.parametrize("args", [["--allow-changes"], ["--serve", ADDRESS, "--allow-changes", "--read-only"]])
def test_changes_are_allowed_only_where_that_means_something(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tui", *args]) == 2
    assert "--allow-changes goes with --serve" in capsys.readouterr().err


def test_it_is_read_only_unless_told(served: list[tuple[str, int, str]]) -> None:
    """No list of processes shows the password of the server."""
    assert run(["tui", "--serve", ADDRESS, "--run", "@last"]) == 0
    assert run(["tui", "--serve", ADDRESS, "--allow-changes"]) == 0
    (host, port, first), (_, _, second) = served
    assert (host, port) == ("127.0.0.1", 8787)
    assert shlex.split(first)[-4:] == ["tui", "--run", "@last", "--read-only"]
    assert shlex.split(second)[-1] == "tui"
    assert "secret" not in first
