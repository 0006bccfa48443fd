"""Wirings that both type checkers accept; a test runs them over this file."""

from __future__ import annotations

from pydantic import BaseModel

from omniq_flow import Failure, Flow, Retry, StepContext, each, gather, result


class Document(BaseModel):
    path: str


class Page(BaseModel):
    number: int


class Facts(BaseModel):
    score: float


class Rich(Facts):
    title: str


flow = Flow("good", input=Document, retry=Retry(attempts=5, backoff="fixed", delay=1.5), timeout="2m", retention=None)


@flow.step
def split(document: Document) -> list[Page]:
    return [Page(number=1)]


@flow.step(retry=Retry(attempts=2), lease="10s", process=True, after=[split, "later"])
async def analyse(page: Page = each(split)) -> Facts:
    return Facts(score=page.number)


@flow.step
async def plain(page: Page = each(split)) -> Facts:
    return Facts(score=page.number)


@flow.step(timeout=3)
def rich(ctx: StepContext, page: Page = each(split)) -> Rich:
    if page.number == 0:
        ctx.skip("blank")
    return Rich(score=page.number, title=ctx.step)


@flow.step
def regions(page: Page = each(split)) -> list[str]:
    return []


@flow.step
def read(region: str = each(regions)) -> int:
    return len(region)


@flow.step
def later() -> str | None:
    return None


@flow.step
def report(
    facts: list[Facts] = gather(analyse),
    also: list[Facts] = gather(plain),
    wider: list[Facts] = gather(rich),
    holes_by_annotation: list[Facts | None] = gather(analyse),
    holes: list[Facts | None] = gather(analyse, holes=True),
    recorded: list[Facts | Failure] = gather(analyse, failed="record"),
    both: list[Facts | Failure | None] = gather(analyse, failed="record", holes=True),
    maybe: list[Facts] | None = gather(rich, optional=True),
    everything: list[Facts | Failure | None] | None = gather(rich, failed="record", holes=True, optional=True),
    nested: list[list[int]] = gather(gather(read)),
    nested_holes: list[list[int | None] | None] = gather(gather(read, holes=True), holes=True),
    nested_recorded: list[list[int | Failure] | Failure] = gather(gather(read, failed="record"), failed="record"),
    lists: list[list[str]] = gather(regions),
    pages: list[Page] = result(split),
    pages_or_none: list[Page] | None = result(split),
    text: str | None = result(later),
) -> int:
    return len(facts)


def called(page: Page) -> int:
    """A step is the function it was."""
    return read("abc") + len(split(Document(path="")))


async def awaited(page: Page) -> float:
    facts = await analyse(page=page)
    return facts.score
