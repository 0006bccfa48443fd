"""`python -m tests.interop redis`, `omniq` or `browser` makes what is missing under `.interop/` and prints where it is.

Ends with 3 where the system has no way to get it.
"""

from __future__ import annotations

import sys

from tests.interop.environment import NotHere, browser, omniq_python, redis_server

MADE = {"redis": redis_server, "omniq": omniq_python, "browser": browser}
NOT_HERE = 3


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in MADE:
        print(f"usage: python -m tests.interop {'|'.join(MADE)}", file=sys.stderr)
        return 2
    try:
        print(MADE[arguments[0]]())
    except NotHere as reason:
        print(f"not here: {reason}", file=sys.stderr)
        return NOT_HERE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
