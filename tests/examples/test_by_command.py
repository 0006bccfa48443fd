"""The main job as its user runs it: `omniq-flow run doc_pipeline` on a book of 320 pages and on a PDF."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.examples.books import WORDS_PER_PAGE, book, pdf
from tests.support.server import Server

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, server: Server, document: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The summary on stdout, and the report that was written."""
    shutil.copytree(ROOT / "flows", folder / "flows")
    command = [sys.executable, "-m", "omniq_flow.cli.main", "run", "doc_pipeline", "--url", server.url, "--set", f"path={document}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    report: dict[str, Any] = json.loads((folder / summary["report"]).with_suffix(".json").read_text(encoding="utf-8"))
    return summary, report


@pytest.mark.usefixtures("redis_conn")
def test_a_book(tmp_path: Path, server: Server) -> None:
    text = book(320)
    (tmp_path / "book.md").write_text(text, encoding="utf-8")
    summary, report = run(tmp_path, server, "book.md")
    assert summary["pages"] == report["pages"] == 320
    assert summary["words"] == report["words"] == len(text.split()) == 320 * WORDS_PER_PAGE
    marked = [line.lstrip("# ") for line in text.splitlines() if line.startswith(("# ", "## ")) and not line.endswith("sentence.")]
    assert [heading["title"] for heading in report["headings"]] == marked


@pytest.mark.usefixtures("redis_conn")
def test_a_pdf(tmp_path: Path, server: Server) -> None:
    pages = [f"Page {n} speaks of tides.\nIt has two lines." for n in range(1, 8)]
    (tmp_path / "tides.pdf").write_bytes(pdf(pages))
    summary, report = run(tmp_path, server, "tides.pdf")
    assert summary["pages"] == 7
    assert report["words"] == sum(len(page.split()) for page in pages)
