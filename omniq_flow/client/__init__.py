"""The only place that talks to Redis. OmniQ's clients, which stand above it, can be imported from here as well."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_ABOVE = {"AsyncOmniqClient": "omniq_flow.omniq.async_client", "OmniqClient": "omniq_flow.omniq.client"}

if TYPE_CHECKING:
    from omniq_flow.omniq.async_client import AsyncOmniqClient as AsyncOmniqClient
    from omniq_flow.omniq.client import OmniqClient as OmniqClient


def __getattr__(name: str) -> object:
    if home := _ABOVE.get(name):
        return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
