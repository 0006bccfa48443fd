"""Read a text, Markdown or PDF file page by page and report on it in `reports/<run id>/`; see docs/example.md."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from math import log
from pathlib import Path

from pydantic import BaseModel, PositiveInt

from omniq_flow import Flow, Retry, StepContext, StepFailed, each, gather, result

CODE = re.compile(r"(?m)^[ \t]*(?P<fence>`{3,})[^`\n]*(?:\n.*)*?(?:\n[ \t]*(?P=fence)`*[ \t]*$|\Z)")  # left open, it runs to the end
LINK = re.compile(r"\]\(<?([^)\s>]+)|(https?://[^\s<>()\[\]\"'`]+)")
TERM = re.compile(  # a word of three letters or more, but none of the most common
    r"\b(?!(?:about|also|and|any|are|been|but|can|for|from|had|has|have|her|his|how|into|its|may|more|most|not|one|only|other|our|out|she|some|"
    r"than|that|the|their|them|then|there|they|this|was|were|what|when|which|who|will|with|you|your)\b)[^\W\d_]{3,}(?:['’-][^\W\d_]+)*"
)
SENTENCE = re.compile(r"(?m)^[ \t]*\d+\.\s|((?<![.!?…])[.!?…]++[\"'”’)\]*_]*+(?=\s|$)(?![ \t]*\n?[ \t]*[a-z]))")  # its end
HEADING = re.compile(  # `## Marked`, `Underlined` by === or ---, `Chapter 4: Named`, `2.1 Numbered`
    r"(?m)^(#{1,6}[ \t]+(?=\S)|(?=\w.*\n(={3,}|-{3,})$)|(?=(?:Chapter|CHAPTER|Part|PART) +[\dIVXLC]+(?:[.: ]*$| *[.:–—] .{1,60}$))"
    r"|\d{1,2}(?:\.\d{1,2})* +(?=[A-Z][^.,;:!?\n]{2,60}$))(.+)$"
)


class Document(BaseModel):
    path: str
    words_per_page: PositiveInt = 400


class Page(BaseModel):
    number: int
    text: str


class Heading(BaseModel):
    level: int
    title: str
    page: int


class Facts(BaseModel):
    pages: int = 1
    words: int
    sentences: int
    headings: list[Heading]
    links: list[str]
    terms: dict[str, int] = {}


class Keyword(BaseModel):
    term: str
    score: float
    times: int
    pages: int


class Summary(BaseModel):
    pages: int
    words: int
    keywords: list[str]
    report: str


flow = Flow("doc_pipeline", input=Document, max_parallel=8, retry=Retry(attempts=10, delay="1s", cap="10s"))


@flow.step
def split(document: Document) -> list[Page]:
    try:
        data = Path(document.path).read_bytes()
        texts = pdf_pages(data) if data.startswith(b"%PDF-") else text_pages(data, document.words_per_page)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, ValueError) as error:  # no use to try again
        raise StepFailed(f"cannot read {Path(document.path).absolute()}: {getattr(error, 'strerror', error)}") from None
    return [Page(number=number, text=text) for number, text in enumerate(texts, 1)]


@flow.step
def analyse(page: Page = each(split)) -> Facts:
    prose = CODE.sub("", page.text)
    return Facts(
        words=len(page.text.split()),  # as `wc -w` counts; all else stands outside of code
        sentences=sum(map(bool, SENTENCE.findall(HEADING.sub("", prose)))),
        headings=[
            Heading(level=len(re.findall(r"#|\d+", prefix)) or 1 + ("-" in line), title=title.strip(" \t#"), page=page.number)
            for prefix, line, title in HEADING.findall(prose)
        ],
        links=[(target or address).rstrip(".,;:!?*_") for target, address in LINK.findall(prose)],
        terms=Counter(TERM.findall(LINK.sub(" ", prose).lower())),
    )


@flow.step
def keywords(facts: list[Facts] = gather(analyse)) -> list[Keyword]:
    times = Counter(term for page in facts for term in Counter(page.terms).elements())
    pages = Counter(term for page in facts for term in page.terms)
    weights = {term: log((3 + len(facts)) / on) for term, on in pages.items()}  # TF-IDF, as if three pages had no words
    ranked = sorted(weights, key=lambda term: (-times[term] * weights[term], term))[:20]
    return [Keyword(term=term, score=round(times[term] * weights[term], 3), times=times[term], pages=pages[term]) for term in ranked]


@flow.step
def outline(facts: list[Facts] = gather(analyse)) -> Facts:
    sums = {name: sum(getattr(page, name) for page in facts) for name in ("pages", "words", "sentences")}
    return Facts(**sums, headings=[h for page in facts for h in page.headings], links=[a for page in facts for a in page.links], terms={})


@flow.step
def report(document: Document, ctx: StepContext, terms: list[Keyword] = result(keywords), whole: Facts = result(outline)) -> Summary:
    lines = [f"# {document.path}", "", f"{whole.pages} pages, {whole.words} words, {whole.sentences} sentences", "", "## Keywords", ""]
    lines += [f"- {word.term}: {word.times} times on {word.pages} pages, score {word.score}" for word in terms]
    lines += ["", "## Outline", "", *(f"{'  ' * (h.level - 1)}- {h.title} (page {h.page})" for h in whole.headings)]
    lines += ["", "## Links", "", *(f"- {link} ({times})" for link, times in Counter(whole.links).items()), ""]
    record = {"document": document.path, **whole.model_dump(exclude={"terms"}), "keywords": [word.model_dump() for word in terms]}
    (folder := Path("reports", ctx.run_id)).mkdir(parents=True, exist_ok=True)
    for name, text in {"report.json": json.dumps(record, indent=2, ensure_ascii=False), "report.md": "\n".join(lines)}.items():
        draft = folder / f".{name}-{ctx.fence}"  # of this attempt alone: one thought lost may still be writing
        draft.write_text(text, encoding="utf-8")
        draft.replace(folder / name)
    return Summary(pages=whole.pages, words=whole.words, keywords=[word.term for word in terms[:5]], report=f"{folder}/report.md")


def text_pages(data: bytes, limit: int) -> list[str]:
    """Cut between paragraphs; only a longer one between lines, only a longer line between words, and code nowhere."""
    text = re.sub(r"\r\n?", "\n", data.decode("utf-8-sig", "surrogateescape"))
    if odd := re.search("[\0\udc80-\udcff]", text):
        raise ValueError(f"neither UTF-8 text nor PDF, see line {text.count(chr(10), 0, odd.start()) + 1}")
    pages = [""]
    for block in re.sub(rf"{CODE.pattern}|\n\s*\n", lambda cut: cut[0] if cut["fence"] else cut[0] + "\0", text).split("\0"):
        fits = len(block.split()) <= limit or CODE.search(block)
        for piece in [block] if fits else re.findall(rf"(?:[^\S\n]*\S+){{1,{limit}}}\s*|\s+", block):
            if pages[-1].strip() and len((pages[-1] + piece).split()) > limit:
                pages.append("")
            pages[-1] += piece
    return [page for page in pages if page.strip()]


def pdf_pages(data: bytes) -> list[str]:
    try:
        from pypdf import PdfReader

        return [page.extract_text().encode(errors="replace").decode() for page in PdfReader(io.BytesIO(data)).pages]
    except ImportError:
        raise ValueError("PDF needs pip install 'omniq-flow[pdf]'") from None
    except Exception as error:  # a damaged file may raise anything, and would again
        raise ValueError(f"{'an encrypted' if b'/Encrypt' in data else 'a damaged'} PDF: {error}") from None
