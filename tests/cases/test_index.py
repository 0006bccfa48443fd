"""docs/cases.md and the files of this folder name the same cases."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "cases.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (C\d\d+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)


def case_of(path: Path) -> str:
    return path.name.split("_")[1].capitalize()


def number_of(case: str) -> int:
    return int(case[1:])


FILES = sorted(HERE.glob("test_c[0-9]*.py"), key=lambda path: number_of(case_of(path)))


def test_every_case_of_the_page_has_its_file_and_every_file_its_row() -> None:
    named = [case for case, _, _ in ROWS]
    assert named == sorted(set(named), key=number_of)
    assert [case_of(path) for path in FILES] == named


@pytest.mark.parametrize("path", FILES, ids=case_of)
def test_a_file_opens_with_its_case_and_its_tests_bear_the_number(path: Path) -> None:
    """Each test says in its docstring what is right."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    assert (ast.get_docstring(module) or "").startswith(f"{case_of(path)}: ")
    tests = [
        node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert tests
    for test in tests:
        assert test.name.startswith(f"test_{case_of(path).lower()}_")
        assert ast.get_docstring(test), test.name


def test_policies_and_invariants_are_listed_in_order() -> None:
    assert re.findall(r"^- \*\*([PS]\d)\*\* ", PAGE, re.MULTILINE) == [f"P{n}" for n in range(1, 10)] + [f"S{n}" for n in range(1, 9)]
