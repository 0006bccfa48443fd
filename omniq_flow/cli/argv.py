"""Global flags may stand anywhere: they are lifted before the verb, where the parser wants them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from omniq_flow.errors import UsageError

SWITCHES = frozenset({"--json", "--quiet", "-v", "--verbose", "--no-color", "--debug"})
WITH_VALUE = frozenset({"--url", "--profile", "--connect-timeout"})


def lift(argv: Sequence[str], takes_value: Collection[str]) -> tuple[list[str], list[str]]:
    """Split arguments into global flags and the rest, each in its order.

    `takes_value` are the options of the commands that are followed by a value: such a value is never read as a
    flag. Behind `--` nothing is lifted.
    """
    lifted: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return lifted, [*rest, word, *words]
        if word in SWITCHES or word.split("=")[0] in WITH_VALUE:
            lifted.append(word)
            if word in WITH_VALUE:
                lifted.append(_value(word, next(words, None)))
        else:
            rest.append(word)
            if word in takes_value and (value := next(words, None)) is not None:
                rest.append(value)
    return lifted, rest


def _value(flag: str, value: str | None) -> str:
    if value is None or value.startswith("-"):
        raise UsageError(f"{flag} needs a value", hint=f"omniq-flow --help explains {flag}")
    return value
