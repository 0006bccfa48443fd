"""A group's name from a run's input: `customer:{input.customer}`.

Only `input` and its fields can be named: the group is fixed when the run starts, before any step has run.
"""

from __future__ import annotations

import string
from enum import Enum
from typing import Any

from pydantic import BaseModel

from omniq_flow.errors import Fault, InputError
from omniq_flow.flow.typing_rules import plain, without_none

MAX_GROUP = 128


def check_group(template: str, model: type[BaseModel] | None) -> list[str]:
    """What is wrong with a template, for the flow's input model."""
    try:
        fields = _fields(template)
    except ValueError as error:
        return [f"group: {template!r} cannot be read: {error}"]
    faults = [fault for path, extra in fields if (fault := _check_field(template, path, extra, model))]
    return faults or ([] if fields else [f"group: {template!r} names no field of the input, such as '{{input.customer}}'"])


def render_group(template: str, document: BaseModel | None) -> str:
    """The group of a run with this input; `InputError` if a field is empty or the name grows too long."""
    pieces = string.Formatter().parse(template)
    name = "".join(literal + (_value(template, path, document) if path else "") for literal, path, _, _ in pieces)
    if not name or len(name) > MAX_GROUP:
        raise _refused(f"group {template!r} gives a name of {len(name)} characters; 1 to {MAX_GROUP} are allowed")
    return name


def _fields(template: str) -> list[tuple[str, str]]:
    """(path, whatever else stood in the braces)."""
    pieces = string.Formatter().parse(template)
    return [(path, (spec or "") + (conversion or "")) for _, path, spec, conversion in pieces if path is not None]


def _check_field(template: str, path: str, extra: str, model: type[BaseModel] | None) -> str:
    head, *names = path.split(".")
    if head != "input" or not names or extra:
        return f"group: {{{path}}} in {template!r} is not allowed; only fields of the input are, such as '{{input.customer}}'"
    if model is None:
        return f"group: {template!r} needs an input, and the flow declares none (input=...)"
    at: Any = model
    for name in names:
        if not (isinstance(at, type) and issubclass(at, BaseModel)):
            return f"group: {{{path}}} in {template!r}: {getattr(at, '__name__', at)} has no fields"
        if name not in at.model_fields:
            return f"group: {{{path}}} in {template!r}: {at.__name__} has no field {name!r}; it has {', '.join(at.model_fields)}"
        at = plain(without_none(at.model_fields[name].annotation))
    if isinstance(at, type) and issubclass(at, (BaseModel, list, dict, set, tuple)):
        return f"group: {{{path}}} in {template!r} is a whole {at.__name__}; name one of its fields"
    return ""


def _value(template: str, path: str, document: BaseModel | None) -> str:
    value: Any = document
    for name in path.split(".")[1:]:
        value = getattr(value, name, None)
    value = value.value if isinstance(value, Enum) else value
    if value is None or str(value) == "":
        raise _refused(f"{path} is empty, and the flow's group {template!r} needs it")
    text = str(value)
    if not text.isprintable():
        raise _refused(f"{path} is {text!r}, which cannot be part of a group's name")
    return text


def _refused(message: str) -> InputError:
    return InputError("the input does not give a group", (Fault(message),))
