"""What interoperation is tested with, made once and kept under `.interop/`: the real OmniQ client, a Redis 7.0, a browser.

The client lives in an environment of its own: its dependency `ulid-py` replaces a module of `python-ulid`, and OmniQ is
GPL-3. It runs as a separate program, or its scripts run on a server; nothing of it is copied.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".interop"
OMNIQ = "omniq==4.0.0"
PACKAGES = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1")
BROWSER = "chromium-headless-shell"
# Of what it needs, what Debian's images have in any case, and what must be the system's own.
SYSTEMS_OWN = re.compile(
    r"(?!lib|chromium|fontconfig-config|fonts-dejavu-core)|lib(c6|c-bin|gcc-s1|stdc|pam|systemd0|selinux|debconf|perl)"
)
OLDEST_REDIS = (7, 0)


class NotHere(Exception):
    """The system has no way to get it; says what was looked for."""


def omniq_python() -> Path:
    """An interpreter that has the real client."""
    return _once("omniq-4.0.0", _make_omniq) / "bin" / "python"


def omniq_scripts() -> Path:
    """The folder of the real client's scripts."""
    found = sorted(omniq_python().parent.parent.glob("lib/python*/site-packages/omniq/**/reserve.lua"))
    assert len(found) == 1, found
    return found[0].parent


def redis_server() -> Path:
    """An old Redis: `OMNIQ_FLOW_TEST_REDIS7`, else Debian's package unpacked, else the one on the PATH.

    Nothing is installed, and no root is needed. `NotHere` without apt, or where the package is older than Redis 7.0.
    """
    if given := os.environ.get("OMNIQ_FLOW_TEST_REDIS7"):
        return Path(given)
    if shutil.which("apt-get") and shutil.which("dpkg"):
        return _checked(_once("redis", _unpack_redis) / "server")
    if installed := shutil.which("redis-server"):
        return _checked(Path(installed))
    raise NotHere("no apt-get, and no redis-server on the PATH")


def browser() -> Path:
    """A Chromium without a window: `OMNIQ_FLOW_TEST_BROWSER`, else Debian's package unpacked, else the one on the PATH.

    Nothing is installed, and no root is needed. `NotHere` without any of these.
    """
    if given := os.environ.get("OMNIQ_FLOW_TEST_BROWSER"):
        return Path(given)
    if shutil.which("apt-cache") and shutil.which("dpkg"):
        return _once("browser", _unpack_browser) / "browser"
    for name in (BROWSER, "chromium", "chromium-browser", "google-chrome"):
        if installed := shutil.which(name):
            return Path(installed)
    raise NotHere("no apt-cache, and no chromium on the PATH")


def serving() -> Path:
    """A folder with textual-serve and what it needs, to be put before the packages of this environment."""
    return _once("serving", _make_serving)


def redis_version(server: Path) -> tuple[int, ...]:
    told = subprocess.run([server, "--version"], check=True, capture_output=True, text=True, timeout=10).stdout
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", told)
    assert found, told
    return tuple(map(int, found.groups()))


def _checked(server: Path) -> Path:
    if (version := redis_version(server)) < OLDEST_REDIS:
        raise NotHere(f"{server} is Redis {'.'.join(map(str, version))}, 7.0 is the oldest that is supported")
    return server


def _once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, at the first call of whichever process comes first."""
    HOME.mkdir(exist_ok=True)
    folder = HOME / name
    with _alone(HOME / f"{name}.lock"):
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "made").touch()
    return folder


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_omniq(folder: Path) -> None:
    venv.create(folder, with_pip=True)
    _run(folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", OMNIQ)


def _make_serving(folder: Path) -> None:
    # The same Textual as here, which it would replace by another one.
    same = f"textual=={version('textual')}"
    _run(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", folder, "textual-serve>=1.1", same)


def _unpack_redis(folder: Path) -> None:
    _unpack(folder, lambda own: PACKAGES)
    _program(folder, "server", "usr/bin/redis-server")


def _unpack_browser(folder: Path) -> None:
    _unpack(folder, _needed_by_browser)
    _program(folder, "browser", f"usr/lib/chromium/{BROWSER}")


def _needed_by_browser(own: Sequence[str]) -> list[str]:
    """The package and all that it depends on, but for what is the system's own."""
    kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances", "pre-depends")
    listing = ["apt-cache", *own, "depends", "--recurse", *(f"--no-{kind}" for kind in kinds), BROWSER]
    told = subprocess.run(listing, check=True, capture_output=True, text=True, timeout=60).stdout
    names = {line for line in told.splitlines() if line[:1].isalnum()}
    if BROWSER not in names:
        raise subprocess.CalledProcessError(1, listing)
    return sorted(name for name in names if not SYSTEMS_OWN.match(name))


def _unpack(folder: Path, names: Callable[[Sequence[str]], Sequence[str]]) -> None:
    """The files of packages, under `files`."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    own = [f"-oDir::State::lists={folder / 'lists'}", f"-oDir::Cache={folder / 'cache'}", "-oAPT::Sandbox::User="]
    try:
        _run("apt-get", "download", *names([]), cwd=folder)
    except subprocess.CalledProcessError:
        # A fresh machine knows of no packages yet; to tell the system of them would need root.
        _run("apt-get", *own, "update", "-q")
        _run("apt-get", *own, "download", *names(own), cwd=folder)
    for package in folder.glob("*.deb"):
        _run("dpkg", "-x", package, folder / "files")
        package.unlink()


def _program(folder: Path, name: str, path: str) -> None:
    """A program that starts an unpacked one with the libraries among the files."""
    libraries = {path.parent for path in (folder / "files").rglob("*.so*")}
    program = folder / name
    search = ":".join(map(str, sorted(libraries)))
    program.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={search} exec {folder}/files/{path} "$@"\n')
    program.chmod(0o755)


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True, timeout=240, stdout=sys.stderr)
