"""Replays vectors against a client and a folder of scripts, and tells what differs.

    python -m tests.conformance.replay --url unix:///path --scripts DIR [--client package.module:Client]

The client is built as `Client(redis=connection, scripts_dir=DIR)`, as OmniQ's own is, and beside it a `QueueMonitor(client)` if
its module has one. The server is emptied.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import json
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import redis

from tests.conformance import kit
from tests.conformance.differences import even_out, why_left_out

VECTORS = Path(__file__).resolve().parent / "vectors"

Vector = dict[str, Any]


def vectors(pattern: str = "*") -> Iterator[Vector]:
    """All vectors whose name fits, by name."""
    for path in sorted(VECTORS.glob("*.json")):
        if fnmatch.fnmatch(path.stem, pattern):
            yield json.loads(path.read_text(encoding="utf-8"))


def sources(folder: Path) -> dict[str, str]:
    """The scripts of a folder by name."""
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.lua")}


def differences(want: kit.State, have: kit.State) -> list[str]:
    """Lines that say where two states differ, down to the field of a hash."""
    out = []
    for key in sorted(want.keys() | have.keys()):
        w, h = want.get(key), have.get(key)
        if w == h:
            continue
        if w and h and w[0] == h[0] == "hash" and w[2:] == h[2:]:
            fields = sorted(w[1].keys() | h[1].keys())
            out += [f"{key} .{f}: want {w[1].get(f)!r}, have {h[1].get(f)!r}" for f in fields if w[1].get(f) != h[1].get(f)]
        else:
            out.append(f"{key}: want {w!r}, have {h!r}")
    return out


def replay(vector: Vector, client: Any, conn: Any, scripts: dict[str, str], *, hints: Collection[str] = ()) -> list[str]:
    """What differs at the first step that differs; `conn` gives bytes, its server is emptied before. `hints` are keys that a client
    of ours may write besides, for its listings.

    Steps of a monitor, which only read, are for a client that has one as its `monitor`.
    """
    conn.flushall()
    quirks = vector.get("quirks", [])
    known = {s["args"]["now_ms"] for s in vector["steps"] if isinstance(s["args"].get("now_ms"), int)}
    for n, step in enumerate(vector["steps"], 1):
        if step["op"].startswith("monitor.") and not hasattr(client, "monitor"):
            continue
        reply = kit.perform(client, conn, step["op"], step["args"], scripts)
        wanted_reply = {k: v for k, v in step["reply"].items() if k != "type"}
        state = {key: entry for key, entry in kit.dump(conn).items() if key not in hints}
        want, have = even_out(quirks, kit.mark_server_time(step["state"], known), kit.mark_server_time(state, known))
        lines = [] if reply == wanted_reply else [f"reply: want {wanted_reply!r}, have {reply!r}"]
        lines += differences(want, have)
        if lines:
            return [f"step {n} {step['op']}", *(f"  {line}" for line in lines)]
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="address of a server that may be emptied")
    parser.add_argument("--scripts", type=Path, required=True, help="folder of <name>.lua")
    parser.add_argument("--client", default="omniq:OmniqClient")
    parser.add_argument("--only", default="*", help="pattern on the vector's name")
    options = parser.parse_args()
    module, _, name = options.client.partition(":")
    text = redis.Redis.from_url(options.url, decode_responses=True)
    package = importlib.import_module(module)
    client = getattr(package, name)(redis=text, scripts_dir=str(options.scripts))
    if hasattr(package, "QueueMonitor"):
        client.monitor = package.QueueMonitor(client)
    conn, scripts = redis.Redis.from_url(options.url), sources(options.scripts)
    passed = failed = left_out = 0
    for vector in vectors(options.only):
        if why_left_out(vector):
            left_out += 1
        elif lines := replay(vector, client, conn, scripts):
            failed += 1
            print("\n  ".join([vector["name"], *lines]))
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed, {left_out} left out")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
