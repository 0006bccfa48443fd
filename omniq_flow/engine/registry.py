"""The flows and the handlers of plain jobs that this process has code for, found in files.

Every `*.py` of a folder is imported under a name of its own, so that a file called `json.py` hides nothing and two
folders may hold a `mail.py`. A file that does not load, or a flow that is wired wrongly, is a fault with file and line;
the others are served all the same.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import traceback
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import CodeType, ModuleType

from omniq_flow.errors import Fault, FlowDefinitionError, FlowLoadError
from omniq_flow.flow.app import App, JobHandler, twice
from omniq_flow.flow.definition import Flow
from omniq_flow.flow.source import short_path
from omniq_flow.flow.values import MAX_VALUE, Codec
from omniq_flow.flow.wiring import AnyStep
from omniq_flow.model.plan import StepPlan


@dataclass(frozen=True)
class StepCode:
    """The code of one step: its handler, and how its value is written."""

    flow: Flow
    step: AnyStep
    codec: Codec

    @property
    def is_async(self) -> bool:
        return self.step.is_async

    @property
    def file(self) -> str:
        """The file that a child process loads to find the flow again."""
        return inspect.getsourcefile(inspect.unwrap(self.step.handler)) or ""


@dataclass
class Registry:
    """Flows by name, handlers of plain jobs by queue, and what is wrong with those that are not there."""

    flows: dict[str, Flow] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    value_limit: int = MAX_VALUE
    handlers: dict[str, JobHandler] = field(default_factory=dict)
    _codes: dict[tuple[str, str], StepCode] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, served: Iterable[Flow | App], faults: Iterable[Fault] = (), *, value_limit: int = MAX_VALUE) -> Registry:
        """A registry of these flows and apps; a wrong wiring, a name or a queue used twice becomes a fault."""
        kept: dict[str, Flow] = {}
        found = list(faults)
        flows, apps = _parted(served)
        for flow in flows:
            try:
                flow.check()
            except FlowDefinitionError as error:
                found += error.faults
                continue
            first = kept.setdefault(flow.name, flow)
            # The same lines imported twice, under the name we gave and by another file, are one flow.
            if first is not flow and first.where != flow.where:
                found.append(Fault(f"flow {flow.name}: is defined twice, first at {first.where}", flow.where))
        handlers: dict[str, JobHandler] = {}
        for app in apps:
            found += app.faults
            for handler in app:
                known = handlers.setdefault(handler.queue, handler)
                if known is not handler and (known.where != handler.where or not known.where):
                    found.append(twice(handler.queue, known.where, handler.where))
        return cls(kept, tuple(found), value_limit, handlers)

    @classmethod
    def load(cls, folder: Path | str, *, value_limit: int = MAX_VALUE) -> Registry:
        """All that is in a folder's files; names that begin with `_` or `.` are left out."""
        served: list[Flow | App] = []
        faults: list[Fault] = []
        files = sorted(Path(folder).glob("*.py")) if Path(folder).is_dir() else []
        for file in files:
            if file.name.startswith(("_", ".")):
                continue
            try:
                served += served_of(load_file(file))
            except FlowLoadError as error:
                faults += error.faults
        return cls.of(served, faults, value_limit=value_limit)

    @property
    def queues(self) -> tuple[str, ...]:
        """The home queues of all flows and the queues of all handlers, each once."""
        return tuple(dict.fromkeys([*(flow.queue for flow in self.flows.values()), *self.handlers]))

    @property
    def serves(self) -> dict[str, list[str]]:
        """Flow -> its steps, as a worker tells it; plain jobs stand under `queue:` and their queue's name."""
        flows = {name: list(flow.steps) for name, flow in self.flows.items()}
        return flows | {f"queue:{queue}": [handler.name] for queue, handler in self.handlers.items()}

    def part(self, names: Collection[str], queues: Collection[str]) -> Registry:
        """Only the flows of these names and what is on these queues; of none, all. Who names flows wants no plain jobs."""
        flows = {f.name: f for f in self.flows.values() if (not names or f.name in names) and (not queues or f.queue in queues)}
        handlers = {} if names else {q: handler for q, handler in self.handlers.items() if not queues or q in queues}
        return Registry(flows, value_limit=self.value_limit, handlers=handlers)

    def raise_faults(self) -> None:
        """Raise `FlowLoadError` with everything that is wrong, if anything is."""
        if self.faults:
            count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
            raise FlowLoadError(f"flows do not load: {count}", self.faults, where=self.faults[0].where)

    def find(self, flow: str, step: StepPlan) -> StepCode | None:
        """The code for a step of a stored plan, by flow, step name and parameter names; None if there is none here."""
        if (here := self.flows.get(flow)) is None or step.name not in here.steps:
            return None
        if _parameters(step) != _parameters(here.plan().by_name[step.name]):
            return None
        return self.code(flow, step.name)

    def code(self, flow: str, step: str) -> StepCode:
        """The code of a step that is here; `KeyError` if it is not."""
        if (flow, step) not in self._codes:
            own = self.flows[flow].steps[step]
            self._codes[flow, step] = StepCode(self.flows[flow], own, Codec(own.returns, step, limit=self.value_limit))
        return self._codes[flow, step]


def _parameters(step: StepPlan) -> set[str]:
    return {i.param for i in step.inputs if i.kind != "after"}


def served_of(module: ModuleType) -> list[Flow | App]:
    """The flows and apps among a module's names, in the order of their definition, each once."""
    return list({id(value): value for value in vars(module).values() if isinstance(value, (Flow, App))}.values())


def _parted(served: Iterable[Flow | App]) -> tuple[list[Flow], list[App]]:
    both = list(served)
    return [each for each in both if isinstance(each, Flow)], [each for each in both if isinstance(each, App)]


class _AsItStands(SourceFileLoader):
    """Compiles what the file says now. Python takes a compilation that was kept for a file's own if length and second of its
    last change are the same, so a quick edit would go on as it was before."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def load_file(file: Path | str) -> ModuleType:
    """Import a file under a name of its own; `FlowLoadError` with the line that failed."""
    path = Path(file).resolve()
    name = f"omniq_flow_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    loader = _AsItStands(name, str(path))
    spec = ModuleSpec(name, loader, origin=str(path))
    spec.has_location = True
    module = module_from_spec(spec)
    # Pydantic and pickle look a class up by its module's name.
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        fault = _fault(error, str(path))
        raise FlowLoadError("a file does not load", (fault,), where=fault.where) from error
    return module


def _fault(error: BaseException, path: str) -> Fault:
    """The innermost line inside the file itself: that is where its author looks first."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return Fault(f"SyntaxError: {error.msg}", f"{short_path(path)}:{error.lineno or 1}")
    lines = [frame.lineno or 1 for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    try:
        text = str(error)
    except Exception:
        text = ""
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return Fault(message, f"{short_path(path)}:{lines[-1] if lines else 1}")
