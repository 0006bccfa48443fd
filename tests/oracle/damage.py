"""What goes wrong in a life: workers that come back too late, and foreign clients that take away, end or half-apply.

Foreign acts are written to the keys as the wire contract has them, or as a script that broke half-way leaves them.
"""

from __future__ import annotations

from collections.abc import Callable

from omniq_flow.model.names import FlowJobId
from omniq_flow.ops import keys, ticks
from tests.oracle import deeds
from tests.oracle.life import Life


def late(life: Life) -> bool:
    """A worker that was away reports with whatever token it has: applied only if the lease still stands."""
    if not life.zombies or life.rng.random() > 0.1:
        return False
    held = life.zombies.pop(life.rng.randrange(len(life.zombies)))
    worker = life.rng.choice(life.workers)
    if any(h.taken.job_id == held.taken.job_id for w in life.workers for h in w.held) or deeds.lay_down(life, held):
        deeds.tick(life, worker, [held], take=0)
        life.stats["late reports"] += 1
    return True


def stall(life: Life) -> bool:
    """A worker is silent for longer than its leases."""
    if life.rng.random() > life.chaos / 10:
        return False
    life.now += life.rng.choice((2_500, 31_000))
    life.log.append(f"stall until +{life.now}")
    return True


def heartbeat(life: Life) -> bool:
    """All leases of a worker are extended to now plus the lease; those that are lost say so."""
    if life.rng.random() > 0.05:
        return False
    worker = life.rng.choice(life.workers)
    current = [deeds.is_current(life, h) for h in worker.held]
    leases = [(h.taken.job_id, h.taken.token) for h in worker.held]
    beats = life.call(f"beat {worker.name}", ticks.lease_beat(life.queue, leases, now_ms=life.now), may_make=0)
    for held, is_current, beat in zip(worker.held, current, beats, strict=True):
        life.demand(beat.is_lost != is_current, f"{beat.job_id}: a beat says lost={beat.is_lost}, the lease stands: {is_current}")
        if is_current and not beat.is_cancelled and held.taken.flow:
            lease = life.track_of(held.taken.flow.run_id).plan.by_name[held.taken.flow.step_run.step].options.lease_ms
            life.demand(beat.until_ms == life.now + lease, f"{beat.job_id}: extended to {beat.until_ms}")
    life.stats["beats"] += 1
    return True


def pause(life: Life) -> bool:
    """Nothing is taken while the queue is paused."""
    if life.rng.random() > life.chaos / 20:
        return False
    r, name = life.execute.connection, keys.queue_key(life.queue, "paused")
    r.set(name, "1")
    reply = deeds.tick(life, life.rng.choice(life.workers), [], take=4)
    life.demand(not reply.taken or bool(life.log), "taken while paused")
    r.delete(name)
    return True


DEEDS: tuple[Callable[[Life], bool], ...] = (late, stall, heartbeat)


def parse(job_id: str) -> FlowJobId | None:
    return FlowJobId.parse(job_id)
