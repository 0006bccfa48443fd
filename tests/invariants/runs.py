"""What must hold of each run: I1, I5, I6, I9, I13, I15, L1, L2, L3, and that nothing of a live run expires."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from omniq_flow.model.names import StepRun
from omniq_flow.model.states import StepState
from tests.invariants.snapshot import RunKeys, Snapshot

MOST_AHEAD_MS = 60_000
FROM_A_JOB = (StepState.SUCCEEDED, StepState.FAILED)


def states(s: Snapshot, run: RunKeys) -> Iterator[str]:
    """I1: letters and epochs are possible ones; only step runs of the plan, inside lists that are there."""
    for at, fact in run.facts.items():
        step = run.plan.by_name.get(at.step)
        if step is None or len(at.index) != step.depth:
            yield f"I1: {at} is no step run of flow {run.plan.flow}"
            continue
        if fact.epoch > run.number("epoch"):
            yield f"I1: {at} has epoch {fact.epoch}, the run is at {run.number('epoch')}"
        if fact.epoch == 0 and fact.state not in (StepState.SKIPPED, StepState.UPSTREAM_FAILED):
            yield f"I1: {at} is {fact.state.value} without an epoch"
        if step.level:
            around = run.facts.get(StepRun(step.level[-1], at.index[:-1]))
            length = around.length if around is not None and around.state is StepState.SUCCEEDED else 0
            left = run.reach.get(StepRun(step.level[-1], at.index[:-1]).id, 0)
            if at.index[-1] >= max(length, left):
                yield f"I1: {at} is no element of {step.level[-1]}, which is {around}"


def outputs(s: Snapshot, run: RunKeys) -> Iterator[str]:
    """I6: an output is there exactly for what succeeded or failed, of that very epoch, with all that it refers to."""
    for at, fact in run.facts.items():
        raw = run.outputs.get(at.id)
        if fact.state not in FROM_A_JOB:
            if raw is not None:
                yield f"I6: {at} is {fact.state.value} and has an output"
            continue
        want = b"!" if fact.state is StepState.FAILED else b"=@#"
        if raw is None or raw[:1] not in [want[n : n + 1] for n in range(len(want))]:
            yield f"I6: {at} is {fact.state.value}, its output is {str(raw)[:40]}"
        elif raw[:1] in (b"@", b"#"):
            epoch, _, n = raw[1:].decode().partition(":")
            value = s.get("flow", "v", run.run_id, at.id, epoch)
            if int(epoch) != fact.epoch or (n and int(n) != fact.length):
                yield f"I6: {at} is at {fact}, its output at {raw.decode()}"
            if (value is None and n != "0") or (n not in ("", "0") and len(value or ()) != int(n)):
                yield f"I6: {at}: what {raw.decode()} refers to is not there in full"
    known = {at.id for at in run.facts} | {":input"}
    yield from (f"I6: an output of {name}, which has no state" for name in run.outputs if name not in known)


def tokens(s: Snapshot, run: RunKeys) -> Iterator[str]:
    """I9: what a worker reported is remembered by the token it was reported with; nothing else is."""
    done = {f"{at.id}.{f.epoch}" for at, f in run.facts.items() if f.state.is_final and f.epoch > 0}
    for name in run.tokens:
        if name not in done:
            yield f"I9: {name} is remembered as reported, its step run is not at that epoch"
    for at, fact in run.facts.items():
        reported = fact.state is StepState.SUCCEEDED or (fact.state is StepState.SKIPPED and fact.epoch > 0)
        if reported and f"{at.id}.{fact.epoch}" not in run.tokens:
            yield f"I9: {at} is {fact.state.value}{fact.epoch} and nobody reported it"


def tallies(s: Snapshot, run: RunKeys) -> Iterator[str]:
    """L1: the tallies equal a recount of the facts."""
    want: Counter[str] = Counter()
    for at, fact in run.facts.items():
        want[f"{at.step}:{fact.state.value}"] += 1
        if fact.state is StepState.QUEUED:
            want.update(f"{around}:i" for around in run.plan.by_name[at.step].level)
        if fact.state is StepState.SUCCEEDED and fact.length and not run.is_stopped and not _is_to_come(run, at):
            want.update({f"{m.name}:t": fact.length for m in run.plan.steps if m.level and m.level[-1] == at.step})
    have = {k: v for k, v in run.tallies.items() if not k.endswith((":r", ":b", ":e"))}
    if run.since > 1 and not run.is_whole:
        # What is known is counted again while the retry replays: `derived` looks at it once that is done.
        want = Counter({k: n for k, n in want.items() if not k.endswith(":t")})
    if run.is_stopped or (run.since > 1 and not run.is_whole):
        have = {k: v for k, v in have.items() if not k.endswith(":t")}
    for name in sorted(set(want) | set(have)):
        if want[name] != have.get(name, 0):
            yield f"L1: tally {name} is {have.get(name, 0)}, a recount gives {want[name]}"
        if have.get(name, 0) < 0:
            yield f"L3: tally {name} is below zero"


def _is_to_come(run: RunKeys, at: StepRun) -> bool:
    """Whether the consequences of this step run are still among the work."""
    return any(item.startswith(f"s|{at.step}|{at.id[len(at.step) :]}|") for item in run.work)


def ends(s: Snapshot, run: RunKeys) -> Iterator[str]:
    """L1, L2, I13: what is open is counted; a run ends when nothing is open or left, and then leaves only facts."""
    queued = sum(1 for f in run.facts.values() if f.state is StepState.QUEUED)
    if run.number("open") != queued:
        yield f"L1: open is {run.number('open')}, {queued} step runs wait for their jobs"
    live, ended = s.zset("flow", "live").get(run.run_id), s.zset("flow", "end").get(run.run_id)
    if run.is_over:
        derived = {"work": run.has_work, "gates": run.gates, "counters": run.counters, "members": run.done, "parked": run.parked}
        yield from (f"L1: the run has ended and {what} are left" for what, there in derived.items() if there)
        if queued:
            yield f"L1: the run has ended with {queued} jobs open"
        if (live is not None and not run.asked) or ended is None:
            yield "I13: an ended run must be among the ended, and only there unless it is to be retried"
        if run.only:
            yield "L1: the run has ended and says what it is to work"
        if run.is_whole and run.reach:
            yield f"L1: the run has ended and elements of {sorted(run.reach)[:4]} are still to be cleared"
        if not run.header.get("ended_ms"):
            yield "L1: the run has ended at no time"
        return
    if live is None or ended is not None:
        yield "I13: a run that goes on must be among the live, and only there"
    elif s.now_ms and live > s.now_ms + MOST_AHEAD_MS:
        yield f"I13: the run is looked at in {live - s.now_ms:.0f} ms only"
    if not queued and not run.has_work:
        yield "L2: nothing is open, no work is left, and the run has not ended"
    if not queued and s.now_ms and (live or math.inf) > s.now_ms:
        yield "L2: nothing is open and the run is not due"


def work_counts(s: Snapshot, run: RunKeys) -> Iterator[str]:
    """L1: left-over work is what its counts say."""
    if run.number("work") != len(run.work):
        yield f"L1: work counts {run.number('work')} items, {len(run.work)} are there"
    if run.number("rest") != sum(map(len, run.rests.values())):
        yield f"L1: rest counts {run.number('rest')} items, {sum(map(len, run.rests.values()))} are there"
    if {k: len(v) for k, v in run.rests.items()} != run.rest_counts:
        yield f"L1: lists of rests are counted as {dict(run.rest_counts)}"


def history(s: Snapshot, run: RunKeys) -> Iterator[str]:
    """I15, I5, I6: revisions follow each other, and the events lead to what is there."""
    entries = [line.split("|", 2) for line in run.history]
    revs = [int(rev) for rev, _, _ in entries]
    # A re-run begins with what it was given: a checkpoint at revision 0.
    is_copy = bool(entries) and entries[0][2].startswith("checkpoint")
    expected = revs[0] - (0 if is_copy else 1) if revs else 0
    for rev, (_, _, event) in zip(revs, entries, strict=True):
        expected += 0 if event.startswith("checkpoint") else 1
        if rev != expected:
            yield f"I15: revision {rev} follows {expected - 1}"
            return
    if not revs or revs[-1] != run.number("rev"):
        yield f"I15: the newest event has revision {revs[-1:]}, the run {run.header.get('rev')}"
    yield from _fold(run, [event for _, _, event in entries], revs[:1] == [1] and not is_copy)


def _fold(run: RunKeys, events: list[str], is_whole: bool) -> Iterator[str]:
    letters: dict[str, str] = {}
    counts: Counter[str] = Counter()
    dispatched: set[str] = set()
    verdict, seen = "", is_whole
    for event in events:
        word, *rest = event.split(" ")
        if word == "checkpoint":
            counts, seen = Counter({k: int(v) for k, v in (pair.split("=") for pair in rest if pair)}), True
        elif word == "run":
            verdict = rest[0]
        elif word == "retry":
            counts[f"{rest[0].partition('-')[0]}:r"] += 1
        elif word in "PQDFSUX":
            yield from _one_event(word, rest, letters, dispatched)
            step = rest[0].partition("-")[0]
            usual = letters.get(rest[0], "Q" if word in "DFX" or (word == "S" and rest[1] != "0") else "P")
            before = rest[2] if len(rest) > 2 else usual
            if letters.get(rest[0], before) != before:
                yield f"I15: {event} follows {letters[rest[0]]}"
            counts[f"{step}:{before}"] -= before != "P"
            counts[f"{step}:{word}"] += word != "P"
            letters[rest[0]] = word
        elif word == "lost":
            letters[rest[0]] = "Q"
    letters = {id_: letter for id_, letter in letters.items() if letter != "P"} if is_whole else letters
    facts = {at.id: f.state.value for at, f in run.facts.items()}
    yield from (
        f"I15: the events leave {id_} at {was}, it is {facts.get(id_, 'P')}" for id_, was in letters.items() if facts.get(id_, "P") != was
    )
    if is_whole and set(letters) != set(facts):
        yield f"I15: states without an event: {sorted(set(facts) - set(letters))[:4]}"
    if verdict and verdict != run.state:
        yield f"I15: the events leave the run {verdict}, it is {run.state}"
    have = {k: v for k, v in run.tallies.items() if v and not k.endswith((":t", ":i", ":b", ":e"))}
    folded = {k: v for k, v in counts.items() if v and not k.endswith((":t", ":i", ":b", ":e", ":"))}
    if seen and have != folded:
        yield f"I15: the events count {folded}, the tallies say {have}"


def _one_event(word: str, rest: list[str], letters: dict[str, str], dispatched: set[str]) -> Iterator[str]:
    if word == "Q":
        if ".".join(rest) in dispatched:
            yield f"I5: {rest[0]} was dispatched twice under epoch {rest[1]}"
        dispatched.add(".".join(rest))
    elif letters.get(rest[0]) == word and len(rest) == 2:
        yield f"I6: two events say that {rest[0]} is {word}"


def expiry(s: Snapshot, run: RunKeys) -> Iterator[str]:
    """C06: nothing of a run expires while the run is there."""
    yield from (f"C06: {name} expires in {ms} ms" for name, ms in s.ttl.items() if run.run_id in name)
