"""A map inside a map: a poem, its stanzas, their lines – and back in two gathers.

stanzas ─▶ lines, per stanza ─▶ measure, per line ─▶ stanza, per stanza ─▶ poem
"""

from __future__ import annotations

from pydantic import BaseModel

from omniq_flow import Flow, each, gather

WELL = """The bucket goes down empty,
the bucket comes up full,
and all it ever asks of you
is one more patient pull.

The rope has learned the winding,
the wheel has learned to sing,
and I have learned to thank the dark
for what it has to bring."""


class Poem(BaseModel):
    text: str = WELL


class Stanza(BaseModel):
    lines: int
    words: int


class Measures(BaseModel):
    stanzas: list[Stanza]
    words: int
    longest: int


flow = Flow("nested", input=Poem)


@flow.step
def stanzas(poem: Poem) -> list[str]:
    """Return a list, so that another step can run for each of its elements."""
    return [stanza for stanza in poem.text.split("\n\n") if stanza.strip()]


@flow.step
def lines(stanza: str = each(stanzas)) -> list[str]:
    """Run once per stanza, and return a list again: a map inside a map."""
    return [line for line in stanza.splitlines() if line.strip()]


@flow.step
def measure(line: str = each(lines)) -> int:
    """Run once per line of each stanza. No line waits for the other stanzas."""
    return len(line.split())


@flow.step
def stanza(words: list[int] = gather(measure)) -> Stanza:
    """Come back one level: each stanza gets the counts of its own lines, in their order."""
    return Stanza(lines=len(words), words=sum(words))


@flow.step
def poem(stanzas: list[Stanza] = gather(stanza)) -> Measures:
    """Come back to the top: all stanzas, in their order."""
    return Measures(stanzas=stanzas, words=sum(s.words for s in stanzas), longest=max((s.words for s in stanzas), default=0))
