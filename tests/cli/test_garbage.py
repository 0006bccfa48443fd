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
    return [*gc.get_threshold(), gc.get_freeze_count()]
"""
SAYS = "import gc; before = gc.get_threshold(); import omniq_flow.cli.main; print(before[0], gc.get_threshold()[0])"


def said(code: str) -> list[int]:
    return [int(word) for word in subprocess.check_output([sys.executable, "-c", code], text=True, timeout=30).split() if word.isdigit()]


def test_a_command_hardly_looks() -> None:
    usual, now = said(SAYS)
    assert now >= 100 * usual


def test_a_command_that_ends_leaves_nothing_to_look_at() -> None:
    """What is registered for the end still runs, with all that there is set aside from the search."""
    ends = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count(), len(gc.get_objects())))"
    call = "import sys; sys.argv = ['omniq-flow', 'version', '--quiet']; from omniq_flow.cli.main import main; main()"
    aside, left = said(f"{ends}; {call}")[-2:]
    assert aside > 10_000
    assert left < 1_000


def test_a_step_finds_it_as_usual_but_for_what_was_loaded_before(project: Project) -> None:
    project.write("collector", FLOW)
    done = project("run", "gc", "--json")
    assert done.code == 0, done.err
    usual = said("import gc; print(*gc.get_threshold())")
    *found, aside = json.loads(done.out.splitlines()[-1])["result"]
    assert found == usual
    assert aside > 10_000
