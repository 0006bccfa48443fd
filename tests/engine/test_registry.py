"""Flows are found in files; what does not load is told with file and line and hides nothing else."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from omniq_flow.engine.registry import Registry
from omniq_flow.errors import FlowLoadError
from omniq_flow.model.plan import InputPlan

FLOW = """
from omniq_flow import Flow, result
flow = Flow("{name}")

@flow.step
def one() -> int:
    return 1

@flow.step
def two(n: int = result(one)) -> int:
    return n + 1
"""


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def test_every_file_is_loaded_and_none_hides_a_module(tmp_path: Path) -> None:
    write(tmp_path, "json.py", FLOW.format(name="first"))
    write(tmp_path, "mail.py", FLOW.format(name="second"))
    write(tmp_path, "_draft.py", "raise RuntimeError")
    registry = Registry.load(tmp_path)
    assert list(registry.flows) == ["first", "second"]
    assert registry.faults == ()
    assert registry.queues == ("first", "second")
    assert registry.serves == {"first": ["one", "two"], "second": ["one", "two"]}
    import json

    assert json.loads("1") == 1


def test_a_quick_edit_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same length, in the same second: Python would take the compilation that it kept."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    write(tmp_path, "shop.py", FLOW.format(name="old"))
    assert list(Registry.load(tmp_path).flows) == ["old"]
    was = (tmp_path / "shop.py").stat()
    write(tmp_path, "shop.py", FLOW.format(name="new"))
    os.utime(tmp_path / "shop.py", (was.st_atime, was.st_mtime))
    assert list(Registry.load(tmp_path).flows) == ["new"]


def test_a_missing_folder_has_no_flows(tmp_path: Path) -> None:
    assert Registry.load(tmp_path / "none").flows == {}


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("x = 1\ny = (\n", "SyntaxError: '(' was never closed", 2),
        ("import math\n\nmath.sqrt(-1)\n", "ValueError: math domain error", 3),
        ("def f():\n    raise KeyError('k')\n\nf()\n", "KeyError: 'k'", 2),
        ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of_this_name'", 1),
        ("raise SystemExit(3)\n", "SystemExit: 3", 1),
        ("class E(Exception):\n    def __str__(self): raise E\n\nraise E\n", "E", 4),
    ],
)
def test_a_file_that_fails_is_told_with_its_line(tmp_path: Path, text: str, message: str, line: int) -> None:
    write(tmp_path, "bad.py", text)
    write(tmp_path, "good.py", FLOW.format(name="good"))
    registry = Registry.load(tmp_path)
    assert list(registry.flows) == ["good"]
    (fault,) = registry.faults
    assert fault.message == message
    assert fault.where.endswith(f"bad.py:{line}")
    with pytest.raises(FlowLoadError, match="1 fault"):
        registry.raise_faults()


def test_a_wrong_wiring_is_a_fault_of_its_flow(tmp_path: Path) -> None:
    write(tmp_path, "bad.py", FLOW.format(name="bad").replace("n: int", "n: str"))
    write(tmp_path, "good.py", FLOW.format(name="good"))
    registry = Registry.load(tmp_path)
    assert list(registry.flows) == ["good"]
    assert [f.message for f in registry.faults] == ["two: result(one) gives int, but parameter n is str"]


def test_two_flows_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.py", FLOW.format(name="twice"))
    write(tmp_path, "b.py", FLOW.format(name="twice"))
    registry = Registry.load(tmp_path)
    (fault,) = registry.faults
    assert "twice" in fault.message
    assert "a.py:3" in fault.message
    assert fault.where.endswith("b.py:3")


def test_a_flow_that_another_file_imports_is_one_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path, "base_of_both.py", FLOW.format(name="base"))
    write(tmp_path, "user_of_base.py", "from base_of_both import flow\n")
    registry = Registry.load(tmp_path)
    assert list(registry.flows) == ["base"]
    assert registry.faults == ()


def test_code_is_found_by_flow_step_and_parameter_names(tmp_path: Path) -> None:
    write(tmp_path, "f.py", FLOW.format(name="f"))
    registry = Registry.load(tmp_path)
    two = registry.flows["f"].plan().by_name["two"]
    found = registry.find("f", two)
    assert found is not None
    assert found.step.name == "two"
    assert registry.find("f", two) is found
    assert registry.find("g", two) is None
    assert registry.find("f", replace(two, name="three")) is None
    assert registry.find("f", replace(two, inputs=(InputPlan("m", "result", "one"),))) is None
    # Where a value comes from is the stored plan's business.
    assert registry.find("f", replace(two, inputs=(InputPlan("n", "result", "other"), InputPlan("after:x", "after", "x")))) is found
