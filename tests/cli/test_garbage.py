"""How often Python looks for cycles of garbage: hardly in a short command, as usual in one that works other people's code."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.cli.conftest import Project

FLOW = """
import gc

from omniq_flow import Flow

flow = Flow("gc")


@flow.step
def look() -> list[int]:
    return list(gc.get_threshold())
"""
SAYS = "import gc; before = gc.get_threshold(); import omniq_flow.cli.main; print(before[0], gc.get_threshold()[0])"


def said(code: str) -> list[int]:
    return [int(word) for word in subprocess.check_output([sys.executable, "-c", code], text=True, timeout=30).split()]


def test_a_command_hardly_looks() -> None:
    usual, now = said(SAYS)
    assert now >= 100 * usual


def test_a_step_finds_it_as_usual(project: Project) -> None:
    project.write("collector", FLOW)
    done = project("run", "gc", "--json")
    assert done.code == 0, done.err
    usual = said("import gc; print(*gc.get_threshold())")
    assert usual == json.loads(done.out.splitlines()[-1])["result"]
