"""Drawing the next act: mostly what clients do, at times what they should not, at times what a crash or a hand leaves.

An act is drawn with a look at the queue, so that most of them find something to do; once drawn it is a value that may be
done again without the draw.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.differential.acts import Act, clock_place
from tests.differential.state import Space

T0 = 1_700_000_000_000
BASES = ("{q}", "{r}")
COUNTERS = ("{cc:k}", "{cc:l}")
IDS = (*(f"j{n}" for n in range(24)), "a:b", "ü", "ERR")
GIDS = ("g", "h", "g:1", "é")
LANES = ("wait", "gwait", "delayed", "failed", "completed")
ODD_NUMBERS = ("", "0", "-1", "1.5", "1e3", "0x10", "007")
BAD_NUMBERS = ("soon", "nan", "inf", "100000000000000", "-1e14", "1e400", "1,5")
WEIGHTS = {
    "enqueue": 22,
    "reserve": 20,
    "heartbeat": 6,
    "ack_success": 9,
    "ack_fail": 11,
    "promote_delayed": 7,
    "reap_expired": 6,
    "pause": 1,
    "resume": 3,
    "retry_failed": 4,
    "retry_failed_batch": 4,
    "remove_job": 6,
    "remove_jobs_batch": 6,
    "childs_init": 3,
    "child_ack": 5,
}


class Drawer:
    """Draws acts out of a random source; keeps the clients' time."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.now = rng, T0
        self.follow: tuple[str, str, str] | None = None
        self.weights = WEIGHTS | {"damage": rng.choice((0, 15, 40)), "reserve": rng.choice((8, 20))}
        self.grouped = rng.choice((0.3, 0.9))
        self.gids = rng.sample(GIDS, rng.choice((1, 2, 4)))

    def act(self, space: Space) -> Act:
        self.now += self.rng.choice((0, 0, 1, 5, 40, 900))
        if self.follow:
            act = self.following(space)
        else:
            name = self.rng.choices(list(self.weights), list(self.weights.values()))[0]
            act = self.drawn(name, space, self.rng.choices(BASES, (4, 1))[0])
        if self.often(0.03) and (place := clock_place(act)) is not None:
            act = act.with_arg(place, self.rng.choice(("", "0", "-5")))
        elif self.often(0.015) and (place := clock_place(act)) is not None:
            act = act.with_arg(place, self.rng.choice(BAD_NUMBERS))
        is_damage = act.name.startswith("!")
        return Act(act.name, act.base, act.argv, foreign=not is_damage and self.often(0.12), bare=not is_damage and self.often(0.03))

    # pieces -----------------------------------------------------------------------------------------------------

    def often(self, share: float) -> bool:
        return self.rng.random() < share

    def clock(self) -> str:
        """The client's time, or that of one whose clock is wrong."""
        return str(self.now + self.rng.choice((0, 0, 0, 0, 0, 0, 0, 0, -30, 30, 3_000, -100_000)))

    def setting(self, *usual: int) -> str:
        if self.often(0.02):
            return self.rng.choice(ODD_NUMBERS)
        return self.rng.choice(BAD_NUMBERS) if self.often(0.004) else str(self.rng.choice(usual))

    def known(self, space: Space, base: str, *states: str) -> list[str]:
        """Ids of the jobs that are in one of the states, or of all."""
        prefix = f"{base}:job:"
        return [
            key[len(prefix) :]
            for key in space
            if key.startswith(prefix) and (not states or space.hash(key).get("state") in states)
        ]  # fmt: skip

    def some(self, space: Space, base: str, *states: str) -> str:
        """An id that fits, mostly."""
        fitting = self.known(space, base, *states)
        if self.often(0.03):
            return ""
        return self.rng.choice(fitting) if fitting and self.often(0.88) else self.rng.choice(IDS)

    def gid(self) -> str:
        return self.rng.choice(self.gids)

    def token(self, job_id: str) -> str:
        if self.often(0.1):
            return self.rng.choice(("", "wrong"))
        return f"$token:{job_id}"

    # operations -------------------------------------------------------------------------------------------------

    def enqueue(self, space: Space, base: str) -> Act:
        known = set(self.known(space, base))
        fresh = [job_id for job_id in IDS if job_id not in known]
        job_id = self.rng.choice(fresh) if fresh and self.often(0.85) else self.rng.choice(IDS)
        due = self.setting(0, 0, 0, self.now + 30, self.now + 1_000, self.now - 5)
        gid = self.gid() if self.often(self.grouped) else ""
        payload = self.rng.choice(("{}", "[1,2]", '{"ü":"é"}', "free text", "\udcff\udc80"))
        lease = self.setting(50, 500, 5_000, 0, -5, 99_999_999_999_999 if self.often(0.2) else 30_000)
        settings = (self.setting(1, 1, 2, 3, 0, -1), lease, self.setting(0, 10, 1_000, -5), self.clock(), due)
        argv = (job_id, payload, *settings, gid, self.setting(0, 0, 1, 2, 3, -1))
        return Act("enqueue", base, argv[: self.rng.choice((1, 2, 6, 7))] if self.often(0.02) else argv)

    def reserve(self, space: Space, base: str) -> Act:
        return Act("reserve", base, () if self.often(0.01) else (self.clock(),))

    def held(self, name: str, space: Space, base: str, *more: str) -> Act:
        job_id = self.some(space, base, "active")
        argv = (job_id, self.clock(), self.token(job_id), *more)
        return Act(name, base, argv[:2] if self.often(0.01) else argv)

    def heartbeat(self, space: Space, base: str) -> Act:
        return self.held("heartbeat", space, base)

    def ack_success(self, space: Space, base: str) -> Act:
        return self.held("ack_success", space, base)

    def ack_fail(self, space: Space, base: str) -> Act:
        texts = ("boom", "", "é" * 2_100, "x" * 4_096, "x" * 4_095 + "é", "x" + "€" * 1_400, "x" * 5_000, " ")
        return self.held("ack_fail", space, base, *() if self.often(0.3) else (self.rng.choice(texts),))

    def swept(self, name: str, space: Space, base: str, lane: str) -> Act:
        """Up to a time that is long past, or exactly that of an entry."""
        times = [f"{score:.0f}" for score in space.zset(f"{base}:{lane}").values() if score > 0]
        late = self.rng.choice(times) if times and self.often(0.3) else str(self.now + self.rng.choice((0, 40, 1_000, 10_000)))
        return Act(name, base, (late,) if self.often(0.3) else (late, self.setting(1, 2, 1_000, 0, -1)))

    def promote_delayed(self, space: Space, base: str) -> Act:
        return self.swept("promote_delayed", space, base, "delayed")

    def reap_expired(self, space: Space, base: str) -> Act:
        return self.swept("reap_expired", space, base, "active")

    def pause(self, space: Space, base: str) -> Act:
        return Act("pause", base)

    def resume(self, space: Space, base: str) -> Act:
        return Act("resume", base)

    def batch(self, space: Space, base: str, *states: str) -> list[str]:
        ids = [self.some(space, base, *states) for _ in range(self.rng.choice((1, 2, 3, 5)))]
        return ids * 40 if self.often(0.02) else ids

    def count(self, ids: list[str]) -> str:
        if self.often(0.08):
            return self.rng.choice(("0", "-1", "101", "100", "1", str(len(ids) + 1)))
        return str(len(ids))

    def retry_failed(self, space: Space, base: str) -> Act:
        return Act("retry_failed", base, (self.some(space, base, "failed"), self.clock()))

    def retry_failed_batch(self, space: Space, base: str) -> Act:
        ids = self.batch(space, base, "failed")
        return Act("retry_failed_batch", base, (self.clock(), self.count(ids), *ids))

    def lane(self) -> tuple[str, tuple[str, ...]]:
        """A lane, and the states that its jobs are in; at times there is none of that name."""
        lane = self.rng.choice((*LANES, *LANES, *LANES, "active", ""))
        return lane, ("wait",) if lane == "gwait" else (lane,)

    def remove_job(self, space: Space, base: str) -> Act:
        lane, states = self.lane()
        clock = () if self.often(0.3) else (self.clock(),)
        return Act("remove_job", base, (self.some(space, base, *states), lane, *clock))

    def remove_jobs_batch(self, space: Space, base: str) -> Act:
        lane, states = self.lane()
        ids = self.batch(space, base, *states)
        clock = () if self.often(0.3) else (self.clock(),)
        return Act("remove_jobs_batch", base, (lane, self.count(ids), *ids, *clock))

    def childs_init(self, space: Space, base: str) -> Act:
        return Act("childs_init", self.rng.choice(COUNTERS), (self.setting(1, 2, 3, 0),) if self.often(0.97) else ())

    def child_ack(self, space: Space, base: str) -> Act:
        return Act("child_ack", self.rng.choice(COUNTERS), (self.rng.choice(("a", "b", "c", "ü", "")),) if self.often(0.97) else ())

    # damage -----------------------------------------------------------------------------------------------------

    def damage(self, space: Space, base: str) -> Act:
        """Aimed at what is there: a job that waits in a group is lost, a group that is ready gets full, and so on."""
        gid = self.served(space, base)
        job_id, other, failed = self.some(space, base) or "j0", self.some(space, base) or "j2", self.some(space, base, "failed") or "j1"
        waiting, members = self.some(space, base, "wait", "delayed") or "j1", space.list(f"{base}:g:{gid}:wait")
        grouped = self.rng.choice(members or [job_id])
        kind = space.hash(f"{base}:job:{failed}").get("gid", gid)
        limit, odd = self.rng.choice(("0", "-2", "many", "0.5", "1", "2", "3")), self.rng.choice(("1e+14", "", "soon"))
        left_over = "left over"
        found: list[tuple[str, tuple[str, ...], str]] = [
            ("drop_job", (job_id,), ""),
            ("drop_job", (waiting,), self.rng.choice(("reserve", "promote_delayed"))),
            ("stray", (self.rng.choice(("wait", f"g:{gid}:wait", "failed", "completed")), job_id), ""),
            ("put", (f"g:{gid}:limit", limit), "enqueue"),
            ("put", (f"g:{gid}:inflight", self.rng.choice(("0", "1", "2", "3"))), "reserve"),
            ("put", ("lane:rr", self.rng.choice(("0", "1", "2"))), "reserve"),
            ("ready", (gid, self.clock()), "reserve"),
            ("field", (f"job:{job_id}", self.rng.choice(("lease_token", "lock_until_ms", "last_error", "flow_rid")), left_over), ""),
            ("field", (f"job:{job_id}", self.rng.choice(("timeout_ms", "max_attempts", "backoff_ms")), odd), ""),
            ("field", ("stats", self.rng.choice(("waiting", "active", "groups_ready", "waiting_total", "delayed", "failed")), "0"), ""),
        ]
        if self.known(space, base, "active"):
            found += [("fill_completed", (job_id, other), "ack_success")] * 3
        if self.known(space, base, "failed"):
            found += [
                ("stray", (f"g:{kind}:wait", failed), self.rng.choice(("retry_failed", "retry_failed_batch"))),
                (
                    "stray_score",
                    (self.rng.choice(("active", "idx:active", "delayed")), failed, self.clock()),
                    self.rng.choice(("retry_failed", "retry_failed_batch")),
                ),
            ] * 4
        removal = self.rng.choice(("remove_job", "remove_jobs_batch"))
        if members:
            found += [
                ("lose", (grouped,), removal),
                ("field", (f"job:{grouped}", self.rng.choice(("lease_token", "lock_until_ms")), left_over), removal),
            ] * 2
        if len(members) > 1:
            found += [("ready", (gid, ""), removal)] * 6
        name, argv, follow = self.rng.choice(found)
        if follow and self.often(0.7):
            self.follow = (follow, base, grouped if "remove" in follow else "")
        return Act(f"!{name}", base, argv)

    def following(self, space: Space) -> Act:
        """What makes the damage show: an operation on the same queue, at times on the same job."""
        assert self.follow is not None
        name, base, job_id = self.follow
        self.follow = None
        if not job_id or self.often(0.2):
            return self.drawn(name, space, base)
        if name == "remove_job":
            return Act(name, base, (job_id, "gwait", self.clock()))
        ids = [job_id, self.some(space, base, "wait"), job_id]
        return Act(name, base, ("gwait", "3", *ids, self.clock()))

    def drawn(self, name: str, space: Space, base: str) -> Act:
        draw: Callable[[Space, str], Act] = getattr(self, name)
        return draw(space, base)

    def served(self, space: Space, base: str) -> str:
        """A group that has waiting jobs, mostly."""
        prefix = f"{base}:g:"
        gids = [key[len(prefix) : -len(":wait")] for key in space if key.startswith(prefix) and key.endswith(":wait")]
        return self.rng.choice(gids) if gids and self.often(0.85) else self.gid()
