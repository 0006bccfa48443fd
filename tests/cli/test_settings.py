"""Every setting has one value and a known origin; whatever is misspelt or impossible is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from omniq_flow.cli.config import FIELDS, resolve, rows
from omniq_flow.errors import ConfigError, Fault


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "flows").mkdir()
    return tmp_path.resolve()


def write(root: Path, text: str) -> str:
    file = root / "omniq-flow.toml"
    file.write_text(text)
    return str(file)


def faults(root: Path, flags: dict[str, object] | None = None, env: dict[str, str] | None = None) -> tuple[Fault, ...]:
    with pytest.raises(ConfigError) as caught:
        resolve(flags or {}, env or {}, root)
    return caught.value.faults


def test_defaults(root: Path) -> None:
    settings = resolve({}, {}, root)
    assert settings.url is None
    assert settings.concurrency == 16
    assert settings.poll_ms is None
    assert settings.retention_runs == 1000
    assert settings.value_limit == 1_048_576
    assert settings.flows == root / "flows"
    assert settings.connect_timeout == 5.0
    assert not settings.read_only
    assert settings.project.root == root
    assert settings.origin == dict.fromkeys(FIELDS, "default")


def test_the_strongest_source_decides(root: Path) -> None:
    """Flag, then our variable, then the file, then REDIS_URL, then the default."""
    env = {"REDIS_URL": "redis://four"}
    found = []
    for flags, more, text in (
        ({"url": "redis://one"}, {"OMNIQ_FLOW_URL": "redis://two"}, "url = 'redis://three'\n"),
        ({"url": None}, {"OMNIQ_FLOW_URL": "redis://two"}, "url = 'redis://three'\n"),
        ({}, {"OMNIQ_FLOW_URL": ""}, "url = 'redis://three'\n"),
        ({}, {}, ""),
    ):
        write(root, text)
        settings = resolve(flags, {**env, **more}, root)
        found.append((settings.url, settings.origin["url"]))
    assert found == [
        ("redis://one", "flag --url"),
        ("redis://two", "environment OMNIQ_FLOW_URL"),
        ("redis://three", f"{root / 'omniq-flow.toml'}:1"),
        ("redis://four", "environment REDIS_URL"),
    ]


def test_every_setting_can_come_from_every_source(root: Path) -> None:
    texts = {
        "url": "unix:///run/valkey.sock",
        "concurrency": "3",
        "poll": "250ms",
        "retention_runs": "0",
        "value_limit": "2MiB",
        "flows": "mine",
        "connect_timeout": "1.5",
        "read_only": "true",
    }
    assert set(texts) == set(FIELDS)
    by_env = resolve({}, {f"OMNIQ_FLOW_{name.upper()}": text for name, text in texts.items()}, root)
    by_flag = resolve(dict(texts), {}, root)
    write(root, "".join(f'{name} = "{text}"\n' for name, text in texts.items()))
    by_file = resolve({}, {}, root)
    for settings in (by_env, by_flag, by_file):
        assert settings.url == "unix:///run/valkey.sock"
        assert settings.concurrency == 3
        assert settings.poll_ms == 250
        assert settings.retention_runs == 0
        assert settings.value_limit == 2_097_152
        assert settings.flows == root / "mine"
        assert settings.connect_timeout == 1.5
        assert settings.read_only
    assert by_env.origin["poll"] == "environment OMNIQ_FLOW_POLL"
    assert by_flag.origin["connect_timeout"] == "flag --connect-timeout"
    assert by_file.origin["value_limit"].endswith("omniq-flow.toml:5")


def test_numbers_in_the_file_are_numbers(root: Path) -> None:
    write(root, "concurrency = 3\npoll = 0.5\nvalue_limit = 4096\nconnect_timeout = 2\n")
    settings = resolve({}, {}, root)
    assert (settings.concurrency, settings.poll_ms, settings.value_limit, settings.connect_timeout) == (3, 500, 4096, 2.0)


def test_a_relative_path_starts_where_it_was_written(root: Path) -> None:
    """In the file from the root, at the prompt from the current folder."""
    sub = root / "sub"
    assert resolve({}, {}, sub).flows == root / "flows"
    assert resolve({"flows": "mine"}, {}, sub).flows == sub / "mine"
    assert resolve({}, {"OMNIQ_FLOW_FLOWS": "mine"}, sub).flows == sub / "mine"
    assert resolve({"flows": "/abs"}, {}, sub).flows == Path("/abs")
    write(root, "flows = 'mine'\n")
    assert resolve({}, {}, sub).flows == root / "mine"


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        ("url", "localhost:6379", "localhost:6379: the server's address cannot be read"),
        ("url", "http://host", "write redis://"),
        ("url", "redis://host:port", "host or port is malformed"),
        ("concurrency", "0", "0 is too small; 1 is the least"),
        ("concurrency", "-1", "too small"),
        ("concurrency", "many", "'many' is no whole number"),
        ("concurrency", "1.5", "no whole number"),
        ("retention_runs", "-1", "0 is the least"),
        ("poll", "0", "1ms is the least"),
        ("poll", "soon", "'soon' is no duration"),
        ("connect_timeout", "-5", "no duration"),
        ("read_only", "2", "'2' is neither true nor false"),
        ("value_limit", "10", "no size between 1KiB and 512MiB"),
        ("value_limit", "1GiB", "no size"),
        ("value_limit", "513MiB", "no size"),
    ],
)
def test_an_impossible_value_is_refused_with_its_origin(root: Path, name: str, raw: str, reason: str) -> None:
    (fault,) = faults(root, env={f"OMNIQ_FLOW_{name.upper()}": raw})
    assert fault.message.startswith(f"{name}: ")
    assert reason in fault.message
    assert fault.where == f"environment OMNIQ_FLOW_{name.upper()}"


@pytest.mark.parametrize(
    ("name", "raw"), [("concurrency", "true"), ("url", "7"), ("value_limit", "true"), ("poll", "true"), ("flows", "1")]
)
def test_a_value_of_the_wrong_kind_is_refused(root: Path, name: str, raw: str) -> None:
    file = write(root, f"{name} = {raw}\n")
    (fault,) = faults(root)
    assert fault.message.startswith(f"{name}: ")
    assert fault.where == f"{file}:1"


def test_unknown_names_are_refused_with_what_was_meant(root: Path) -> None:
    file = write(root, "concurency = 3\n[colours]\n")
    found = faults(root, {"connect-timeout": 5}, {"OMNIQ_FLOW_RETENTION_RUN": "5"})
    assert found == (
        Fault("unknown setting 'connect-timeout'; did you mean 'connect_timeout'?", "flags"),
        Fault("unknown setting 'retention_run'; did you mean 'retention_runs'?", "environment OMNIQ_FLOW_RETENTION_RUN"),
        Fault("unknown setting 'concurency'; did you mean 'concurrency'?", f"{file}:1"),
        Fault(f"unknown setting 'colours'; known are {', '.join(FIELDS)}", f"{file}:2"),
    )


def test_all_faults_are_reported_at_once(root: Path) -> None:
    write(root, "nonsense = 3\nconcurrency = 0\n")
    assert len(faults(root, env={"OMNIQ_FLOW_POLL": "soon"})) == 3


@pytest.mark.parametrize("name", ["OMNIQ_FLOW_PORT", "OMNIQ_FLOW_SERVICE_HOST", "OMNIQ_FLOW_TEST_URL", "OMNIQ_FLOW_PORT_6379_TCP"])
def test_variables_of_others_with_our_prefix_pass(root: Path, name: str) -> None:
    assert resolve({}, {name: "tcp://10.0.0.1:6379"}, root).url is None


def test_rows_show_value_and_origin_without_secrets(root: Path) -> None:
    shown = {row.name: row for row in rows(resolve({"poll": "2s"}, {"REDIS_URL": "redis://me:secret@host:6379/0"}, root))}
    assert list(shown) == list(FIELDS)
    assert (shown["url"].value, shown["url"].origin) == ("redis://***@host:6379/0", "environment REDIS_URL")
    assert (shown["poll"].value, shown["poll"].origin) == ("2000ms", "flag --poll")
    assert (shown["concurrency"].value, shown["concurrency"].origin) == (16, "default")


def test_a_password_is_masked_in_a_refusal(root: Path) -> None:
    (fault,) = faults(root, env={"REDIS_URL": "http://me:secret@host"})
    assert "secret" not in fault.message
