"""What a worker sends: its beat (`tick`), lists laid down before they count, heartbeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omniq_flow.errors import LeaseLost, ReplyError
from omniq_flow.model.clock import SERVER_TIME
from omniq_flow.model.names import FlowJobId
from omniq_flow.model.runs import Fact
from omniq_flow.ops import keys
from omniq_flow.ops.command import Arg, Command, number, text, texts

MAX_ITEMS = 64
MAX_STAGED = 1_000
MAX_BEATS = 256

OutcomeKind = Literal["ok", "list", "skip", "fail", "fatal", "release"]
SettleCode = Literal["OK", "RETRY", "FAILED", "DUP", "STALE", "GONE", "LOST", "BAD_LIST", "CANCELLED"]


@dataclass(frozen=True, slots=True)
class Settled:
    """How a leased job ended.

    `number` is the length of a list (its elements are staged), or the ms until a failed or released job is due
    again; −1 for a failed one means the back-off of its own record. `value` is the output or the failure as JSON, `error` the
    text for the job's record.
    """

    job_id: str
    token: str
    kind: OutcomeKind
    number: int = 0
    value: bytes = b""
    error: str = ""

    @property
    def args(self) -> tuple[Arg, ...]:
        return (self.job_id, self.token, self.kind, self.number, self.value, self.error)


RawInput = bytes | list[bytes]
"""One value as stored (`=json`, `@epoch`, `#epoch:n`, `!failure`, `~letter`, `?`), or the values of a gather."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A leased job. Of a plain job `flow` is None and `payload` is set; of a flow's job the other way round."""

    job_id: str
    token: str
    until_ms: int
    attempt: int
    max_attempts: int
    gid: str
    fence: int
    payload: bytes
    plan_sha: str = ""
    flow: FlowJobId | None = None
    fact: Fact = Fact()
    inputs: tuple[RawInput, ...] = ()

    @property
    def idempotency_key(self) -> str:
        """Stable over attempts and lost jobs; changes when the inputs changed (levels §5)."""
        if self.flow is None:
            return self.job_id
        again = f".r{self.fact.inputs}" if self.fact.inputs > 1 else ""
        return f"{self.flow.run_id}.{self.flow.step_run.id}{again}"


@dataclass(frozen=True, slots=True)
class TickReply:
    """What a beat brought. `codes` follow the order of the items; `next_ms` 0 means nothing is known to come."""

    now_ms: int
    codes: tuple[SettleCode, ...]
    taken: tuple[Taken, ...]
    next_ms: int
    to_sweep: tuple[str, ...]


def tick(
    queue: str,
    *,
    worker: str,
    request: str,
    salt: str,
    settled: Sequence[Settled] = (),
    take: int = 0,
    idle_ms: int = 0,
    budget: int = 0,
    now_ms: int = SERVER_TIME,
) -> Command[TickReply]:
    """One beat of a worker: at most 64 items settled and 64 jobs taken.

    `request` must be new for each beat and the same when it is sent again: what was applied then answers DUP and the
    same leases come back. `salt` (random) goes into the tokens (H26). With `idle_ms` a worker that got less than it wants
    is woken through `keys.wake` (by its name without the channel's number) when work comes within that time. `budget` 0 means 256.
    """
    if len(settled) > MAX_ITEMS or take > MAX_ITEMS:
        raise ValueError(f"a tick settles and takes at most {MAX_ITEMS} jobs")
    items = [arg for item in settled for arg in item.args]
    args: tuple[Arg, ...] = (now_ms, worker, request, salt, take, idle_ms, budget, len(settled), *items)
    return Command("flow/tick", (keys.anchor(queue),), args, _tick_reply)


def _tick_reply(reply: Any) -> TickReply:
    now, codes, jobs, next_ms, to_sweep = reply
    return TickReply(number(now), tuple(texts(codes)), tuple(map(_taken, jobs)), number(next_ms), tuple(texts(to_sweep)))  # type: ignore[arg-type]


def _taken(reply: Any) -> Taken:
    job_id = text(reply[0])
    common = (job_id, text(reply[1]), number(reply[2]), number(reply[3]), number(reply[4]), text(reply[5]), number(reply[6]), reply[7])
    flow = FlowJobId.parse(job_id) if reply[8] else None
    if flow is None:
        return Taken(*common)
    return Taken(*common, text(reply[8]), flow, Fact.parse(reply[9]), tuple(reply[10]))


def list_stage(queue: str, job_id: str, token: str, offset: int, elements: Sequence[bytes]) -> Command[None]:
    """Lay down elements of a list that is mapped, at most 1,000 a call, before the job is settled with its length.

    Refused with `LeaseLost` when the token is not the job's current one.
    """
    if len(elements) > MAX_STAGED:
        raise ValueError(f"at most {MAX_STAGED} elements are staged in one call")

    def parse(reply: Any) -> None:
        if text(reply[0]) != "OK":
            raise LeaseLost(f"lease on job {job_id} lost while its list was laid down")

    return Command("flow/list_stage", (keys.anchor(queue),), (job_id, token, offset, *elements), parse)


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat says of one lease. `until_ms` is 0 for one that is lost."""

    job_id: str
    until_ms: int
    is_cancelled: bool = False

    @property
    def is_lost(self) -> bool:
        return self.until_ms == 0 and not self.is_cancelled


def lease_beat(queue: str, leases: Sequence[tuple[str, str]], *, now_ms: int = SERVER_TIME) -> Command[tuple[Beat, ...]]:
    """Extend leases, given as (job id, token), at most 256 a call; each to now plus its job's lease."""
    if len(leases) > MAX_BEATS:
        raise ValueError(f"at most {MAX_BEATS} leases are extended in one call")

    def parse(reply: Any) -> tuple[Beat, ...]:
        words = texts(reply)
        if len(words) != len(leases):
            raise ReplyError(f"lease_beat answered {len(words)} results for {len(leases)} leases")
        return tuple(
            Beat(job_id, number(word), word == "CANCEL") if word != "LOST" else Beat(job_id, 0)
            for (job_id, _), word in zip(leases, words, strict=True)
        )

    args = tuple(part for lease in leases for part in lease)
    return Command("flow/lease_beat", (keys.anchor(queue),), (now_ms, *args), parse)
