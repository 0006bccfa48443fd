"""Reading runs: at most three round trips a picture, and no search through the keyspace.

Where runs live is told by the set of home queues, a hint that our clients and workers write, and by whoever
asks (a project knows the queues of its flows).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.errors import NotFound, UsageError
from omniq_flow.model.names import StepRun, is_run_id
from omniq_flow.model.plan import Plan
from omniq_flow.model.runs import Failure, RunHeader
from omniq_flow.model.states import StepState
from omniq_flow.observe.history import HistoryFold
from omniq_flow.observe.run_query import has_tags
from omniq_flow.observe.snapshot import RunSnapshot, RunSummary, StepFailure, tally_steps
from omniq_flow.observe.sound import Unsound, damaged, read_sound, sound
from omniq_flow.ops import keys
from omniq_flow.ops.command import Operation, Query, texts
from omniq_flow.ops.runs import HistoryEntry, plan_of, run_facts, run_header, run_history, run_outputs, run_tallies, runs_of

MOST_FAILURES = 50
LISTED = 10_000
"""How many runs of a queue, each of those that go on and those that ended, a list or a name looks at."""
_SLICE = 200
_SLACK = 8
SHORTEST_NAME = 4


class RunReader:
    """Reads one run again and again; the plan, which never changes, and the history only once."""

    def __init__(self, client: Client, queue: str, run_id: str) -> None:
        self.client = client
        self.queue = queue
        self.run_id = run_id
        self._plan: Plan | None = None
        self._history = HistoryFold()

    def header(self) -> RunHeader:
        """The header alone: `rev` tells whether anything has changed."""
        return self.client.execute(run_header(self.queue, self.run_id))

    def read(self, rev: int = 0) -> RunSnapshot:
        """A picture of now. `rev` (of a header read before) says how much of the history is new.

        The header is read first: if it says that the run has ended, nothing that is read after it can change.
        """
        news = rev - self._history.rev + _SLACK if self._history.rev and rev else 0
        ask = (
            run_header(self.queue, self.run_id),
            run_tallies(self.queue, self.run_id),
            run_history(self.queue, self.run_id, -news if news else 0),
        )
        header, tallies, entries = self.client.execute_all(ask)
        self._fold(entries, is_part=bool(news))
        plan, failures = self._complete(header, tallies)
        steps = tally_steps(plan, tallies, header.state)
        return RunSnapshot(header, plan, steps, failures)

    def _fold(self, entries: list[HistoryEntry], is_part: bool) -> None:
        if is_part and self._history.misses(entries):
            entries = self.client.execute(run_history(self.queue, self.run_id))
        self._history.add(entries)

    def _complete(self, header: RunHeader, tallies: dict[str, int]) -> tuple[Plan, tuple[StepFailure, ...]]:
        """The second round trip: the plan, if it is not known yet, and what failed."""
        ids = self._failed_ids(tallies)
        ask: list[Operation] = [run_facts(self.queue, self.run_id, ids), run_outputs(self.queue, self.run_id, ids)] if ids else []
        if self._plan is None:
            ask.append(plan_of(self.queue, header.plan_sha))
        answers: list[Any] = self.client.execute_all(ask) if ask else []
        plan = self._plan = self._plan or answers.pop()
        return plan, tuple(failures_in(ids, *answers).values()) if ids else ()

    def _failed_ids(self, tallies: dict[str, int]) -> tuple[str, ...]:
        """What the history tells, and of steps that run once what the tallies tell."""
        parts = [(field.partition(":"), count) for field, count in tallies.items()]
        failing = [name for (name, _, letter), count in parts if letter == StepState.FAILED and count > 0]
        return tuple(dict.fromkeys([*self._history.failed, *failing]))[:MOST_FAILURES]


def failures_in(ids: Sequence[str], facts: Sequence[Any], outputs: Sequence[bytes | None]) -> dict[str, StepFailure]:
    """Those of the step runs that have failed now, with what they left."""
    found = {}
    for name, fact, raw in zip(ids, facts, outputs, strict=True):
        if fact.state is StepState.FAILED and raw and raw[:1] == b"!":
            found[name] = StepFailure(StepRun.parse(name), Failure.parse(raw[1:]))
    return found


def read_run(client: Client, queue: str, run_id: str) -> RunSnapshot:
    """A picture of one run; `NotFound` if the queue has no such run."""
    return RunReader(client, queue, run_id).read()


def home_queues(client: Client) -> list[str]:
    """The queues that are known to hold runs, in alphabetical order."""
    return sorted(client.execute(Query(("SMEMBERS", keys.QUEUES), lambda reply: texts(list(reply)))))


def list_runs(
    client: Client,
    queues: Iterable[str],
    *,
    limit: int = 50,
    states: Collection[str] = (),
    flow: str = "",
    after_ms: int = 0,
    tags: Collection[str] = (),
) -> list[RunSummary]:
    """The newest runs, of all queues together; `states` are words as shown, none means all. `after_ms`: started then or later. Of
    `tags`, `name=value` or `name`, a run must have all."""
    places = _places(client, queues)
    plans: dict[tuple[str, str], Plan | None] = {}
    found: list[RunSummary] = []
    for at in range(0, len(places), _SLICE):
        if len(found) >= limit:
            break
        piece = places[at : at + _SLICE] if states or flow or after_ms or tags else places[at : min(at + _SLICE, limit)]
        fitting = (s for s in _summaries(client, piece, plans) if (not states or s.word in states) and flow in ("", s.header.flow))
        found += [s for s in fitting if s.header.created_ms >= after_ms and has_tags(s.header, tags)]
    return found[:limit]


def find_run(client: Client, queues: Iterable[str], name: str) -> tuple[str, str]:
    """Queue and id of the run that a whole id, a unique beginning or end of one, or `@last` names."""
    queues = list(dict.fromkeys(queues))
    wanted = name.upper()
    if is_run_id(wanted):
        asked = [Query(("EXISTS", keys.header(queue, wanted)), bool) for queue in queues]
        hits = [queue for queue, is_there in zip(queues, client.execute_all(asked), strict=True) if is_there] if asked else []
        return (hits[0], wanted) if hits else _unknown(name)
    if name != "@last" and len(name) < SHORTEST_NAME:
        raise UsageError(
            f"{name!r} is too short for a run; give {SHORTEST_NAME} or more characters of its beginning or end, or @last",
            hint="omniq-flow runs list",
        )
    places = _places(client, queues)
    fitting = places[:1] if name == "@last" else [p for p in places if p[1].startswith(wanted) or p[1].endswith(wanted)]
    if len(fitting) > 1:
        some = ", ".join(run_id for _, run_id in fitting[:5])
        raise UsageError(f"{name!r} fits {len(fitting)} runs: {some}{', …' if len(fitting) > 5 else ''}", hint="give more characters")
    return fitting[0] if fitting else _unknown(name)


def _unknown(name: str) -> tuple[str, str]:
    raise NotFound(f"there is no run {name!r}" if name != "@last" else "there are no runs", hint="omniq-flow runs list")


def _places(client: Client, queues: Iterable[str]) -> list[tuple[str, str]]:
    """(queue, run id) of all runs, the newest first: a run id begins with its time."""
    names = list(dict.fromkeys(queues))
    asked = [runs_of(queue, which, LISTED) for queue in names for which in ("live", "ended")]
    answers = client.execute_all(asked) if asked else []
    places = {(names[n // 2], run_id) for n, ids in enumerate(answers) for run_id in ids}
    return sorted(places, key=lambda place: (place[1], place[0]), reverse=True)


def _summaries(client: Client, places: list[tuple[str, str]], plans: dict[tuple[str, str], Plan | None]) -> list[RunSummary]:
    """Runs that vanish meanwhile are left out."""
    if not places:
        return []
    headers = read_sound(client, [_maybe_header(queue, run_id) for queue, run_id in places])
    there = [damaged(*place, h) if isinstance(h, Unsound) else h for place, h in zip(places, headers, strict=True) if h is not None]
    tallies = [run_tallies(header.queue, header.run_id) for header in there]
    missing = list(dict.fromkeys((h.queue, h.plan_sha) for h in there if (h.queue, h.plan_sha) not in plans))
    answers = read_sound(client, [*tallies, *(_maybe_plan(*place) for place in missing)])
    plans.update(zip(missing, (sound(plan, None) for plan in answers[len(there) :]), strict=True))
    return [_summary(h, sound(counts, {}), plans[h.queue, h.plan_sha]) for h, counts in zip(there, answers, strict=False)]


def _summary(header: RunHeader, counts: dict[str, int], plan: Plan | None) -> RunSummary:
    steps = tally_steps(plan, counts, header.state) if plan else ()
    return RunSummary(header, sum(s.total for s in steps), sum(s.done for s in steps), sum(s.failed for s in steps))


def _maybe_header(queue: str, run_id: str) -> Query[RunHeader | None]:
    return _maybe(run_header(queue, run_id))


def _maybe_plan(queue: str, sha: str) -> Query[Plan | None]:
    return _maybe(plan_of(queue, sha))


def _maybe(query: Query[Any]) -> Query[Any]:
    """None where the answer would be `NotFound`."""

    def parse(reply: Any) -> Any:
        try:
            return query.parse(reply)
        except NotFound:
            return None

    return Query(query.args, parse)
