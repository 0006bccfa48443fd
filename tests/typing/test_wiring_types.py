"""mypy and pyright see a wrong wiring before any run, and accept every right one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.typing import good_wiring

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

Checker = Callable[[Path], set[int]]
"""The lines of a file that a checker refuses."""


def mypy(file: Path) -> set[int]:
    command = ["mypy", "--config-file=", "--strict", "--no-error-summary", "--cache-dir", str(ROOT / ".mypy_cache" / "wiring"), str(file)]
    run = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return {int(line) for line in re.findall(rf"{file.name}:(\d+): error", run.stdout)}


def pyright(file: Path) -> set[int]:
    command = ["pyright", "--pythonpath", sys.executable, "--outputjson", str(file)]
    run = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found = json.loads(run.stdout)["generalDiagnostics"]
    return {d["range"]["start"]["line"] + 1 for d in found if d["severity"] == "error"}


checkers = pytest.mark.parametrize("checker", [mypy, pyright])


@checkers
@pytest.mark.timeout(240)
def test_right_wirings_are_accepted(checker: Checker) -> None:
    assert checker(HERE / "good_wiring.py") == set()


def test_right_wirings_make_a_plan() -> None:
    """The plan's own check of types agrees with the type checkers."""
    assert len(good_wiring.flow.plan().steps) == 8


@checkers
@pytest.mark.timeout(240)
def test_wrong_wirings_are_refused_on_their_lines(checker: Checker, tmp_path: Path) -> None:
    text = (HERE / "bad_wiring.txt").read_text()
    (tmp_path / "bad_wiring.py").write_text(text)
    marked = {n for n, line in enumerate(text.splitlines(), 1) if line.endswith("# refused")}
    assert len(marked) == 25
    assert checker(tmp_path / "bad_wiring.py") == marked
