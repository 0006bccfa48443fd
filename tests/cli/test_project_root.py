"""A command finds its project from any folder below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from omniq_flow.cli.project import Project
from omniq_flow.errors import ConfigError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    return tmp_path.resolve()


@pytest.mark.parametrize(
    ("mark", "table"),
    [
        (("omniq-flow.toml", "concurrency = 4\n"), {"concurrency": 4}),
        (("omniq-flow.toml", ""), {}),
        (("pyproject.toml", "[tool.omniq-flow]\nconcurrency = 4\n"), {"concurrency": 4}),
        (("pyproject.toml", "[tool.omniq-flow]\n"), {}),
    ],
)
def test_a_settings_file_marks_the_root(root: Path, mark: tuple[str, str], table: dict[str, int]) -> None:
    file = root / "a" / mark[0]
    file.write_text(mark[1])
    assert Project.find(root / "a" / "b" / "c") == Project(root / "a", file, table)


def test_a_folder_of_flows_marks_the_root(root: Path) -> None:
    (root / "a" / "flows").mkdir()
    assert Project.find(root / "a" / "b") == Project(root / "a")


def test_the_nearest_mark_counts(root: Path) -> None:
    (root / "omniq-flow.toml").write_text("concurrency = 4\n")
    (root / "a" / "b" / "flows").mkdir()
    assert Project.find(root / "a" / "b" / "c") == Project(root / "a" / "b")


@pytest.mark.parametrize("text", ["[project]\nname = 'other'\n", "[tool.other]\n", "no toml at all", "tool = 'omniq-flow'\n"])
def test_the_pyproject_of_others_is_no_mark(root: Path, text: str) -> None:
    (root / "a" / "pyproject.toml").write_text(text)
    (root / "flows").mkdir()
    assert Project.find(root / "a") == Project(root)


def test_without_a_mark_the_root_is_the_start(root: Path) -> None:
    assert Project.find(root / "a") == Project(root / "a", is_found=False)


def test_settings_in_two_files_of_one_folder_are_refused(root: Path) -> None:
    (root / "omniq-flow.toml").write_text("")
    (root / "pyproject.toml").write_text("[tool.omniq-flow]\n")
    with pytest.raises(ConfigError, match="two files") as caught:
        Project.find(root)
    assert caught.value.where == str(root)


@pytest.mark.parametrize("name", ["omniq-flow.toml", "pyproject.toml"])
def test_a_broken_file_of_ours_is_reported_with_its_line(root: Path, name: str) -> None:
    (root / name).write_text("[tool.omniq-flow]\nconcurrency = = 4\n")
    with pytest.raises(ConfigError, match=r"no valid TOML: .*line 2") as caught:
        Project.find(root)
    assert caught.value.where == str(root / name)


def test_a_setting_is_placed_by_file_and_line(root: Path) -> None:
    file = root / "pyproject.toml"
    file.write_text("[tool.other]\nurl = 1\n\n[tool.omniq-flow]\n# url is next\nurl = 'x'\n[tool.omniq-flow.colours]\n")
    project = Project.find(root)
    assert project.where("url") == f"{file}:6"
    assert project.where("colours") == f"{file}:7"
    assert project.where("absent") == str(file)
    assert Project(root).where("url") == ""
