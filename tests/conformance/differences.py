"""Where OmniQ Flow differs from OmniQ 4.0.0 on purpose, as far as vectors show it; `docs/omniq.md` tells why.

A difference that shows in one value is evened out in both states before they are compared. Where more differs, the
vector is left out; `test_differences.py` and `test_quirks.py` have a test of their own for each quirk and each
vector named here.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.conformance.kit import SERVER_TIME, State

LEFT_OUT_QUIRKS = {
    "Q01": "D2: a known id is left as it is",
    "Q02": "D3: a heartbeat counts from now",
    "Q06": "D9: an id without a job is passed over",
    "Q07": "D9: an id without a job is dropped when it is due",
    "Q11": "D15: a refusal changes nothing",
    "Q12": "D15: a removal does not put its group before others",
    "Q14": "D15: a retry clears all that the job left elsewhere",
    "Q16": "D6: an error text is cut between characters",
    "Q18": "D5: only a job that is still completed is trimmed",
    "Q19": "D15: a full group is left out of the ready set",
    "Q22": "D7: numbers that clients cannot read are refused",
    "Q23": "D15: a limit that is no number above zero counts as 1",
    "Q24": "D16: no job is called ERR, and the batch reads such an id rightly",
}

LEFT_OUT_VECTORS = {
    "script-enqueue-defaults": "D1: without a clock the server's counts",
}


def why_left_out(vector: dict[str, Any]) -> str:
    """Why a vector is not replayed; empty if it is."""
    name: str = vector["name"]
    if name in LEFT_OUT_VECTORS:
        return LEFT_OUT_VECTORS[name]
    return "; ".join(LEFT_OUT_QUIRKS[quirk] for quirk in vector.get("quirks", ()) if quirk in LEFT_OUT_QUIRKS)


def even_out(quirks: list[str], want: State, have: State) -> tuple[State, State]:
    """Both states without what D4 (a reaped job tells of it) and D8 (a batch knows the time) change."""
    want, have = copy.deepcopy(want), copy.deepcopy(have)
    for key, entry in have.items():
        if ":job:" in key and entry[0] == "hash" and str(entry[1].get("last_error", "")).startswith("lease lost: "):
            for state in (want, have):
                for field in ("last_error", "last_error_ms"):
                    state.get(key, ["", {}])[1].pop(field, None)
    if "Q09" in quirks:
        for key, entry in want.items():
            if key.endswith(":stats") and entry[1].get("last_activity_ms") == "0":
                entry[1]["last_activity_ms"] = SERVER_TIME
    return want, have
