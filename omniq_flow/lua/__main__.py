"""`python -m omniq_flow.lua DIR` writes the fifteen OmniQ scripts into a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from omniq_flow.lua import assemble


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m omniq_flow.lua DIR", file=sys.stderr)
        return 2
    for path in assemble.export(Path(arguments[0])):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
