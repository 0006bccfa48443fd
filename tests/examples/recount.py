"""The figures of a report, counted another way: line by line and token by token, without a regular expression.

It reads the whole text at once and knows nothing of pages; where a heading stands it tells in words, `before` it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log

CLOSING = "\"'”’)]*_"


@dataclass(frozen=True, slots=True)
class Found:
    """A heading, and how many words stand before it."""

    level: int
    title: str
    before: int


def words(text: str) -> int:
    """Runs of characters that are no space."""
    spaces = [character.isspace() for character in " " + text]
    return sum(was and not now for was, now in pairwise(spaces))


def outside_code(text: str) -> Iterator[tuple[str, int]]:
    """Each line that is not code, with the number of words before it."""
    fence, before = "", 0
    for line in text.splitlines():
        bare = line.strip()
        ticks = len(bare) - len(bare.lstrip("`"))
        if fence:
            fence = "" if ticks >= len(fence) and ticks == len(bare) else fence
        elif ticks >= 3:
            fence = "`" * ticks
        else:
            yield line, before
        before += len(line.split())


def marked_headings(text: str) -> list[Found]:
    """Headings that begin with `#`."""
    found = []
    for line, before in outside_code(text):
        marks, _, title = line.partition(" ")
        if marks and set(marks) == {"#"} and len(marks) <= 6 and title:
            found.append(Found(len(marks), title.strip(), before))
    return found


def prose(text: str) -> list[list[str]]:
    """Paragraphs as tokens, without code and without marked headings."""
    paragraphs: list[list[str]] = [[]]
    for line, _ in outside_code(text):
        if not line.strip() or line.startswith("#"):
            paragraphs.append([])
        else:
            paragraphs[-1].extend(line.split())
    return [paragraph for paragraph in paragraphs if paragraph]


def sentences(text: str) -> int:
    """Tokens that end in a full stop or the like and are not followed by a small letter."""
    count = 0
    for tokens in prose(text):
        for token, following in zip(tokens, [*tokens[1:], "A"], strict=True):
            is_end = token.rstrip(CLOSING).endswith((".", "!", "?", "…"))
            count += is_end and not "a" <= following[0] <= "z"
    return count


def links(text: str) -> list[str]:
    """Targets of Markdown links and addresses, in their order."""
    found = []
    for line, _ in outside_code(text):
        for token in line.split():
            if "](" in token:
                found.append(token.partition("](")[2].partition(")")[0])
            elif token.startswith("http"):
                found.append(token.rstrip(",.;:!?"))
    return found


def terms(text: str, without: Iterable[str]) -> Counter[str]:
    """Words of three letters or more, headings included, addresses not."""
    ignored = set(without)
    found: Counter[str] = Counter()
    for line, _ in outside_code(text):
        for token in line.split():
            visible = "" if token.startswith("http") else token.partition("](")[0]
            bare = "".join(character if character.isalpha() else " " for character in visible.lower())
            found.update(part for part in bare.split() if len(part) >= 3 and part not in ignored)
    return found


def tf_idf(pages: Sequence[str], without: Iterable[str]) -> dict[str, tuple[float, int, int]]:
    """Term -> its weight, how often it is met, on how many pages: the sum of each page's own share."""
    counts = [terms(page, without) for page in pages]
    table = {}
    for term in {term for count in counts for term in count}:
        on = sum(1 for count in counts if count[term])
        rarity = log(len(pages) + 3) - log(on)
        table[term] = (sum(count[term] * rarity for count in counts), sum(count[term] for count in counts), on)
    return table
