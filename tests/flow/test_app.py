"""Handlers of plain jobs as they are written: what they are handed, and what is wrong with them, with file and line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from omniq_flow.errors import FlowDefinitionError, ValueNotJson
from omniq_flow.flow.app import App, is_coroutine_function
from omniq_flow.flow.context import JobContext, JobCtx


class Email(BaseModel):
    to: str
    copies: list[str] = []


def given(app: App, raw: bytes, queue: str = "q") -> Any:
    """What the queue's handler gives for a payload."""
    app.check()
    return app.handlers[queue].invoke(JobContext(queue, "1", raw), raw)


def only_fault(app: App) -> str:
    with pytest.raises(FlowDefinitionError, match="1 fault") as caught:
        app.check()
    (fault,) = caught.value.faults
    return str(fault)


def test_a_decorated_function_stays_what_it_was() -> None:
    app = App()

    def send(email: Email) -> str:
        return email.to

    assert app.handler(queue="q")(send) is send
    assert send(Email(to="ann")) == "ann"
    assert repr(app) == "<app of q>"


def test_the_payload_is_read_as_the_type_of_its_parameter() -> None:
    app = App()

    @app.handler(queue="q")
    def send(email: Email) -> Email:
        return email

    assert given(app, b'{"to":"ann","copies":["bob"]}') == Email(to="ann", copies=["bob"])


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"to":"ann","copies":["bob",1]}', "copies[1]: Input should be a valid string"),
        (b'{"copies":[]}', "to: Field required"),
        (b"hello", "the payload: Invalid JSON"),
    ],
)
def test_a_payload_that_does_not_fit_is_told_with_its_path(raw: bytes, told: str) -> None:
    app, calls = App(), []

    @app.handler(queue="q")
    def send(email: Email) -> None:
        calls.append(email)

    with pytest.raises(ValueNotJson) as caught:
        given(app, raw)
    assert str(caught.value).startswith(f"the payload does not fit Email: {told}")
    assert calls == []


@pytest.mark.parametrize(("raw", "payload"), [(b'{"a":[1,null]}', {"a": [1, None]}), (b"\xff hi", "\\xff hi"), (b"", "")])
def test_without_a_type_the_payload_is_what_its_json_says_or_its_text(raw: bytes, payload: object) -> None:
    app = App()

    @app.handler(queue="q")
    def plain(payload):  # type: ignore[no-untyped-def]
        return payload

    @app.handler(queue="any")
    def anything(ctx: JobContext, payload: Any) -> Any:
        return payload if payload is ctx.payload else "read twice"

    assert given(app, raw) == payload
    assert given(app, raw, "any") == payload


def test_the_context_is_found_by_its_type_or_its_name() -> None:
    app = App()

    @app.handler(queue="typed")
    def typed(email: Email, job: JobCtx) -> tuple[str, str]:
        return email.to, job.job_id

    @app.handler(queue="named")
    def named(ctx):  # type: ignore[no-untyped-def]
        return ctx.queue

    @app.handler(queue="nothing")
    def nothing() -> str:
        return "called"

    assert given(app, b'{"to":"ann"}', "typed") == ("ann", "1")
    assert given(app, b"{}", "named") == "named"
    assert given(app, b"{}", "nothing") == "called"


def test_a_type_made_beside_the_handler_is_found() -> None:
    class Local(BaseModel):
        n: int

    app = App()

    @app.handler(queue="q")
    def local(payload: Local) -> int:
        return payload.n

    assert given(app, b'{"n":3}') == 3


def test_a_queue_has_one_handler() -> None:
    app = App()

    @app.handler(queue="q")
    def first() -> None: ...

    @app.handler(queue="q")
    def second() -> None: ...

    told = only_fault(app)
    assert told.startswith("queue q: has two handlers, the first at tests/flow/test_app.py:")
    assert str(inspect.getsourcelines(second)[1]) in told


def test_a_bad_queue_name_and_timeout_are_told_where_they_stand() -> None:
    app = App()

    @app.handler(queue="a b", timeout="soon")
    def handler() -> None: ...

    with pytest.raises(FlowDefinitionError) as caught:
        app.check()
    assert [fault.message for fault in caught.value.faults] == [
        "timeout: 'soon' is not allowed; None, or a duration above 0, such as '2m'",
        "queue name 'a b' has ' '; letters, digits, '.', '_' and '-' are allowed",
    ]
    assert all(fault.where.startswith("tests/flow/test_app.py:") for fault in caught.value.faults)


@pytest.mark.parametrize("timeout", [0, -1, True, "0s"])
def test_a_timeout_is_above_zero(timeout: float | str) -> None:
    app = App()
    app.handler(queue="q", timeout=timeout)(lambda: None)
    assert "is not allowed" in only_fault(app)


def test_a_timeout_is_kept_in_ms() -> None:
    app = App()
    app.handler(queue="q", timeout="1m30s")(lambda: None)
    assert app.handlers["q"].timeout_ms == 90_000


def too_many(a: int, b: int) -> None: ...
def two_contexts(ctx: JobContext, other: JobContext) -> None: ...
def stars(*payloads: int) -> None: ...
def double_stars(**payload: int) -> None: ...
def by_place(payload: int, /) -> None: ...
def generator() -> Iterator[int]:
    yield 1


def unknown_type(payload: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def untellable(payload: inspect.Signature) -> None: ...


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (too_many, "b is one parameter too many: a is the payload already"),
        (two_contexts, "other is one parameter too many: ctx is the context already"),
        (stars, "*payloads is handed nothing"),
        (double_stars, "**payload is handed nothing"),
        (by_place, "payload cannot be given by name; remove the '/'"),
        (generator, "is a generator, so calling it does nothing"),
        (unknown_type, "parameter payload: annotation 'Nowhere'"),
        (untellable, "parameter payload: Signature cannot be read from JSON"),
    ],
)
def test_what_a_handler_cannot_be_is_told_with_file_and_line(function: Any, told: str) -> None:
    app = App()
    app.handler(queue="q")(function)
    message = only_fault(app)
    assert message.startswith(f"handler {function.__name__}: {told}")
    line = inspect.getsourcelines(function)[1]
    assert f"(tests/flow/test_app.py:{line})" in message


def test_only_a_function_is_decorated() -> None:
    with pytest.raises(FlowDefinitionError, match=r"queue q: handler\(\) decorates a function"):
        App().handler(queue="q")(3)  # type: ignore[type-var]


def test_all_ways_to_write_an_async_handler_are_seen() -> None:
    async def written(ctx: JobContext) -> None: ...

    class Object:
        async def __call__(self, ctx: JobContext) -> None: ...

    assert all(is_coroutine_function(f) for f in (written, functools.partial(written), Object(), Object().__call__))
    assert not is_coroutine_function(lambda ctx: None)
