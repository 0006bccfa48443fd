"""What came of an act, what must come of it, and whether the two agree."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.differential.lanes import Failure, Reply
from tests.differential.state import Space, differences


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of an act, and the server's time around it."""

    reply: Reply
    after: Space
    since_ms: int
    until_ms: int


@dataclass
class Expected:
    """What must come of an act, and which differences made it so."""

    reply: Reply
    after: Space
    hits: set[str] = field(default_factory=set)


def disagreement(want: Expected, seen: Seen) -> str:
    """What differs between what must come and what came; empty if nothing does."""
    lines = [] if want.reply == seen.reply else [f"reply: want {want.reply!r:.300}, have {seen.reply!r:.300}"]
    if isinstance(want.reply, Failure) and isinstance(seen.reply, Failure):
        lines.append(f"both failed: {want.reply.message!r:.120}")
        return "\n".join([*lines, *differences(want.after, seen.after)]) if want.after != seen.after else ""
    return "\n".join([*lines, *differences(want.after, seen.after)])
