"""The example flow on real documents, each figure compared with one that was found another way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows import doc_pipeline
from flows.doc_pipeline import Document, Summary
from omniq_flow import StepContext
from omniq_flow.model.names import StepRun
from omniq_flow.testing import run_inline
from tests.examples import recount
from tests.examples.books import LITTLE, PAGES_PER_CHAPTER, WORDS_PER_PAGE, book, pdf, themes

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Reports land in the current folder; give each test its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(path: Path, words_per_page: int = WORDS_PER_PAGE) -> tuple[Summary, dict[str, Any], str]:
    """The run's result, and both reports as they were written."""
    summary = run_inline(doc_pipeline.flow, Document(path=str(path), words_per_page=words_per_page)).result
    assert isinstance(summary, Summary)
    markdown = Path(summary.report)
    return summary, json.loads(markdown.with_name("report.json").read_text("utf-8")), markdown.read_text("utf-8")


def test_a_book_of_320_pages(tmp_path: Path) -> None:
    """The figures of a whole book are those that a count over its whole text gives."""
    text = book(320)
    (tmp_path / "book.md").write_text(text, encoding="utf-8")
    summary, report, markdown = run(tmp_path / "book.md")

    assert (summary.pages, summary.words) == (320, recount.words(text)) == (320, 128_000)
    assert (report["pages"], report["words"], report["sentences"]) == (320, 128_000, recount.sentences(text))
    headings = [(h["level"], h["title"], h["page"]) for h in report["headings"]]
    assert headings == [(found.level, found.title, found.before // WORDS_PER_PAGE + 1) for found in recount.marked_headings(text)]
    assert len(headings) == 320 + 320 // PAGES_PER_CHAPTER
    assert report["links"] == recount.links(text)
    assert len(report["links"]) == 2 * (320 // 3)

    pages = pages_of(text)
    expected = recount.tf_idf(pages, without=LITTLE)
    assert_keywords(report["keywords"], expected)
    assert summary.keywords == [word["term"] for word in report["keywords"][:5]]
    assert {word["term"] for word in report["keywords"]} <= {theme for chapter in range(1, 33) for theme in themes(chapter)}

    assert "320 pages, 128000 words" in markdown
    assert markdown.count("(page ") == len(headings)
    assert "- Chapter 2: " in markdown


def pages_of(text: str) -> list[str]:
    """A book's pages: so many words each, cut at paragraphs."""
    pages = [""]
    for paragraph in text.split("\n\n"):
        if len(pages[-1].split()) == WORDS_PER_PAGE:
            pages.append("")
        pages[-1] += paragraph + "\n\n"
    return [page for page in pages if page.strip()]


def assert_keywords(found: list[dict[str, Any]], expected: dict[str, tuple[float, int, int]]) -> None:
    """The 20 highest weights, or all there are, highest first; equal ones in the order of the alphabet."""
    best = sorted(expected, key=lambda term: (-round(expected[term][0], 6), term))[:20]
    assert [word["term"] for word in found] == best
    for word in found:
        weight, times, pages = expected[word["term"]]
        assert (word["times"], word["pages"]) == (times, pages)
        assert word["score"] == pytest.approx(weight, abs=0.0006)


def test_markdown_as_people_write_it() -> None:
    """Underlined headings, lists, quotes, tables and code inside code; the figures were counted by hand."""
    _, report, markdown = run(DATA / "notes.md", words_per_page=40)
    assert (report["pages"], report["words"], report["sentences"]) == (4, 139, 14)
    assert [(h["level"], h["title"], h["page"]) for h in report["headings"]] == [
        (1, "The Boat Shed", 1),
        (2, "What we keep", 1),
        (3, "Open the door!", 2),
        (2, "Tools and Paint", 3),
    ]
    assert report["links"] == ["docs/plan.md#shed", "shed.png", "https://shed.example/ask", "https://paint.example/blue"]
    counted = {word["term"]: (word["times"], word["pages"]) for word in report["keywords"]}
    assert counted["hinge"] == (3, 2)
    assert counted["paint"] == (3, 2)
    assert "key" not in counted
    assert "    - Open the door! (page 2)\n  - Tools and Paint (page 3)\n" in markdown


def test_a_pdf_keeps_its_own_pages(tmp_path: Path) -> None:
    """Each page of a PDF is a page, however many words it has, and its text is counted as any other."""
    texts = [
        "Chapter 1: Arrival\nThe train was late. It was (very) late!\nRead https://rail.example/late today.",
        "",
        "2.1 Fares \\ Tickets\nOne ticket – two fares. Ask the conductor; the conductor knows.\n# Marked",
    ]
    (tmp_path / "train.pdf").write_bytes(pdf(texts))
    _, report, _ = run(tmp_path / "train.pdf", words_per_page=3)
    assert report["pages"] == 3
    assert report["words"] == sum(recount.words(text) for text in texts) == 31
    assert report["sentences"] == 5
    assert [(h["level"], h["title"], h["page"]) for h in report["headings"]] == [
        (1, "Chapter 1: Arrival", 1),
        (2, "Fares \\ Tickets", 3),
        (1, "Marked", 3),
    ]
    assert report["links"] == ["https://rail.example/late"]
    assert_keywords(report["keywords"], recount.tf_idf(texts, without=("the", "was", "one")))


def test_a_long_pdf_counts_as_its_text_does(tmp_path: Path) -> None:
    """A book printed to PDF has the figures of the book."""
    pages = pages_of(book(30))
    (tmp_path / "book.pdf").write_bytes(pdf(pages))
    (tmp_path / "book.md").write_text("".join(pages), encoding="utf-8")
    _, printed, _ = run(tmp_path / "book.pdf")
    _, written, _ = run(tmp_path / "book.md")
    assert printed["pages"] == 30
    for figure in ("words", "headings", "links", "keywords"):
        assert printed[figure] == written[figure]


def test_a_pdf_of_a_typesetter() -> None:
    """Embedded fonts, compressed objects, curly quotes: tides.pdf was made by Typst from tides.typ."""
    _, report, _ = run(DATA / "tides.pdf")
    printed = [line for line in (DATA / "tides.typ").read_text("utf-8").splitlines() if not line.startswith(("//", "#set", "#page"))]
    commands = {"= ": "1 ", "== ": "1.1 ", "#text(size: 14pt)[": "", '#link("': "", '")': "", "]": ""}
    text = "\n".join(printed)
    for command, shown in commands.items():
        text = text.replace(command, shown)
    assert (report["pages"], report["words"], report["sentences"]) == (3, recount.words(text), 15)
    assert [(h["level"], h["title"], h["page"]) for h in report["headings"]] == [
        (1, "Waiting for Water", 1),
        (2, "The Keeper’s Notes", 1),
        (1, "Leaving with the Ebb", 2),
        (1, "Coming Home", 3),
    ]
    assert report["links"] == ["https://tides.example/table", "https://harbour.example/home"]
    counted = {word["term"]: (word["times"], word["pages"]) for word in report["keywords"]}
    assert (counted["tide"], counted["keeper"]) == ((4, 3), (3, 3))


def test_an_empty_document_has_a_report(tmp_path: Path) -> None:
    """No words, no pages: a map over nothing, and a report that says so."""
    (tmp_path / "empty.txt").write_text(" \n\n", encoding="utf-8")
    summary, report, markdown = run(tmp_path / "empty.txt")
    assert (summary.pages, summary.words, summary.keywords) == (0, 0, [])
    assert (report["headings"], report["links"], report["keywords"]) == ([], [], [])
    assert "0 pages, 0 words, 0 sentences" in markdown


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    """A second attempt of `report` writes the same two files, and leaves no draft."""
    document = Document(path="some.md")
    whole = doc_pipeline.outline([doc_pipeline.analyse(doc_pipeline.Page(number=1, text="# One\n\nTwo words."))])
    contents = []
    for fence in (1, 2):
        ctx = StepContext(run_id="01RUN", flow="doc_pipeline", step_run=StepRun("report"), attempt=fence, fence=fence)
        assert doc_pipeline.report(document, ctx, terms=[], whole=whole).report == "reports/01RUN/report.md"
        contents.append({file.name: file.read_bytes() for file in (tmp_path / "reports" / "01RUN").iterdir()})
    assert contents[0] == contents[1]
    assert sorted(contents[0]) == ["report.json", "report.md"]


def test_a_report_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails in the middle of a file leaves no half of a report."""

    def write_half(file: Path, text: str, encoding: str) -> int:
        file.write_bytes(text.encode(encoding)[: len(text) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_half)
    ctx = StepContext(run_id="01RUN", flow="doc_pipeline", step_run=StepRun("report"), fence=1)
    with pytest.raises(OSError, match="No space left"):
        doc_pipeline.report(Document(path="some.md"), ctx, terms=[], whole=doc_pipeline.outline([]))
    assert list((tmp_path / "reports" / "01RUN").glob("report.*")) == []


def test_ten_attempts_are_declared() -> None:
    plan = doc_pipeline.flow.plan()
    assert {step.name: step.options.attempts for step in plan.steps} == dict.fromkeys(
        ("split", "analyse", "keywords", "outline", "report"), 10
    )
    assert (plan.flow, plan.max_parallel) == ("doc_pipeline", 8)
    assert plan.results == ("report",)


def test_the_flow_stays_short() -> None:
    assert len(Path(doc_pipeline.__file__).read_text("utf-8").splitlines()) < 150
