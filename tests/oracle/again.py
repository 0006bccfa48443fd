"""Re-runs: a run that has ended is begun once more as another one, with what some of its steps gave."""

from __future__ import annotations

from omniq_flow.ops import rerun
from omniq_flow.ops.command import Command
from tests.oracle import deeds
from tests.oracle.life import CROCKFORD, DEFAULT_BUDGET, Life, Track, Wanted
from tests.oracle.reading import Reader
from tests.oracle.world import LAST_LIFE

MOST = 2
"""So many re-runs in a life of a queue."""
LARGE = b'"' + b"j" * 70_000 + b'"'


def rerun_some(life: Life) -> bool:
    """Begin one of the runs that have ended once more, now and then; False if none was."""
    if life.stats["re-runs"] >= MOST or life.rng.random() < 0.5:
        return False
    sources = [t for t in life.tracks if t.is_over and t.oracle.world.life < LAST_LIFE]
    if sources:
        _rerun(life, life.rng.choice(sources))
    return bool(sources)


def _rerun(life: Life, source: Track) -> None:
    rng = life.rng
    steps = rng.sample(list(source.plan.by_name), rng.choice((0, 1, 1, 1, 2)) if len(source.plan.by_name) > 1 else 0)
    keep = rerun.kept_steps(source.plan, steps)
    edited = None
    if rng.random() < 0.4:
        edited = rerun.EditedInput(rng.choice((b'{"n":-1}', LARGE)), "shared" if source.gid == "shared" else "")
    track = _track(life, source, keep, edited)
    op = rerun.run_rerun(
        life.queue,
        track.run_id,
        source.run_id,
        keep=keep,
        edited=edited,
        limit=rng.choice((1, 3, 7, 0)),
        budget=life.budget,
        now_ms=life.now,
    )
    life.stats["re-runs"] += 1
    life.stats["step runs copied"] += _begin(life, track, op)
    life.log.append(f"    {track.run_id} re-runs {source.run_id}, keeps {keep}, edited {edited is not None}")
    if rng.random() < 0.5:
        again = life.call("the same re-run again", op, may_make=0)
        life.demand(again.run_id == track.run_id and not again.is_new, f"re-run twice: {again}")


def _track(life: Life, source: Track, keep: tuple[str, ...], edited: rerun.EditedInput | None) -> Track:
    """What is known of the new run: of what is kept, all that was known of the old one."""
    run_id = "".join(life.rng.choice(CROCKFORD) for _ in range(26))
    oracle = source.oracle.copy()
    worked_again = tuple(name for name in source.plan.by_name if name not in keep)
    oracle.begin_life(worked_again)
    if edited is not None:
        oracle.givens[oracle.world.life] = edited.json
    gid = run_id if source.gid == source.run_id else source.gid
    reader = Reader(life.execute, source.plan, run_id)
    track = Track(source.plan, run_id, source.given, "", gid, oracle, reader, wanted=Wanted(redo=worked_again))
    track.facts = {at: fact for at, fact in source.facts.items() if at.step in keep}
    return track


def _begin(life: Life, track: Track, op: Command[rerun.Rerun]) -> int:
    """Send it piece by piece; half-copied there is no run. Gives how many step runs were copied."""
    for _ in range(500):
        life.scripts += 1
        done = life.execute(op)
        if not done.has_more:
            life.demand(done.is_new and done.run_id == track.run_id, f"not begun again: {done}")
            track.is_started = True
            life.tracks.append(track)
            life.look(life.budget or DEFAULT_BUDGET, 0)
            return done.copied
        life.look(0, 0)
        if life.rng.random() < 0.1:
            deeds.tick(life, life.workers[0], [], take=4)
    raise AssertionError("the copying never ends")
