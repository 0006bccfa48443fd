"""Numbers and clocks: the differences D1, D7 and D8.

A number that cannot be kept is refused before any write; a fraction is rounded down before it is written; without a clock
the server's counts, and every digit of a sum is written.
"""

from __future__ import annotations

import math
import re

from tests.differential.acts import NUMBERS, Act, clock_place, number
from tests.differential.lanes import Reply, read
from tests.differential.outcome import Expected, Seen
from tests.differential.reference import Reference
from tests.differential.state import Hash, Space

SLACK_MS = 50
TOO_LARGE = 1e14
_EXPONENT = re.compile(r"^-?\d(?:\.\d+)?e\+\d+$")


def clocked(act: Act, seen: Seen) -> Act:
    """The act as a client that has the server's time sends it: with all its numbers."""
    return timed(tidy(act)[0], seen)


def is_refusable(value: str | None) -> bool:
    """A number that is none, or of more than 14 digits."""
    if not value:
        return False
    found = number(value)
    return found is None or not abs(found) < TOO_LARGE


def has_refusable(act: Act) -> bool:
    """Whether an operation is given a number that cannot be kept."""
    if act.name == "childs_init":
        return is_refusable(act.arg(0))
    place, settings = clock_place(act), NUMBERS[act.name].settings if act.name in NUMBERS else ()
    return any(is_refusable(act.arg(at)) for at in settings) or (place is not None and is_refusable(act.arg(place)))


def refused(reference: Reference, before: Space, act: Act) -> Expected | None:
    """D7: a number that cannot be kept is refused before anything is written."""
    if not has_refusable(act):
        return None
    if act.name == "childs_init":
        return Expected(["ERR", "BAD_EXPECTED"], before, {"D7"})
    place = clock_place(act)
    if act.name.endswith("_batch") and place is not None:
        reply, _ = reference.run(before, act.with_arg(place, "1"))
        if reply in ([], ["ERR", "BATCH_TOO_LARGE", "100"], ["ERR", "BAD_LANE"], ["ERR", "BAD_ARGS"]):
            return Expected(reply, before)
    return Expected(["ERR", "BAD_NUMBER"], before, {"D7"})


DEFAULTS = {"enqueue": {2: "1", 3: "60000", 4: "5000", 6: "0", 8: "0"}, "promote_delayed": {1: "1000"}, "reap_expired": {1: "1000"}}


def tidy(act: Act) -> tuple[Act, set[str]]:
    """D7: a fraction is rounded down before it is written, an empty setting is the default (Q34)."""
    tidied = act
    for place, default in DEFAULTS.get(act.name, {}).items():
        value = act.arg(place)
        if value is not None and (value == "" or not re.fullmatch(r"0|-?[1-9]\d*", value)):
            tidied = tidied.with_arg(place, str(math.floor(number(value) or 0)) if value else default)
    if act.name == "childs_init" and act.arg(0) and number(act.arg(0)) is not None:
        tidied = tidied.with_arg(0, str(math.floor(number(act.arg(0)) or 0)))
    return tidied, {"D7"} if tidied != act else set()


def timed(act: Act, seen: Seen) -> Act:
    """D1, D8: without a clock the server's counts."""
    place = clock_place(act)
    if place is None or read(act.arg(place)) > 0:
        return act
    return tidy(act.with_arg(place, str(_servers_time(act, seen))))[0]


def _servers_time(act: Act, seen: Seen) -> int:
    """The time that our script took from the server, as far as it wrote it down."""
    if act.name == "heartbeat":
        written = seen.after.hash(f"{act.base}:job:{act.arg(0)}").get("updated_ms")
    else:
        written = seen.after.hash(f"{act.base}:stats").get("last_activity_ms")
    return read(written) if seen.since_ms - SLACK_MS <= read(written) <= seen.until_ms + SLACK_MS else seen.until_ms


def digits(before: Space, result: Expected) -> Expected:
    """D7: where a sum has more digits than OmniQ can write, all of them are there; the lanes' scores have them."""
    for key, entry in result.after.items():
        if not isinstance(entry, Hash) or ":job:" not in key or not any(map(_EXPONENT.match, entry.values())):
            continue
        base, _, job_id = key.partition(":job:")
        for name, lane in (("lock_until_ms", "active"), ("due_ms", "delayed")):
            score = result.after.zset(f"{base}:{lane}").get(job_id)
            is_new = entry.get(name) != before.hash(key).get(name)
            if is_new and score is not None and _EXPONENT.match(entry.get(name, "")):
                result.after[key] = entry = Hash(entry | {name: f"{score:.0f}"})
                result.hits.add("D7")
                result.reply = _longer(result.reply, entry[name])
    match result.reply:
        case ["JOB", job_id, payload, until, attempt, most, gid, token] if _EXPONENT.match(most):
            result.reply = ["JOB", job_id, payload, until, attempt, f"{float(most):.0f}", gid, token]
            result.hits.add("D7")
    return result


def _longer(reply: Reply, digits: str) -> Reply:
    """The reply with the same number in all its digits, in the place of a deadline or a due time."""
    place = 3 if isinstance(reply, list) and reply[:1] == ["JOB"] else 1
    if isinstance(reply, list) and len(reply) > place and reply[place] == f"{float(digits):.14g}":
        return [*reply[:place], digits, *reply[place + 1 :]]
    return reply
