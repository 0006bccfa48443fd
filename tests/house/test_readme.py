"""The README's two commands are what a newcomer pastes, and what `.ci/run` runs."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from omniq_flow.cli.config import FIELDS

ROOT = Path(__file__).parents[2]

TRY = (
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[embedded]' "
    "&& .venv/bin/omniq-flow run doc_pipeline --set path=README.md"
)  # fmt: skip
TEST = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest"


def readme_command(root: Path, number: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / ".ci" / "readme_command.py"), str(number)], capture_output=True, text=True, check=False
    )


def copied(tmp_path: Path, readme: str) -> Path:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "readme_command.py").write_text((ROOT / ".ci" / "readme_command.py").read_text())
    (tmp_path / "README.md").write_text(readme)
    return tmp_path


def test_the_two_commands_stand_alone_on_their_lines() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "-m venv" in line] == [TRY, TEST]


@pytest.mark.parametrize(("number", "command"), [(1, TRY), (2, TEST)])
def test_the_script_gives_a_command_as_it_stands(number: int, command: str) -> None:
    assert readme_command(ROOT, number).stdout == f"{command}\n"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_script_refuses_a_readme_without_exactly_two(tmp_path: Path, count: int) -> None:
    done = readme_command(copied(tmp_path, f"{TEST}\n" * count), 2)
    assert done.returncode == 1
    assert f"has {count} lines" in done.stderr
    assert done.stdout == ""


def test_the_example_is_a_flow(tmp_path: Path) -> None:
    (code,) = re.findall(r"(?s)```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"))
    file = tmp_path / "lengths.py"
    file.write_text(code)
    flow = runpy.run_path(str(file))["flow"]
    assert [step.name for step in flow.plan().steps] == ["split", "measure", "total"]


def test_the_settings_are_all_listed_in_order() -> None:
    table = re.findall(r"(?m)^\| `(\w+)` \| .* \| (.*) \|$", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert table == [(name, field.help) for name, field in FIELDS.items()]


def test_ci_runs_the_readmes_second_command_last_of_the_checks() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    order = ["ruff check .", "ruff format --check .", "bin/mypy", "lint-imports", "readme_command.py 2", 'bash -c "$tests"', "-m interop"]
    places = [script.index(part) for part in order]
    assert places == sorted(places)
    assert "pytest\n" not in script.replace("-m interop", ""), "the tests run by the README's command only"


def test_ci_ends_at_the_first_failure(tmp_path: Path) -> None:
    """A run with a failing linter never gets to the tests."""
    root = copied(tmp_path, f"{TRY}\n{TEST}\n")
    (root / ".ci" / "run").write_text((ROOT / ".ci" / "run").read_text())
    tools = root / "tools"
    tools.mkdir()
    (tools / "python3").write_text(
        f"#!/bin/sh\nmkdir -p .venv/bin\ncp tools/tool .venv/bin/pip\ncp tools/ruff .venv/bin/ruff\nexec {sys.executable} -c ''\n"
    )
    (tools / "tool").write_text('#!/bin/sh\necho "tool: $*"\n')
    (tools / "ruff").write_text('#!/bin/sh\necho "ruff: $*"\nexit 3\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    done = subprocess.run(
        ["bash", str(root / ".ci" / "run")], capture_output=True, text=True, check=False, env={"PATH": f"{tools}:/usr/bin:/bin"}
    )
    assert done.returncode == 3
    assert done.stdout == "\n==> install\ntool: install -q -e .[test]\n\n==> lint\nruff: check .\n"
