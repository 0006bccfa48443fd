"""`python -m tests.differential --sequences 20000 --seed 1 [--against omniq]`: the long campaign."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import redis

from tests.differential.campaign import ACTS, Sides, campaign, draw, smaller
from tests.differential.model import Model
from tests.differential.mutants import show_all
from tests.differential.reference import Reference, Scripts, our_sources, sources_in
from tests.support.server import ScratchServer

MOST_FAULTS = 5


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential")
    parser.add_argument("--sequences", type=int, default=2_000)
    parser.add_argument("--length", type=int, default=ACTS, help="acts of a sequence")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", help="do this one sequence again, named as SEED/NUMBER")
    parser.add_argument("--against", choices=("model", "omniq"), default="model", help="the reference: our model of it, or its own scripts")
    parser.add_argument("--scripts", type=Path, help="folder of OmniQ's scripts; else they are installed under .interop/")
    parser.add_argument("--mutants", action="store_true", help="break our scripts on purpose and show that each is seen")
    options = parser.parse_args(arguments)
    with ScratchServer() as server, server.connection() as ours:
        if options.mutants:
            return show_all(ours, options.seed)
        with redis.Redis.from_url(f"{server.url}?db=1") as other:
            sides = Sides(Scripts(ours, our_sources()), reference(options.against, options.scripts, other))
            if options.one:
                fault = draw(sides, options.one, options.length)
                print(smaller(sides, fault) if fault else "no difference")
                return int(fault is not None)
            began, faults = time.monotonic(), 0
            for fault in campaign(sides, options.seed, options.sequences, options.length):
                faults += 1
                print(fault, "\n", flush=True)
                if faults >= MOST_FAULTS:
                    break
    print(f"seed {options.seed}: {faults} faults in {time.monotonic() - began:.0f} s: {dict(sorted(sides.hits.items()))}")
    return int(faults > 0)


def reference(name: str, folder: Path | None, conn: redis.Redis) -> Reference:
    if name == "model":
        return Model()
    if folder is None:
        from tests.interop.environment import omniq_scripts

        folder = omniq_scripts()
    return Scripts(conn, sources_in(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
