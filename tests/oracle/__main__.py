"""`python -m tests.oracle --flows 20000 --seed 1`: the long campaign."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.oracle.campaign import Fault, campaign, live, smaller
from tests.oracle.mutants import show_all
from tests.support.server import ScratchServer


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle")
    parser.add_argument("--flows", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--life", type=int, help="live this one life again, checked after every script")
    parser.add_argument("--most", type=int, default=11, help="steps of a flow at most")
    parser.add_argument("--runs", type=int, default=0, help="runs in a life, 0 draws them")
    parser.add_argument("--mutants", action="store_true", help="seed faults into the scripts and show that each is seen")
    options = parser.parse_args(arguments)
    with ScratchServer() as server, server.connection() as conn:
        if options.mutants:
            return show_all(conn, options.seed)
        if options.life is not None:
            outcome = live(conn, options.life, most=options.most, flows=options.runs, full=True)
            print(outcome)
            return int(isinstance(outcome, Fault))
        began, total, faults = time.monotonic(), Counter[str](), 0
        for outcome in campaign(conn, options.seed, options.flows):
            if isinstance(outcome, Fault):
                faults += 1
                print(smaller(conn, outcome), f"\nfirst seen as: {outcome.message[:300]} (life {outcome.seed})\n", flush=True)
                if faults >= 5:
                    break
            else:
                total += outcome
        print(f"{faults} faults in {time.monotonic() - began:.0f} s: {dict(sorted(total.items()))}")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
