"""Steering one run or many: those that are named, or those that fit; with a result for each, stoppable between two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from omniq_flow.cli.batches import INTERRUPTED, PARTLY_DONE, stopping
from omniq_flow.cli.confirm import confirm
from omniq_flow.cli.session import Session, read_duration
from omniq_flow.client.client import Client
from omniq_flow.errors import Conflict, NotFound, OmniqFlowError, UsageError
from omniq_flow.observe.reading import list_runs
from omniq_flow.ops.lanes import server_time

MOST = 10_000
"""So many runs are chosen by one search."""

Place = tuple[str, str]
"""Queue and id of a run."""


@dataclass(frozen=True)
class Choice:
    """Which runs are meant: by name, or by what they must fit."""

    runs: Sequence[str] = ()
    states: Sequence[str] = ()
    flow: str = ""
    since: str | None = None
    tags: Sequence[str] = ()

    @property
    def is_search(self) -> bool:
        return bool(self.states or self.flow or self.since or self.tags)


@dataclass(frozen=True)
class Verb:
    """What is done. `states` are those that a search looks at unless it names some; `act` does it to one run, and gives what is said."""

    name: str
    states: tuple[str, ...]
    act: Callable[[Client, Place], str]
    needs_yes: bool = False


@dataclass
class _Tally:
    done: int = 0
    refused: list[OmniqFlowError] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 all done, 9 some, 5 none is there, 6 all refused."""
        if not self.refused:
            return 0
        if self.done:
            return PARTLY_DONE
        return NotFound.exit_code if all(isinstance(error, NotFound) for error in self.refused) else Conflict.exit_code


def steer(session: Session, choice: Choice, verb: Verb, *, dry_run: bool, yes: bool) -> int:
    """Choose, ask, do it run by run and tell; gives the exit code."""
    if bool(choice.runs) == choice.is_search:
        raise UsageError("name runs, or say which: --state, --flow, --since, --tag", hint="omniq-flow runs list")
    with session.client() as client:
        places = _chosen(session, client, choice, verb)
        what = f"{verb.name} {len(places)} {'run' if len(places) == 1 else 'runs'}"
        if dry_run:
            _tell_only(session, places, what)
            return 0
        if not places:
            session.output.talk("no run fits; nothing was changed")
            return 0
        confirm(session, what, is_confirmed=yes or not (verb.needs_yes or choice.is_search))
        return _carry_out(session, client, places, verb)


def _chosen(session: Session, client: Client, choice: Choice, verb: Verb) -> list[Place]:
    if choice.runs:
        return list(dict.fromkeys(session.find_run(client, name) for name in choice.runs))
    within = read_duration(choice.since, "--since")
    after = client.execute(server_time()) - within if within else 0
    states = choice.states or verb.states
    found = list_runs(client, session.queues(client), limit=MOST, states=states, flow=choice.flow, after_ms=after, tags=choice.tags)
    return [(s.header.queue, s.header.run_id) for s in found]


def _tell_only(session: Session, places: Sequence[Place], what: str) -> None:
    if session.output.is_json:
        session.output.objects(_row(place, "DRY_RUN") for place in places)
    else:
        session.output.data(*(run_id for _, run_id in places))
    session.output.talk(f"would {what}; nothing was changed")


def _carry_out(session: Session, client: Client, places: Sequence[Place], verb: Verb) -> int:
    output, tally = session.output, _Tally()
    with stopping() as is_asked:
        for n, place in enumerate(places, 1):
            try:
                said = verb.act(client, place)
            except (NotFound, Conflict) as error:
                if len(places) == 1:
                    raise
                tally.refused.append(error)
                _show(session, place, "ERR", error.message)
            else:
                tally.done += 1
                _show(session, place, "OK", said)
            if is_asked() and n < len(places):
                output.talk(f"stopped; {len(places) - n} were not looked at")
                return INTERRUPTED
    if len(places) > 1:
        output.talk(f"{tally.done} of {len(places)} done")
    return tally.exit_code


def _show(session: Session, place: Place, status: str, said: str) -> None:
    if session.output.is_json:
        session.output.objects([_row(place, status, said)])
    elif status == "ERR":
        session.output.talk(f"  refused {place[1]}: {said}")
    else:
        session.output.data(place[1] if session.output.is_quiet else f"{place[1]} {said}")


def _row(place: Place, status: str, said: str = "") -> dict[str, Any]:
    queue, run_id = place
    return {"run_id": run_id, "queue": queue, "status": status, "said": said or None}
