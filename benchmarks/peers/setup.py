"""Makes the environments of the peers, each in a folder of its own, from the usual Python and npm registries.

    python -m benchmarks.peers.setup FOLDER [NAMES...]

Without names all of them are made. One that is there is left as it is; remove its folder to make it anew. What could not be
made is told at the end, and the rest is of use without it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PACKAGES: dict[str, tuple[str, ...]] = {
    "omniq": ("omniq==4.0.0", "hiredis"),
    "celery": ("celery[redis]", "hiredis"),
    "dramatiq": ("dramatiq[redis]", "hiredis"),
    "rq": ("rq", "hiredis"),
    "huey": ("huey", "redis", "hiredis"),
    "saq": ("saq[redis,hiredis]", "typing_extensions", "croniter"),
    "arq": ("arq", "hiredis"),
    "taskiq": ("taskiq", "taskiq-redis", "taskiq-pipelines", "hiredis"),
    "streaq": ("streaq", "hiredis"),
    "docket": ("pydocket", "hiredis"),
}
"""What each Python environment holds; all have the fast parser."""

NODE_PACKAGES: dict[str, tuple[str, ...]] = {"bullmq": ("bullmq", "ioredis")}
READY = "ready"


def is_ready(folder: Path, name: str) -> bool:
    return (folder / name / READY).exists()


def make(folder: Path, name: str) -> None:
    """Make one environment; `CalledProcessError` if a registry refuses, `FileNotFoundError` if a tool is missing."""
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    if name in NODE_PACKAGES:
        place.mkdir(parents=True)
        subprocess.run(["npm", "init", "-y"], cwd=place, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", *NODE_PACKAGES[name]], cwd=place, check=True)
    else:
        venv.create(place, with_pip=True)
        subprocess.run([place / "bin" / "python", "-m", "pip", "install", "-q", *PACKAGES[name]], check=True)
    (place / READY).write_text(versions(place, name))


def versions(place: Path, name: str) -> str:
    """The packages of an environment and their versions, one a line."""
    if name in NODE_PACKAGES:
        command: list[str | Path] = ["npm", "ls", "--depth=0"]
    else:
        command = [place / "bin" / "python", "-m", "pip", "freeze"]
    return subprocess.run(command, cwd=place, check=True, capture_output=True, text=True).stdout


def main() -> None:
    every = [*PACKAGES, *NODE_PACKAGES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAMES", help=" ".join(every))
    options = parser.parse_args()
    if unknown := set(options.names) - set(every):
        parser.error(f"there is no peer {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    folder = options.folder.resolve()
    failed = []
    for name in options.names or every:
        if is_ready(folder, name):
            print(f"{name}: is there", flush=True)
            continue
        try:
            make(folder, name)
            print(f"{name}: made", flush=True)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            failed.append(name)
            print(f"{name}: could not be made: {error}", file=sys.stderr, flush=True)
    if failed:
        raise SystemExit(f"without {', '.join(failed)}")


if __name__ == "__main__":
    main()
