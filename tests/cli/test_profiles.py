"""Profiles: who is named where decides what wins; what a profile may not say is refused; a read-only one changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from omniq_flow.cli.config import Settings, resolve
from omniq_flow.errors import ConfigError
from tests.cli.conftest import Project

PROD = '[profiles.prod]\nurl = "redis://prod"\nread_only = true\ncolor = "red"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    return tmp_path.resolve()


def write(root: Path, text: str) -> Path:
    file = root / "omniq-flow.toml"
    file.write_text(text)
    return file


def refused(root: Path, flags: dict[str, object], env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(flags, env or {}, root)
    return str(caught.value)


def test_a_profile_gives_address_colour_and_whether_it_is_read_only(root: Path) -> None:
    file = write(root, PROD)
    settings = resolve({"profile": "prod"}, {}, root)
    assert (settings.profile, settings.url, settings.read_only, settings.color) == ("prod", "redis://prod", True, "red")
    assert settings.origin["url"] == f"profile prod, {file}:1"
    without = resolve({}, {}, root)
    assert (without.profile, without.url, without.read_only, without.color) == ("", None, False, "")


def test_what_names_a_profile_decides_how_strong_it_is(root: Path) -> None:
    """A single setting of the same place is stronger, any of a weaker place is not."""
    env = {"OMNIQ_FLOW_URL": "redis://variable", "REDIS_URL": "redis://last"}

    def url(flags: dict[str, object], env: dict[str, str], text: str) -> str | None:
        write(root, text + PROD)
        return resolve(flags, env, root).url

    assert url({"profile": "prod", "url": "redis://flag"}, env, "") == "redis://flag"
    assert url({"profile": "prod"}, env, "") == "redis://prod"
    assert url({}, env | {"OMNIQ_FLOW_PROFILE": "prod"}, "") == "redis://variable"
    assert url({}, {"OMNIQ_FLOW_PROFILE": "prod"}, "url = 'redis://file'\n") == "redis://prod"
    assert url({}, {}, "url = 'redis://file'\nprofile = 'prod'\n") == "redis://file"
    assert url({}, {"REDIS_URL": "redis://last"}, "profile = 'prod'\n") == "redis://prod"


def test_profiles_of_the_users_folder_are_hidden_by_those_of_the_project(root: Path, tmp_path: Path) -> None:
    user = tmp_path / "home" / "omniq-flow" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text('[profiles.prod]\nurl = "redis://mine"\n[profiles.lab]\nurl = "redis://lab"\n')
    env = {"XDG_CONFIG_HOME": str(tmp_path / "home")}
    assert resolve({"profile": "prod"}, env, root).url == "redis://mine"
    write(root, PROD)
    assert resolve({"profile": "prod"}, env, root).url == "redis://prod"
    settings: Settings = resolve({"profile": "lab"}, env, root)
    assert (settings.url, settings.origin["url"]) == ("redis://lab", f"profile lab, {user}:3")


def test_pyproject_has_profiles_too(root: Path) -> None:
    (root / "pyproject.toml").write_text('[tool.omniq-flow.profiles.prod]\nurl = "redis://prod"\n')
    assert resolve({"profile": "prod"}, {}, root).url == "redis://prod"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROD, "unknown profile 'prd'; did you mean 'prod'?"),
        ("", "unknown profile 'prd'; there are none"),
        ("[profiles.prd]\nurls = 'redis://x'\n", "unknown setting 'urls'; did you mean 'url'?"),
        ("[profiles.prd]\ncolor = 'rde'\n", "'rde' is none; write #rrggbb, or one of black, red"),
        ("[profiles.prd]\nread_only = 'perhaps'\n", "read_only: 'perhaps' is neither true nor false"),
        ("[profiles.prd]\nurl = 'host'\n", "the server's address cannot be read"),
        ("profiles = 3\n", "must be tables"),
        ("[profiles]\nprd = 3\n", "must be a table"),
    ],
)
def test_what_a_profile_may_not_be_is_refused(root: Path, text: str, reason: str) -> None:
    write(root, text)
    assert reason in refused(root, {"profile": "prd"})


def test_a_misspelt_name_in_the_file_is_still_refused(root: Path) -> None:
    write(root, "profil = 'prod'\n" + PROD)
    assert "unknown setting 'profil'" in refused(root, {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[tui.keys]\nretry = 3\n", "must be a table of texts"), ("[tui]\ncolours = 1\n", "tui: unknown setting 'colours'; known is keys")],
)
def test_the_table_of_the_terminal_ui_has_a_form(root: Path, text: str, reason: str) -> None:
    write(root, text)
    assert reason in refused(root, {})


def test_keys_are_read_as_they_are_written(root: Path) -> None:
    write(root, "[tui.keys]\nretry = 'x'\n")
    assert resolve({}, {}, root).keys == {"retry": "x"}


def test_a_read_only_profile_looks_and_changes_nothing(project: Project, redis_conn: redis.Redis) -> None:
    write(project.root, f'[profiles.prod]\nurl = "{project.url}"\nread_only = true\n')
    assert project("start", "hello").code == 0
    run_id = project("--quiet", "runs", "list").out.split()[0]
    before = {key: redis_conn.dump(key) for key in redis_conn.keys("*")}
    assert project("runs", "show", run_id, "--profile", "prod").code == 0
    assert project("queues", "list", "--profile", "prod").code == 0
    for words in (("start", "hello"), ("runs", "cancel", run_id, "--yes"), ("queues", "pause", "hello"), ("worker",), ("run", "hello")):
        done = project(*words, "--profile", "prod")
        assert done.code == 8, (words, done)
        assert "next: read-only is set by" in done.err or "next: work without read_only" in done.err, done.err
    assert {key: redis_conn.dump(key) for key in redis_conn.keys("*")} == before


def test_a_question_names_the_profile(project: Project) -> None:
    """Here it is refused, as there is nobody to ask."""
    write(project.root, f'[profiles.prod]\nurl = "{project.url}"\n')
    assert project("start", "hello").code == 0
    done = project("runs", "cancel", "@last", "--profile", "prod")
    assert done.code == 8
    assert "(profile prod)" in done.err
