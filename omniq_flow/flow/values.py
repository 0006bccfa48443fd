"""Values as JSON: written by Pydantic, read back as exactly what they were, or refused.

A value that would come back as something else is a failure of the step that made it, said at once with the
field's path: NaN (Pydantic writes `null`), a set or a model under `Any`, text that is no UTF-8, a generator
inside a field. Most types keep their values by construction, so a small model costs microseconds; for
types that may not (`Any`, unions, custom serializers) the written form is read back and compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from types import GeneratorType
from typing import Any, Literal, NoReturn

from pydantic import BaseModel, TypeAdapter, ValidationError

from omniq_flow.errors import Fault, InputError, ValueNotJson, ValueTooLarge
from omniq_flow.flow.exactness import Finding, article, difference, heaviest, needs_comparison, unwritable, uses_floats, what_is_wrong
from omniq_flow.flow.typing_rules import element_of, plain, show, without_none

MAX_VALUE = 1024 * 1024
LISTS = "a list, a tuple or a generator"


class Codec:
    """Writes and reads the values of one type; `what` names them in a refusal (a step, `input`)."""

    def __init__(self, annotation: Any, what: str, *, limit: int = MAX_VALUE) -> None:
        self.annotation = annotation
        self.what = what
        self.limit = limit
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        self._element = element_of(annotation)
        self._model = plain(without_none(annotation if self._element is None else self._element))
        self._is_compared = needs_comparison(self._adapter.core_schema)
        self._has_floats = uses_floats(self._adapter.core_schema)

    @property
    def is_list(self) -> bool:
        return self._element is not None

    @cached_property
    def element(self) -> Codec:
        """The codec of one element; only lists have it."""
        return Codec(self._element, self.what, limit=self.limit)

    @cached_property
    def schema(self) -> str:
        """Canonical JSON of the type's JSON Schema, without docstrings."""
        return schema_of(self.annotation, "serialization")

    def encode(self, value: Any) -> bytes:
        """Compact JSON of a value; a dict that fits a declared model is taken as one.

        Raises `ValueNotJson` naming the Python type and the field's path, `ValueTooLarge` above the limit.
        """
        value = self.listed(value) if self._element is not None else value
        return self._encode(value, "")

    def encode_elements(self, value: Any) -> list[bytes]:
        """The elements of a list that is mapped, each with the limit of a value."""
        codec = self.element
        return [codec._encode(item, f"[{n}]") for n, item in enumerate(self.listed(value))]

    def decode(self, raw: bytes | str) -> Any:
        """The value as it was written."""
        try:
            return self._adapter.validate_json(raw, by_alias=True, by_name=True)
        except ValidationError as error:
            path, reason = first_problem(error)
            message = f"{self.what}: the stored value does not fit {show(self.annotation)}: {path or 'the value'}: {reason}"
            raise ValueNotJson(message, where=path) from None

    def listed(self, value: Any) -> list[Any]:
        """A step's list as a list. A generator runs here, so this belongs where the handler runs."""
        if isinstance(value, list):
            return value
        if isinstance(value, (tuple, GeneratorType)):
            return list(value)
        message = f"{self.what}: returned {article(value)} where {show(self.annotation)} is declared; {LISTS} is accepted"
        raise ValueNotJson(message)

    def _encode(self, value: Any, path: str) -> bytes:
        if self._is_compared and (found := what_is_wrong(value, path, iterators_only=True)):
            self._refuse(found)
        try:
            value = self._adapter.validate_python(value, strict=True)
            raw = self._adapter.dump_json(value, warnings="error")
        except ValidationError as error:
            self._refuse_mismatch(value, path, error)
        except Exception as error:  # pydantic_core and custom serializers raise many kinds
            reason = f"cannot be written as JSON ({str(error).splitlines()[0]})"
            self._refuse(what_is_wrong(value, path) or Finding(unwritable(value, path), reason))
        if len(raw) > self.limit:
            self._refuse_size(value, path, len(raw))
        self._refuse_losses(value, path)
        if self._is_compared or (self._has_floats and b"null" in raw):
            self._compare(value, raw, path)
        return raw

    def _compare(self, value: Any, raw: bytes, path: str) -> None:
        if found := what_is_wrong(value, path):
            self._refuse(found)
        if not self._is_compared:
            return
        try:
            back = self._adapter.validate_json(raw, by_alias=True, by_name=True)
        except ValidationError as error:
            inner, reason = first_problem(error)
            self._refuse(Finding(path + inner, f"is written as JSON but cannot be read back ({reason})"))
        if found := difference(value, back, path):
            self._refuse(found)

    def _refuse_losses(self, value: Any, path: str) -> None:
        """Pydantic writes a subclass as the model that is declared; what it adds would be gone without a word."""
        if not (isinstance(self._model, type) and issubclass(self._model, BaseModel)):
            return
        for n, item in enumerate(value if self.is_list else (value,)):
            if (
                isinstance(item, BaseModel)
                and type(item) is not self._model
                and (added := type(item).model_fields.keys() - self._model.model_fields.keys())
            ):
                reason = f"is {article(item)} where {show(self._model)} is declared; {', '.join(sorted(added))} would be lost"
                self._refuse(Finding(f"{path}[{n}]" if self.is_list else path, reason))

    def _refuse(self, found: Finding) -> NoReturn:
        path = _shown(found.path)
        raise ValueNotJson(f"{self.what}: {path or 'the value'} {found.reason}", where=path)

    def _refuse_mismatch(self, value: Any, path: str, error: ValidationError) -> NoReturn:
        """A lone surrogate is reported by Pydantic as a wrong type; the better reason is looked for first."""
        if found := what_is_wrong(value, path):
            self._refuse(found)
        inner, reason = first_problem(error)
        given = error.errors(include_url=False)[0]["input"]
        self._refuse(Finding(_joined(path, inner), f"is {article(given)} where {show(self.annotation)} is declared ({reason})"))

    def _refuse_size(self, value: Any, path: str, size: int) -> NoReturn:
        where, part = heaviest(value, path)
        largest = f"; largest part: {_shown(where)} with {_bytes(part)}" if where != path else ""
        place = _shown(path) or "the value"
        raise ValueTooLarge(f"{self.what}: {place} has {_bytes(size)}, {_bytes(self.limit)} is the limit{largest}", where=_shown(where))


def read_input(model: type[BaseModel] | None, value: Any) -> BaseModel | None:
    """The input of a run from a model, a dict or JSON text; `InputError` names every field that is wrong."""
    if model is None:
        if value is None:
            return None
        raise InputError("this flow takes no input", (Fault(f"got {article(value)}"),))
    if isinstance(value, model):
        return value
    try:
        if isinstance(value, (str, bytes, bytearray)):
            return model.model_validate_json(value)
        return model.model_validate(value)
    except ValidationError as error:
        raise InputError(f"the input is no {model.__name__}", _field_faults(error)) from None


def schema_of(annotation: Any, mode: Literal["validation", "serialization"]) -> str:
    """Canonical JSON of a type's JSON Schema, without docstrings: to reword one is not to change the type."""
    schema = TypeAdapter(annotation).json_schema(by_alias=mode == "validation", mode=mode)
    for part in (schema, *schema.get("$defs", {}).values()):
        part.pop("description", None)
    return json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _field_faults(error: ValidationError) -> tuple[Fault, ...]:
    return tuple(Fault(f"{_path(e['loc']) or 'input'}: {e['msg']}, got {_short(e['input'])}") for e in error.errors(include_url=False))


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Path and reason of the first thing that does not fit; the path is empty for the value itself."""
    detail = error.errors(include_url=False)[0]
    return _path(detail["loc"]), str(detail["msg"])


def _path(loc: Iterable[int | str]) -> str:
    """`pages[3].score`"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _shown(path: str) -> str:
    """A path without what only separates."""
    return path.lstrip(". ")


def _joined(path: str, inner: str) -> str:
    return f"{path}.{inner}" if path and inner and not inner.startswith("[") else path + inner


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _bytes(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KiB" if size < MAX_VALUE else f"{size / MAX_VALUE:.1f} MiB"
