"""Every key that Python names; its twin for scripts is `lua/lib/keys.lua`.

A queue's keys share one hash slot through the tag `{queue}`. Everything that belongs to flows stands
under `{queue}:flow:` and `{queue}:cc:`, where no key of OmniQ is.
"""

from __future__ import annotations

QUEUES = "{omniq-flow}:queues"
"""Set of home queues, a hint for listings; written by clients and workers."""
COUNTERS = "{omniq-flow}:counters"
"""ZSET: key of a completion counter -> when it was begun (ms), a hint for listings; the newest thousand that our clients began."""


def base(queue: str) -> str:
    return "{" + queue + "}"


def anchor(queue: str) -> str:
    """The one key that scripts are given (wire §1)."""
    return base(queue) + ":meta"


def counter_anchor(key: str) -> str:
    return "{cc:" + key + "}:meta"


def job(queue: str, job_id: str) -> str:
    return f"{base(queue)}:job:{job_id}"


def queue_key(queue: str, *parts: str) -> str:
    """A key of the wire contract: `queue_key("q", "g", gid, "wait")`."""
    return ":".join((base(queue), *parts))


def flow_key(queue: str, *parts: str) -> str:
    """A key of ours; kinds are listed below."""
    return ":".join((base(queue), "flow", *parts))


def header(queue: str, run_id: str) -> str:
    """HASH: the run's header."""
    return flow_key(queue, "r", run_id)


def states(queue: str, run_id: str) -> str:
    """HASH: step run id -> fact."""
    return flow_key(queue, "s", run_id)


def outputs(queue: str, run_id: str) -> str:
    """HASH: step run id -> `=json`, `@epoch` (own key), `#epoch:n` (staged list) or `!failure`; `:input`."""
    return flow_key(queue, "o", run_id)


def value(queue: str, run_id: str, step_run_id: str, epoch: int) -> str:
    """STRING of a large value, or HASH index -> element of a list that is mapped."""
    return flow_key(queue, "v", run_id, step_run_id, str(epoch))


def tallies(queue: str, run_id: str) -> str:
    """HASH: `<step>:<letter>` -> number of step runs; `<step>:t` total known, `:r` attempts tried again, `:b` and `:e` when the
    first was dispatched and the latest decided (ms); `<list step>:i` jobs open inside."""
    return flow_key(queue, "c", run_id)


def history(queue: str, run_id: str) -> str:
    """LIST: `rev|ms|event`, capped, with checkpoints."""
    return flow_key(queue, "h", run_id)


def tokens(queue: str, run_id: str) -> str:
    """HASH: `<step run>.<epoch>` -> token that completed it."""
    return flow_key(queue, "t", run_id)


def log(queue: str, run_id: str) -> str:
    """LIST: the newest 1,000 lines of `ctx.log`."""
    return flow_key(queue, "l", run_id)


def asked(queue: str, run_id: str) -> str:
    """SET: `<step run>.<epoch>` of failures to be worked again when the run is retried next."""
    return flow_key(queue, "asked", run_id)


def only(queue: str, run_id: str) -> str:
    """SET: the same, of this life of a run that was retried for them only."""
    return flow_key(queue, "only", run_id)


def reach(queue: str, run_id: str) -> str:
    """HASH: list step run -> how many of its elements may have facts, where that is not its length."""
    return flow_key(queue, "reach", run_id)


def superseded(queue: str, run_id: str) -> str:
    """SET: `<step run>.<epoch>` of failed jobs whose step runs were worked again since."""
    return flow_key(queue, "old", run_id)


def gates(queue: str, run_id: str, generation: int) -> str:
    """HASH: gates and collections, derived."""
    return flow_key(queue, "n", f"{run_id}.{generation}")


def plan(queue: str, sha: str) -> str:
    """HASH: step -> packed record, `hop:<step>` -> how simple it is, `_roots`, `_json`, `_runs`."""
    return flow_key(queue, "g", sha)


def run_key(queue: str, flow: str, key: str) -> str:
    """STRING: run id of a run key."""
    return flow_key(queue, "k", flow, key)


def live(queue: str) -> str:
    """ZSET: run -> next check, for runs that have not ended."""
    return flow_key(queue, "live")


def ended(queue: str) -> str:
    """ZSET: run -> purge at."""
    return flow_key(queue, "end")


def copy(queue: str, run_id: str) -> str:
    """HASH: how far the facts of a re-run that has not begun are copied."""
    return flow_key(queue, "copy", run_id)


def copies(queue: str) -> str:
    """ZSET: re-run that has not begun -> when it is given up."""
    return flow_key(queue, "copies")


def pause_note(queue: str) -> str:
    """HASH: who paused the queue, when (ms) and why; counts only while the queue is paused."""
    return flow_key(queue, "pause")


def taken(queue: str, worker_id: str) -> str:
    """STRING: the request of a worker's last take, and what it was given."""
    return flow_key(queue, "a", worker_id)


def workers(queue: str) -> str:
    """ZSET: worker -> expiry."""
    return flow_key(queue, "w")


def worker(queue: str, worker_id: str) -> str:
    """HASH: what a worker tells of itself."""
    return flow_key(queue, "w", worker_id)


def wake(queue: str, worker_id: str) -> str:
    """LIST: an idle worker blocks here."""
    return flow_key(queue, "wake", worker_id)
