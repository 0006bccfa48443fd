"""What the commands share: settings, output, the project's flows, and a server to talk to.

Modules of weight are imported where they are needed: `--help` and a usage error must not pay for them.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from omniq_flow.cli.output import Output
from omniq_flow.errors import ConfigError, NotFound, ServerUnavailable, UsageError
from omniq_flow.model.clock import duration_ms

if TYPE_CHECKING:
    from omniq_flow.cli.config import Settings
    from omniq_flow.client.client import Client
    from omniq_flow.engine.registry import Registry
    from omniq_flow.flow.definition import Flow
    from omniq_flow.server.embedded import EmbeddedServer


@dataclass
class Session:
    """One command at work. `flags` are the settings that were given as flags."""

    output: Output
    is_verbose: bool = False
    is_debug: bool = False
    flags: dict[str, object] = field(default_factory=dict)
    started_server: bool = False

    def configure(self, **flags: object) -> None:
        """Add the settings that a command takes as flags of its own."""
        self.flags.update(flags)

    @cached_property
    def settings(self) -> Settings:
        from omniq_flow.cli.config import resolve

        try:
            return resolve(self.flags, os.environ, Path.cwd())
        except ConfigError as error:
            if error.faults and all(fault.where.startswith("flag ") for fault in error.faults):
                raise UsageError("; ".join(f"--{fault.message.replace('_', '-', 1)}" for fault in error.faults)) from None
            raise

    @cached_property
    def registry(self) -> Registry:
        """The project's flows; what does not load is a fault in it, nothing is raised."""
        from omniq_flow.engine.registry import Registry

        # What a flow file prints is talk: it must not get between the data of a command.
        self.output.protect()
        root = str(self.settings.project.root)
        if root not in sys.path:
            sys.path.insert(0, root)
        return Registry.load(self.settings.flows, value_limit=self.settings.value_limit)

    def flow(self, name: str) -> Flow:
        """The flow of this name; `NotFound` with the one that was probably meant, or what keeps it from loading."""
        registry = self.registry
        if (found := registry.flows.get(name)) is not None:
            if registry.faults:
                self.output.talk("warning: other flows of this project do not load, see omniq-flow flows check")
            return found
        # It may stand in a file that does not load.
        registry.raise_faults()
        raise self.unknown_flow(name)

    def unknown_flow(self, name: str) -> NotFound:
        """A flow that is not there, with the name that was probably meant."""
        known = list(self.registry.flows)
        meant = difflib.get_close_matches(name, known, n=1)
        message = f"there is no flow {name!r}" + (f"; did you mean {meant[0]!r}?" if meant else "")
        hint = "omniq-flow flows list" if known else f"put a file with a flow into {self.settings.flows}"
        return NotFound(message, where=str(self.settings.flows), hint=hint)

    @cached_property
    def server(self) -> EmbeddedServer:
        from omniq_flow.server.embedded import EmbeddedServer

        return EmbeddedServer.for_project(self.settings.project.root)

    @cached_property
    def url(self) -> str:
        """The address to use; without one in the settings the project's own server, started if need be."""
        if self.settings.url:
            return self.settings.url
        address = self.server.ensure()
        self.started_server = address.started_here
        if self.is_verbose:
            self.output.talk(f"server of this project: {address.url}" + (" (started)" if address.started_here else ""))
        return address.url

    @property
    def server_name(self) -> str:
        """The address for people, without its password, and the name of its profile."""
        from omniq_flow.client.connect import masked

        return masked(self.url) + (f" (profile {self.settings.profile})" if self.settings.profile else "")

    def server_moved(self) -> bool:
        """Whether the project's own server is at another address than before; starts it if it is gone."""
        before, self.url = self.url, self.server.ensure().url
        return before != self.url

    @contextmanager
    def client(self) -> Iterator[Client]:
        from omniq_flow.client.client import Client
        from omniq_flow.tui.link import LookingClient

        kind = LookingClient if self.settings.read_only else Client
        with kind.open(self.url, connect_timeout=self.settings.connect_timeout) as client:
            yield client

    @contextmanager
    def looking(self) -> Iterator[Client]:
        """A client for a command that only looks: a server that had to be started for it is stopped again."""
        try:
            with self.client() as client:
                yield client
        finally:
            self.stop_own_server()

    def stop_own_server(self) -> None:
        """Stop the project's server if this command started it and nobody else uses it."""
        if self.started_server:
            self.started_server = False
            self.server.stop_if_unused()

    def queues(self, client: Client, *, with_flows: bool = True) -> list[str]:
        """Where runs may be: the noted home queues, and those of the project's flows."""
        from omniq_flow.observe.reading import home_queues

        noted: list[str] = []
        # A user who may not read the note still sees the queues of the project.
        with suppress(ServerUnavailable):
            noted = home_queues(client)
        return sorted({*noted, *self.registry.queues}) if with_flows else noted

    def find_run(self, client: Client, name: str) -> tuple[str, str]:
        """Queue and run id of what a name means; the flows are loaded only if the noted queues do not tell."""
        from omniq_flow.observe.reading import find_run

        with suppress(NotFound):
            return find_run(client, self.queues(client, with_flows=False), name)
        return find_run(client, self.queues(client), name)


def queue_name(name: str) -> str:
    """A queue as it was named on the command line; `UsageError` for a name that no queue can have."""
    from omniq_flow.model.names import check_queue

    try:
        return check_queue(name)
    except ValueError as error:
        raise UsageError(str(error), hint="omniq-flow queues list") from None


def read_duration(text: str | None, flag: str) -> int | None:
    """Milliseconds of `10m`, `2h30m`, or seconds as a plain number; `UsageError` names the flag."""
    if text is None:
        return None
    try:
        return duration_ms(float(text) if text.replace(".", "", 1).isdigit() else text, flag)
    except ValueError as error:
        raise UsageError(str(error)) from None
