"""Durable, typed DAG workflows on Redis or Valkey.

The public names, grouped by topic. Each is loaded from the module that owns it when it is first used, so that
`import omniq_flow` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_HOMES = {
    # writing a flow
    "omniq_flow.flow.definition": ("Flow",),
    "omniq_flow.flow.markers": ("each", "gather", "result"),
    "omniq_flow.flow.options": ("Retry",),
    "omniq_flow.flow.context": ("JobContext", "JobCtx", "StepContext"),
    "omniq_flow.model.runs": ("Failure",),
    # working plain jobs
    "omniq_flow.flow.app": ("App",),
    "omniq_flow.omniq.consume": ("Consumer", "consume"),
    # talking to a server
    "omniq_flow.client.client": ("AsyncClient", "Client"),
    # plain jobs, by OmniQ's names
    "omniq_flow.model.jobs": ("NewJob",),
    "omniq_flow.omniq.async_client": ("AsyncOmniqClient",),
    "omniq_flow.omniq.client": ("OmniqClient",),
    "omniq_flow.omniq.monitor": ("QueueMonitor",),
    "omniq_flow.omniq.results": ("ReserveJob", "ReservePaused"),
    "omniq_flow.ops.replies": ("BatchResultItem",),
    # what can go wrong
    "omniq_flow.errors": (
        "ConfigError",
        "Conflict",
        "Fault",
        "FlowDefinitionError",
        "FlowLoadError",
        "GaveUpWaiting",
        "InputError",
        "LeaseLost",
        "NotFound",
        "OmniqFlowError",
        "OperationRefused",
        "ReplyError",
        "RunFailed",
        "ServerUnavailable",
        "StepFailed",
        "StepSkipped",
        "UsageError",
        "ValueNotJson",
        "ValueTooLarge",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from omniq_flow.client.client import AsyncClient as AsyncClient, Client as Client
    from omniq_flow.errors import (
        ConfigError as ConfigError,
        Conflict as Conflict,
        Fault as Fault,
        FlowDefinitionError as FlowDefinitionError,
        FlowLoadError as FlowLoadError,
        GaveUpWaiting as GaveUpWaiting,
        InputError as InputError,
        LeaseLost as LeaseLost,
        NotFound as NotFound,
        OmniqFlowError as OmniqFlowError,
        OperationRefused as OperationRefused,
        ReplyError as ReplyError,
        RunFailed as RunFailed,
        ServerUnavailable as ServerUnavailable,
        StepFailed as StepFailed,
        StepSkipped as StepSkipped,
        UsageError as UsageError,
        ValueNotJson as ValueNotJson,
        ValueTooLarge as ValueTooLarge,
    )
    from omniq_flow.flow.app import App as App
    from omniq_flow.flow.context import JobContext as JobContext, JobCtx as JobCtx, StepContext as StepContext
    from omniq_flow.flow.definition import Flow as Flow
    from omniq_flow.flow.markers import each as each, gather as gather, result as result
    from omniq_flow.flow.options import Retry as Retry
    from omniq_flow.model.jobs import NewJob as NewJob
    from omniq_flow.model.runs import Failure as Failure
    from omniq_flow.omniq.async_client import AsyncOmniqClient as AsyncOmniqClient
    from omniq_flow.omniq.client import OmniqClient as OmniqClient
    from omniq_flow.omniq.consume import Consumer as Consumer, consume as consume
    from omniq_flow.omniq.monitor import QueueMonitor as QueueMonitor
    from omniq_flow.omniq.results import ReserveJob as ReserveJob, ReservePaused as ReservePaused
    from omniq_flow.ops.replies import BatchResultItem as BatchResultItem
else:

    def __getattr__(name: str) -> object:
        if home := _HOME.get(name):
            value = getattr(import_module(home), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
