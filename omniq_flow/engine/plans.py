"""Stored plans, and their steps bound to the code that is here; read once, as a plan never changes."""

from __future__ import annotations

from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.binding import Bound
from omniq_flow.engine.registry import Registry
from omniq_flow.model.plan import Plan
from omniq_flow.ops.runs import plan_of

KEPT = 256


class Plans:
    """The plans that runs of this worker follow. Those of the code itself are known from the start."""

    def __init__(self, client: AsyncClient, registry: Registry) -> None:
        self._client = client
        self._registry = registry
        self._plans: dict[str, Plan] = {flow.plan().sha: flow.plan() for flow in registry.flows.values()}
        self._bound: dict[tuple[str, str], Bound | None] = {}

    def known(self, sha: str) -> Plan | None:
        return self._plans.get(sha)

    async def read(self, queue: str, sha: str) -> Plan:
        """Fetch a plan; `NotFound` if it is gone, `ValueError` if a newer version wrote it."""
        plan = await self._client.execute(plan_of(queue, sha))
        while len(self._plans) >= KEPT:
            oldest = next(iter(self._plans))
            del self._plans[oldest]
            self._bound = {key: bound for key, bound in self._bound.items() if key[0] != oldest}
        self._plans[sha] = plan
        return plan

    def bound(self, plan: Plan, step: str) -> Bound | None:
        """A step of a plan with its code; None if there is no code for it here."""
        key = (plan.sha, step)
        if key not in self._bound:
            code = self._registry.find(plan.flow, plan.by_name[step]) if step in plan.by_name else None
            self._bound[key] = Bound.of_plan(plan, step, code) if code else None
        return self._bound[key]
