"""Whether a value survives JSON: what a type promises, and what a value breaks.

A core schema made only of kinds that Pydantic reads back as it wrote them needs no second look. Everything
else (`Any`, unions, custom serializers, excluded fields) is compared value by value.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KEPT = _words("""
    none bool int float str bytes date time datetime timedelta decimal uuid enum literal nullable default list tuple set frozenset
    dict model model-fields model-field dataclass dataclass-args dataclass-field typed-dict typed-dict-field named-tuple
    named-tuple-field definitions definition-ref tagged-union
""")
_HARMLESS_CONFIG = _words("""
    title strict frozen from_attributes validate_assignment validate_default validate_by_alias validate_by_name populate_by_name
    extra_fields_behavior
""")
_NOT_SCHEMAS = _words("metadata default members expected cls config discriminator")


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in a value and what is wrong there."""

    path: str
    reason: str


def needs_comparison(schema: Any) -> bool:
    """Whether a value of this schema may come back as something else."""
    return any(_is_doubtful(node) for node in _nodes(schema))


def uses_floats(schema: Any) -> bool:
    return any(node["type"] == "float" for node in _nodes(schema))


def _nodes(schema: Any) -> Iterator[Mapping[str, Any]]:
    """All schemas inside a schema."""
    stack = [schema]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if isinstance(node.get("type"), str):
                yield node
            stack.extend(v for k, v in node.items() if k not in _NOT_SCHEMAS)
        elif isinstance(node, (list, tuple)):
            stack.extend(node)


def _is_doubtful(node: Mapping[str, Any]) -> bool:
    config = node.get("config") or {}
    return bool(
        node["type"] not in _KEPT
        or node.get("serialization")
        or node.get("serialization_exclude")
        or node.get("serialization_exclude_if")
        or node.get("computed_fields")
        or node.get("extras_schema")
        or "allow" in (node.get("extra_behavior"), config.get("extra_fields_behavior"))
        or not _HARMLESS_CONFIG.issuperset(config)
    )


def what_is_wrong(value: Any, path: str = "", *, iterators_only: bool = False) -> Finding | None:
    """The first part of a value that JSON cannot hold, whatever its type is declared to be."""
    seen: set[int] = set()
    stack = [(path, value)]
    while stack:
        at, part = stack.pop()
        if reason := _reason(part, iterators_only):
            return Finding(at, reason)
        inner = _parts(part, at)
        if inner and id(part) not in seen:
            seen.add(id(part))
            stack.extend(reversed(inner))
    return None


def _reason(part: Any, iterators_only: bool) -> str:
    if isinstance(part, Iterator):
        return f"is {article(part)}, which can be read only once; make it a list"
    if iterators_only:
        return ""
    if isinstance(part, float) and not math.isfinite(part):
        return f"is {part} (float); JSON has no such number"
    if isinstance(part, str) and not part.isascii() and not _is_utf8(part):
        return f"is a str with a lone surrogate ({ascii(part)[:40]}), which is no UTF-8"
    if isinstance(part, (bytes, bytearray)) and not _decodes(part):
        return f"is {type(part).__name__} that are no UTF-8 ({bytes(part)[:20]!r}); write them as base64 text"
    return ""


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decodes(raw: bytes | bytearray) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parts(value: Any, path: str) -> list[tuple[str, Any]]:
    """What a value is made of, with paths."""
    if isinstance(value, (str, bytes, bytearray, int, float, Enum)) or value is None:
        return []
    if isinstance(value, BaseModel):
        fields = {**value.__dict__, **(value.__pydantic_extra__ or {})}
        return [(f"{path}.{name}", part) for name, part in fields.items()]
    if isinstance(value, Mapping):
        return [pair for key, part in value.items() for pair in ((f"{path}[{key!a}]", part), (f"{path} key {key!a}", key))]
    if isinstance(value, (Sequence, set, frozenset)):
        return [(f"{path}[{n}]", part) for n, part in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f"{path}.{f.name}", getattr(value, f.name, None)) for f in dataclasses.fields(value)]
    return []


def difference(sent: Any, back: Any, path: str = "") -> Finding | None:
    """The first place where a value came back as something else."""
    stack = [(path, sent, back)]
    while stack:
        at, a, b = stack.pop()
        if type(a) is not type(b):
            return Finding(at, f"is {article(a)}, which JSON does not keep (it comes back as {article(b)})")
        if isinstance(a, (set, frozenset)):
            if a != b:
                return Finding(at, f"is {article(a)} whose members JSON does not keep")
            continue
        inner, other = _parts(a, at), dict(_parts(b, at))
        if not inner and not other:
            if a != b:
                return Finding(at, f"is {article(a)} that comes back as another ({ascii(a)[:40]}, {ascii(b)[:40]})")
        elif missing := [p for p, _ in inner if p not in other] or [p for p in other if p not in dict(inner)]:
            return Finding(missing[0], "is lost on the way through JSON")
        stack.extend((p, part, other[p]) for p, part in reversed(inner))
    return None


def unwritable(value: Any, path: str = "") -> str:
    """The place of the smallest part that JSON refuses by itself; of the whole, where no part does."""
    seen: set[int] = set()
    while id(value) not in seen:
        seen.add(id(value))
        refused = next(((p, part) for p, part in _parts(value, path) if not _is_writable(part)), None)
        if refused is None:
            break
        path, value = refused
    return path


def _is_writable(part: Any) -> bool:
    try:
        to_json(part)
    except Exception:  # pydantic_core and custom serializers raise many kinds
        return False
    return True


def heaviest(value: Any, path: str = "") -> tuple[str, int]:
    """The smallest part that still makes up more than half of a value, with its size as JSON."""
    size = _size(value)
    for _ in range(8):
        sized = [(p, part, _size(part)) for p, part in _parts(value, path) if " key " not in p]
        largest = max(sized, key=lambda s: s[2], default=None)
        if largest is None or largest[2] * 2 < size:
            break
        path, value, size = largest
    return path, size


def _size(value: Any) -> int:
    return len(to_json(value, fallback=repr))


def article(value: object) -> str:
    """`a set`, `an int`, `None`: a type as part of a sentence."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
