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

Checker = Callable[[list[Path]], dict[str, set[int]]]
"""The lines of each file that a checker refuses. One look at several costs little more than at one."""


def mypy(files: list[Path]) -> dict[str, set[int]]:
    command = ["mypy", "--config-file=", "--strict", "--no-error-summary", "--cache-dir", str(ROOT / ".mypy_cache" / "wiring")]
    run = subprocess.run([sys.executable, "-m", *command, *files], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return {file.name: {int(line) for line in re.findall(rf"{file.name}:(\d+): error", run.stdout)} for file in files}


def pyright(files: list[Path]) -> dict[str, set[int]]:
    command = ["pyright", "--pythonpath", sys.executable, "--outputjson"]
    run = subprocess.run([sys.executable, "-m", *command, *files], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    errors = [d for d in json.loads(run.stdout)["generalDiagnostics"] if d["severity"] == "error"]
    return {file.name: {d["range"]["start"]["line"] + 1 for d in errors if Path(d["file"]).name == file.name} for file in files}


def test_right_wirings_make_a_plan() -> None:
    """The plan's own check of types agrees with the type checkers."""
    assert len(good_wiring.flow.plan().steps) == 8


@pytest.mark.parametrize("checker", [mypy, pyright])
@pytest.mark.timeout(240)
def test_right_wirings_are_accepted_and_wrong_ones_refused_on_their_lines(checker: Checker, tmp_path: Path) -> None:
    text = (HERE / "bad_wiring.txt").read_text()
    (tmp_path / "bad_wiring.py").write_text(text)
    marked = {n for n, line in enumerate(text.splitlines(), 1) if line.endswith("# refused")}
    assert len(marked) == 25
    assert checker([HERE / "good_wiring.py", tmp_path / "bad_wiring.py"]) == {"good_wiring.py": set(), "bad_wiring.py": marked}
