"""Documents of any size, made from a vocabulary of our own: the same call gives the same text, everywhere.

A book is Markdown in pages of exactly 400 words, as `split` and `wc -w` count them: chapters and sections,
paragraphs of sentences, links, and now and then a block of code. Each chapter has three words of its own, its
`themes`, so that there is something to find.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

WORDS_PER_PAGE = 400
PAGES_PER_CHAPTER = 10
LITTLE = ("the", "and", "of", "to", "a", "in", "with", "was", "from", "that")
ONSETS = ("br", "d", "f", "gl", "h", "k", "l", "m", "n", "pr", "r", "st", "t", "v", "w")
RHYMES = ("al", "andor", "ern", "iven", "old", "orrow", "umble", "yth")
WORDS = tuple(onset + rhyme for rhyme in RHYMES for onset in ONSETS)


def themes(chapter: int) -> tuple[str, str, str]:
    """The three words that stand in this chapter only; letters, so that they are words anywhere."""
    letters = "".join(chr(ord("a") + int(digit)) for digit in str(chapter))
    return (f"zorn{letters}el", f"quim{letters}ar", f"xanth{letters}is")


def book(pages: int, seed: int = 7) -> str:
    """A book of exactly so many pages."""
    return "".join(_page(number, Random(f"{seed}:{number}")) for number in range(1, pages + 1))


def _page(number: int, random: Random) -> str:
    chapter = (number - 1) // PAGES_PER_CHAPTER + 1
    blocks, left = [], WORDS_PER_PAGE
    for block in _opening(number, chapter, random):
        blocks.append(block)
        left -= len(block.split())
    while left:
        size = left if left < 110 else 50 + _upto(random, 50)
        blocks.append(_paragraph(size, number, chapter, random))
        left -= size
    return "".join(block + "\n\n" for block in blocks)


def _opening(number: int, chapter: int, random: Random) -> Iterator[str]:
    """What stands at the head of a page: a chapter, a section, an address, some code."""
    if number % PAGES_PER_CHAPTER == 1:
        yield f"# Chapter {chapter}: {_pick(random, WORDS).title()} {themes(chapter)[0]}"
    yield f"## {_pick(random, WORDS).title()} and {_pick(random, WORDS)}"
    if number % 3 == 0:
        yield f"Read https://library.example/{number}, or [the {_pick(random, WORDS)}](https://notes.example/{chapter})."
    if number % 25 == 0:
        yield "```sh\n# no heading, no end of a sentence.\n\nfetch https://code.example/\n```"


def _paragraph(size: int, number: int, chapter: int, random: Random) -> str:
    """Sentences of 4 to 13 words, broken into lines of eight words, so many words in all."""
    words: list[str] = []
    while len(words) < size:
        length = min(4 + _upto(random, 10), size - len(words))
        sentence = [_word(chapter, random) for _ in range(length)]
        words += [sentence[0].title(), *sentence[1:]]
        words[-1] += _pick(random, (".", ".", ".", "!", "?"))
    return "\n".join(" ".join(words[start : start + 8]) for start in range(0, size, 8))


def _word(chapter: int, random: Random) -> str:
    roll = random.random()
    choices: Sequence[str] = LITTLE if roll < 0.3 else themes(chapter) if roll < 0.35 else WORDS
    return _pick(random, choices)


def _pick(random: Random, choices: Sequence[str]) -> str:
    return choices[_upto(random, len(choices))]


def _upto(random: Random, limit: int) -> int:
    """Only `random()` itself promises the same numbers in every version of Python."""
    return int(random.random() * limit)


def pdf(pages: Sequence[str]) -> bytes:
    """A PDF with one page of Helvetica per text, line by line; characters of Windows-1252."""
    contents = [_content(page) for page in pages]
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for index, content in enumerate(contents):
        resources = f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * index} 0 R"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] {resources} >>".encode())
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    return _file(objects)


def _content(page: str) -> bytes:
    lines = [line.encode("cp1252").replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)") for line in page.splitlines()]
    return b"BT /F1 9 Tf 11 TL 40 800 Td\n" + b"\n".join(b"(%s) Tj T*" % line for line in lines) + b"\nET"


def _file(objects: Sequence[bytes]) -> bytes:
    """Objects, the table of where each begins, and the trailer that points to it."""
    out, begins = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(objects, 1):
        begins.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % begin for begin in begins)
    size, start = len(objects) + 1, len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, start)
    return bytes(out)
