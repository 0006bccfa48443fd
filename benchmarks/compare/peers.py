"""Which peers there are, with the settings that suit each best; `peers/setup.py` installs them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.compare.bench import Peer

OURS = "omniq_flow"
FLOOR = "floor"

PEERS = (
    Peer(OURS),
    Peer(OURS, "c100"),
    Peer(OURS, "threads"),
    # It works plain jobs and nothing else.
    Peer(OURS, "consume", leaves_out=("w2", "hop", "w3", "w6")),
    Peer(FLOOR, leaves_out=("w3",)),
    Peer(FLOOR, "flow", leaves_out=("w1", "w1x2", "w3", "w4", "w5", "w6", "rtt")),
    Peer("omniq", most_jobs=10_000),
    Peer("omniq", "tuned", most_jobs=10_000),
    Peer("celery", "prefork2", most_jobs=10_000),
    Peer("dramatiq", "fast", most_jobs=10_000),
    Peer("rq", "simple", most_jobs=3_000),
    Peer("huey", "t1"),
    Peer("huey", "t8"),
    Peer("saq"),
    Peer("arq", "tuned"),
    Peer("taskiq", "list"),
    Peer("streaq"),
    # A backlog is drained to the end only with its defaults, and very slowly; see its file.
    Peer("docket", most_jobs=500, leaves_out=("w2", "hop", "w3", "w4", "w5", "w6")),
    Peer("docket", "fast", leaves_out=("w1", "w1x2")),
    Peer("bullmq"),
)
"""In the order of the table."""


def chosen(names: list[str], folder: Path | None) -> list[Peer]:
    """The peers that are named, as `huey` (with all its variants), `huey:t1`, or `saq:` for the plain one; without names, all that
    are installed.

    `SystemExit` for one that is not known, or is named and not installed.
    """
    if unknown := set(names) - {peer.name for peer in PEERS} - {peer.setting for peer in PEERS}:
        known = ", ".join(peer.setting for peer in PEERS)
        raise SystemExit(f"there is no peer {', '.join(sorted(unknown))}; there are {known}")
    found = []
    for peer in PEERS:
        is_named = bool({peer.name, peer.setting} & set(names))
        if names and not is_named:
            continue
        if peer.name in (OURS, FLOOR):
            found.append(peer)
        elif folder is not None and (folder / peer.name / "ready").exists():
            place = str((folder / peer.name).resolve())
            found.append(Peer(peer.name, peer.variant, place, peer.most_jobs, peer.leaves_out))
        elif is_named:
            raise SystemExit(f"{peer.name} is not installed in {folder}: python -m benchmarks.peers.setup FOLDER {peer.name}")
    return found
