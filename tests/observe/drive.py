"""Works runs step by step without an engine: a test says how each step run ends.

An outcome is a value, a list for a list step, `Bad` for a failure, `Again` for an attempt that is tried again, `SKIP`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import Plan
from omniq_flow.model.runs import Failure, new_run_id
from omniq_flow.model.tags import Tags
from omniq_flow.ops.runs import run_start
from omniq_flow.ops.ticks import Settled, Taken, list_stage, tick

SKIP = object()


@dataclass(frozen=True)
class Bad:
    """A failure for good."""

    message: str
    type: str = "ValueError"


@dataclass(frozen=True)
class Again:
    """One more attempt, `delay_ms` from now on."""

    delay_ms: int = 1


Outcomes = Mapping[str, Any] | Callable[[StepRun], Any]


class Drive:
    """Starts runs of one plan and works them with the outcomes it is given; step runs without one give their name."""

    def __init__(self, client: Client, plan: Plan) -> None:
        self.client = client
        self.plan = plan
        self._mapped = {name for step in plan.steps for name in step.level}
        self._beats = 0

    def start(self, value: Any = None, *, key: str = "", tags: Tags = ()) -> str:
        run_id = new_run_id()
        command = run_start(self.plan, run_id, json.dumps(value).encode(), key=key, tags=tags, with_plan=True)
        return self.client.execute(command).run_id

    def take(self, most: int = 64, settled: list[Settled] | None = None) -> tuple[Taken, ...]:
        """One beat."""
        self._beats += 1
        request = f"r{self._beats}"
        return self.client.execute(tick(self.plan.queue, worker="w", request=request, salt=request, settled=settled or [], take=most)).taken

    def settle(self, taken: tuple[Taken, ...], outcomes: Outcomes) -> tuple[Taken, ...]:
        """Report these jobs and take what is next."""
        return self.take(settled=[self._report(job, outcomes) for job in taken])

    def report(self, taken: Sequence[Taken], outcomes: Outcomes = {}) -> None:  # noqa: B006
        """Report these jobs and take nothing."""
        self.take(0, settled=[self._report(job, outcomes) for job in taken])

    def work(self, outcomes: Outcomes = {}) -> None:  # noqa: B006
        """Work all there is, until nothing more is handed out."""
        taken = self.take()
        while taken:
            taken = self.settle(taken, outcomes)

    def finished(self, outcomes: Outcomes = {}, value: Any = None) -> str:  # noqa: B006
        """Start a run and work it to its end."""
        run_id = self.start(value)
        self.work(outcomes)
        return run_id

    def _report(self, job: Taken, outcomes: Outcomes) -> Settled:
        assert job.flow is not None
        step_run = job.flow.step_run
        end = outcomes(step_run) if callable(outcomes) else outcomes.get(str(step_run), outcomes.get(step_run.step, step_run.step))
        match end:
            case Bad(message, kind):
                failure = Failure(kind, message, step_run.id, job.attempt)
                return Settled(job.job_id, job.token, "fatal", 0, failure.json.encode(), str(failure))
            case Again(delay):
                return Settled(job.job_id, job.token, "fail", delay, b"", "again")
            case list() if step_run.step in self._mapped:
                for at in range(0, len(end), 1000):
                    elements = [json.dumps(element).encode() for element in end[at : at + 1000]]
                    self.client.execute(list_stage(self.plan.queue, job.job_id, job.token, at, elements))
                return Settled(job.job_id, job.token, "list", len(end))
            case _ if end is SKIP:
                return Settled(job.job_id, job.token, "skip")
            case _:
                return Settled(job.job_id, job.token, "ok", 0, json.dumps(end).encode())
