"""Lists through a real worker and a real server: in order, empty, within lists, with what was skipped or has failed."""

from __future__ import annotations

import pytest

from omniq_flow import Failure, Flow, Retry, StepContext, each, gather, result
from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.inline import run_inline
from omniq_flow.engine.worker import Worker
from tests.engine.life import Count, begin, no_active_jobs, working
from tests.support.server import Server

ONCE = Retry(attempts=1)


async def test_a_large_list_keeps_its_order(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("many", input=Count)

    @flow.step
    def source(count: Count) -> list[int]:
        return list(range(count.n))

    @flow.step
    async def square(x: int = each(source)) -> int:
        return x * x

    @flow.step
    def join(squares: list[int] = gather(square), numbers: list[int] = result(source)) -> bool:
        return squares == [n * n for n in numbers]

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow, {"n": 5_000})).succeeds(60)
        assert await run.value("join") is True
        await run.client.execute_all([])
    assert (await run.outputs())["source"] == b"#1:5000"
    assert await no_active_jobs(aclient, "many")


@pytest.mark.parametrize("empty", ["list", "tuple", "generator"])
async def test_an_empty_list_is_passed_through(server: Server, aclient: AsyncClient, empty: str) -> None:
    """C24."""
    flow = Flow("empty")
    made = {"list": [], "tuple": (), "generator": (n for n in range(0))}[empty]

    @flow.step
    def source() -> list[int]:
        return made  # type: ignore[return-value]

    @flow.step
    def work(x: int = each(source)) -> int:
        return x

    @flow.step
    def join(xs: list[int] = gather(work)) -> list[int]:
        return xs

    @flow.step
    def after_it(xs: list[int] = result(join)) -> int:
        return len(xs)

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).succeeds()
    assert await run.value("join") == []
    assert await run.value("after_it") == 0


async def test_nested_lists_gathered_twice_at_once(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("nested2", input=Count)

    @flow.step
    def outer(count: Count) -> list[int]:
        return list(range(count.n))

    @flow.step
    def inner(n: int = each(outer)) -> list[str]:
        return [f"{n}.{k}" for k in range(n)]

    @flow.step
    async def leaf(text: str = each(inner), n: int = each(outer)) -> str:
        return f"{text}/{n}"

    @flow.step
    def all_of_it(texts: list[list[str]] = gather(gather(leaf)), lists: list[list[str]] = gather(inner)) -> list[list[str]]:
        assert [[f"{t}/{t.split('.')[0]}" for t in part] for part in lists] == texts
        return texts

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow, {"n": 4})).succeeds()
    assert await run.value("all_of_it") == [[], ["1.0/1"], ["2.0/2", "2.1/2"], ["3.0/3", "3.1/3", "3.2/3"]]


@pytest.mark.parametrize("size", [4, 300])
async def test_skipped_members_are_left_out_or_leave_holes(server: Server, aclient: AsyncClient, size: int) -> None:
    """Both inline (up to 256 members) and read by reference."""
    flow = Flow("skips", input=Count)

    @flow.step
    def source(count: Count) -> list[int]:
        return list(range(count.n))

    @flow.step
    def odd(ctx: StepContext, x: int = each(source)) -> int:
        if x % 2 == 0:
            ctx.skip("even")
        return x

    @flow.step
    def short(xs: list[int] = gather(odd)) -> list[int]:
        return xs

    @flow.step
    def holes(xs: list[int | None] = gather(odd)) -> list[int | None]:
        return xs

    @flow.step
    def maybe(ctx: StepContext) -> int:
        ctx.skip()

    @flow.step
    def optional(y: int | None = result(maybe), xs: list[int] = result(short)) -> str:
        return f"{y} {xs[:2]}"

    @flow.step
    def needs(y: int = result(maybe)) -> int:
        return y

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow, {"n": size})).succeeds()
    assert await run.value("short") == list(range(1, size, 2))
    assert await run.value("holes") == [n if n % 2 else None for n in range(size)]
    assert await run.value("optional") == "None [1, 3]"
    letters = await run.letters()
    assert (letters["maybe"], letters["needs"], letters["odd-0"]) == ("S", "S", "S")


async def test_lists_that_were_skipped_or_failed_inside_a_list(server: Server, aclient: AsyncClient) -> None:
    """Of each kind one, gathered through two lists, with holes, without, and recorded; the same as in memory."""
    flow = Flow("inner", retry=ONCE)

    @flow.step
    def outer() -> list[int]:
        return [0, 1, 2, 3, 4]

    @flow.step
    def inner(ctx: StepContext, n: int = each(outer)) -> list[int]:
        if n == 1:
            ctx.skip("no list")
        return [] if n == 2 else [n, n + 10]

    @flow.step
    def leaf(ctx: StepContext, x: int = each(inner)) -> int:
        if x in (3, 13, 4):
            ctx.skip("no value")
        return x

    @flow.step
    def short(xs: list[list[int]] = gather(gather(leaf))) -> list[list[int]]:
        return xs

    @flow.step
    def holes(xs: list[list[int | None] | None] = gather(gather(leaf, holes=True), holes=True)) -> list[list[int | None] | None]:
        return xs

    @flow.step
    def lists(xs: list[list[int]] = gather(inner)) -> list[list[int]]:
        return xs

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).succeeds()
    assert await run.value("short") == [[0, 10], [], [14]]
    assert await run.value("holes") == [[0, 10], None, [], [None, None], [None, 14]]
    assert await run.value("lists") == [[0, 10], [], [3, 13], [4, 14]]
    in_memory = run_inline(flow).outputs
    assert {name: await run.value(name) for name in ("short", "holes", "lists")} == {n: in_memory[n] for n in ("short", "holes", "lists")}


async def test_recorded_failures_inside_a_list(server: Server, aclient: AsyncClient) -> None:
    flow = Flow("inner_failed", retry=ONCE)

    @flow.step
    def outer() -> list[int]:
        return [0, 1]

    @flow.step
    def inner(n: int = each(outer)) -> list[int]:
        if n == 1:
            raise ValueError("no list")
        return [5, 6]

    @flow.step
    def leaf(x: int = each(inner)) -> int:
        if x == 6:
            raise ValueError("no value")
        return x

    @flow.step
    def judge(
        xs: list[list[int | Failure] | Failure] = gather(gather(leaf, failed="record"), failed="record"),
    ) -> list[str]:
        return [str(x) for part in xs for x in (part if isinstance(part, list) else [part])]

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).ends()
    assert await run.value("judge") == ["5", "ValueError: no value", "ValueError: no list"]


@pytest.mark.parametrize("kind", ["skipped", "empty", "all skipped"])
async def test_an_optional_list_is_none_when_there_is_none(server: Server, aclient: AsyncClient, kind: str) -> None:
    flow = Flow("optional_list")

    @flow.step
    def source(ctx: StepContext) -> list[int]:
        if kind == "skipped":
            ctx.skip()
        return [] if kind == "empty" else [1, 2]

    @flow.step
    def work(ctx: StepContext, x: int = each(source)) -> int:
        ctx.skip()

    @flow.step
    def anchor() -> int:
        return 1

    @flow.step
    def use(one: int = result(anchor), xs: list[int] | None = gather(work)) -> str:
        return str(xs)

    @flow.step
    def use_whole(one: int = result(anchor), xs: list[int] | None = result(source)) -> str:
        return str(xs)

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow)).succeeds()
    expected = {"skipped": ("None", "None"), "empty": ("[]", "[]"), "all skipped": ("None", "[1, 2]")}[kind]
    assert (await run.value("use"), await run.value("use_whole")) == expected


@pytest.mark.parametrize("size", [4, 400])
async def test_recorded_failures_stand_in_their_places(server: Server, aclient: AsyncClient, size: int) -> None:
    """Both inline (up to 256 members) and read by reference; a member behind a failure names the culprit."""
    flow = Flow("recorded", input=Count, retry=ONCE)

    @flow.step
    def source(count: Count) -> list[int]:
        return list(range(count.n))

    @flow.step
    async def first(x: int = each(source)) -> int:
        if x == 1:
            raise ValueError("one is bad")
        return x

    @flow.step
    async def second(x: int = result(first)) -> int:
        if x == 2:
            raise KeyError("two")
        return x * 10

    @flow.step
    def judge(xs: list[int | Failure] = gather(second, failed="record")) -> list[str]:
        return [f"{x.step}: {x}" if isinstance(x, Failure) else str(x) for x in xs[:4]]

    async with working(Worker([flow], url=server.url)):
        run = await (await begin(aclient, flow, {"n": size})).succeeds(60)
    assert await run.value("judge") == ["0", "first-1: ValueError: one is bad", "second-2: KeyError: 'two'", "30"]
    assert (await run.letters())["second-1"] == "U"
