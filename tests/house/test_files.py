"""What holds for every file of the project."""

from __future__ import annotations

import ast
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "omniq_flow"
MODULES = sorted(PACKAGE.rglob("*.py"))
INNER_INITS = sorted(PACKAGE.glob("*/**/__init__.py"))
FOLDERS = ("omniq_flow", "flows", "tests", "docs", "benchmarks", ".ci")


def texts() -> Iterator[tuple[Path, str]]:
    """Every text file of the project; what tools leave behind is not part of it."""
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in files:
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_a_docstring_of_one_sentence_or_more(path: Path) -> None:
    first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    assert first.rstrip().endswith((".", ":")), f"{first!r}"


@pytest.mark.parametrize("path", INNER_INITS, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_inner_init_holds_a_docstring_only(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    if path.parent.name in ("client", "testing"):  # they are imported from by name
        body = [node for node in body if not isinstance(node, (ast.ImportFrom, ast.Assign, ast.If, ast.FunctionDef))]
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


def test_no_file_names_a_place_of_the_machine_it_was_written_on() -> None:
    places = [f"/{name}/" for name in ("work", "farm", "root")] + ["pypi" + ".org", "npmjs" + ".org"]
    found = [f"{path.relative_to(ROOT)}: {place}" for path, text in texts() for place in places if place in text]
    assert found == []


def test_scripts_and_types_are_part_of_the_package() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert list(PACKAGE.rglob("*.lua"))
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_version_is_the_newest_of_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    headings = [line[3:].split()[0] for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert headings[0] == "Unreleased"
    assert headings[1] == project["version"]


def test_the_base_needs_ten_packages_at_most() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {requirement.split(">")[0] for requirement in project["dependencies"]}
    assert {"redis", "pydantic", "python-ulid", "networkx", "textual"} <= names
    assert len(names) <= 10
