"""Print the README's command of a given number: one line of a code block that makes a virtual environment."""

from __future__ import annotations

import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
START = "python3 -m venv "


def commands(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith(START)]


def main() -> None:
    found = commands(README.read_text(encoding="utf-8"))
    number = int(sys.argv[1])
    if len(found) != 2:
        sys.exit(f"{README.name} has {len(found)} lines that start with {START.strip()!r}; it needs two, to try it and to test it")
    print(found[number - 1])


if __name__ == "__main__":
    main()
