"""How a document is read: where pages are cut, and which documents are refused."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from pypdf import PageObject, PdfReader, PdfWriter

from flows.doc_pipeline import Document, analyse, flow, split
from omniq_flow import StepFailed
from omniq_flow.model.states import RunState, StepState
from omniq_flow.testing import run_inline
from tests.examples.books import book, pdf


def cut(path: Path, text: str, words_per_page: int) -> list[str]:
    path.write_bytes(text.encode())
    return [page.text for page in split(Document(path=str(path), words_per_page=words_per_page))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "document.md"


def test_a_page_ends_between_paragraphs(path: Path) -> None:
    assert cut(path, "one two\nthree\n\nfour five\n\nsix\n", 5) == ["one two\nthree\n\nfour five\n\n", "six\n"]
    assert cut(path, "one two\nthree\n\nfour five\n\nsix\n", 4) == ["one two\nthree\n\n", "four five\n\nsix\n"]


def test_a_long_paragraph_is_cut_between_lines(path: Path) -> None:
    assert cut(path, "one two\nthree four\nfive\n", 3) == ["one two\n", "three four\nfive\n"]


def test_a_long_line_is_cut_between_words(path: Path) -> None:
    assert cut(path, "one two three four five", 2) == ["one two ", "three four ", "five"]


def test_code_is_never_cut(path: Path) -> None:
    """Else the rest of it would be read as prose, and its comments as headings."""
    code = "```\n# one two\n\n# three\n```\n\n"
    assert cut(path, f"zero\n\n{code}end", 2) == ["zero\n\n", code, "end"]
    assert cut(path, "zero\n\n```\n# left open\n\n# to the end", 2) == ["zero\n\n", "```\n# left open\n\n# to the end"]


@pytest.mark.parametrize("words_per_page", [1, 7, 100, 399, 400, 401, 100_000])
def test_nothing_is_lost(path: Path, words_per_page: int) -> None:
    """The pages put together are the text; without code none has too many words."""
    text = book(30)
    pages = cut(path, text, words_per_page)
    assert "".join(pages) == text
    assert all(len(page.split()) <= words_per_page or "```" in page for page in pages)


def test_the_marks_of_other_systems_are_dropped(path: Path) -> None:
    """A byte order mark and carriage returns are no part of the text."""
    assert cut(path, "\ufeff# One\r\n\r\ntwo\rthree", 9) == ["# One\n\ntwo\nthree"]


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# One\n## Two ##\n####### seven\n#none", [(1, "One"), (2, "Two")]),
        ("One\n===\nTwo\n---\n\n---\n- item\n---", [(1, "One"), (2, "Two")]),
        ("Chapter 4\nCHAPTER IX. The Storm\nPart 2 – Home", [(1, "Chapter 4"), (1, "CHAPTER IX. The Storm"), (1, "Part 2 – Home")]),
        ("Chapter 4 tells of a storm\nthat came", []),
        ("1 Aims\n1.2 Own Aims\n1.2.3 Deep\n1. Item\n3 apples\n12 Monkeys were seen.", [(1, "Aims"), (2, "Own Aims"), (3, "Deep")]),
        ("# C# for birds", [(1, "C# for birds")]),
    ],
)
def test_what_counts_as_a_heading(path: Path, text: str, headings: list[tuple[int, str]]) -> None:
    path.write_text(text, encoding="utf-8")
    facts = analyse(split(Document(path=str(path)))[0])
    assert [(heading.level, heading.title) for heading in facts.headings] == headings


def encrypted(algorithm: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(["secret"]))))
    writer.encrypt("owl", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"GIF89a\x00\x01\x00", "neither UTF-8 text nor PDF, see line 1", id="binary"),
        pytest.param("first\n\nmédoc".encode("latin-1"), "neither UTF-8 text nor PDF, see line 3", id="latin-1"),
        pytest.param("wide".encode("utf-16"), "neither UTF-8 text nor PDF, see line 1", id="utf-16"),
        pytest.param(b"%PDF-1.7\nno more", "a damaged PDF: ", id="damaged PDF"),
        pytest.param(pdf(["one", "two"])[:300], "a damaged PDF: ", id="half a PDF"),
        pytest.param(encrypted("RC4-128"), "an encrypted PDF: File has not been decrypted", id="encrypted PDF"),
    ],
)
def test_an_unreadable_document_fails_for_good(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    with pytest.raises(StepFailed) as caught:
        split(Document(path=str(path)))
    assert caught.value.message.startswith(f"cannot read {path}: {reason}")


def test_a_missing_document(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole path is named, since the worker may stand in another folder than its caller."""
    monkeypatch.chdir(path.parent)
    with pytest.raises(StepFailed, match=f"^cannot read {path}: No such file or directory$"):
        split(Document(path=path.name))


def test_a_run_over_no_document_ends_at_once(path: Path) -> None:
    """One attempt, one failure, and nothing behind it is run."""
    run = run_inline(flow, Document(path=str(path)))
    assert (run.state, run.attempts) == (RunState.FAILED, {"split": 1})
    assert {step: str(failure) for step, failure in run.failures.items()} == {
        "split": f"StepFailed: cannot read {path}: No such file or directory"
    }
    assert run.states["report"] is StepState.UPSTREAM_FAILED


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=f"^cannot read {tmp_path}: Is a directory$"):
        split(Document(path=str(tmp_path)))


def test_pdf_without_its_extra(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(pdf(["one"]))
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(StepFailed, match=r"PDF needs pip install 'omniq-flow\[pdf\]'$"):
        split(Document(path=str(path)))


def test_half_a_character_in_a_pdf_is_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fonts with a faulty table give lone surrogates, which no JSON can hold."""
    path.write_bytes(pdf(["one"]))
    monkeypatch.setattr(PageObject, "extract_text", lambda _: "on\ud835e")
    assert [page.model_dump_json() for page in split(Document(path=str(path)))] == ['{"number":1,"text":"on?e"}']


def test_a_disk_that_fails_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may pass is no StepFailed: the step's ten attempts are for that."""

    def fail(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Input/output error"):
        split(Document(path=str(path)))
