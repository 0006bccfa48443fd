"""The fixtures of the chaos tests: the rig of the cases, on a server that keeps its data over a crash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cases import effects
from tests.cases.rig import ROOT, Rig
from tests.examples.books import book
from tests.support.server import ScratchServer


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A project with `doc_pipeline`, its lease cut to 2 s, and a book to read."""
    monkeypatch.setenv(effects.VARIABLE, str(tmp_path / "effects"))
    with ScratchServer(aof=True) as server:
        made = Rig(tmp_path, server)
        try:
            source = (ROOT / "flows" / "doc_pipeline.py").read_text(encoding="utf-8")
            assert "max_parallel=8" in source
            made.write(source.replace("max_parallel=8", 'max_parallel=8, lease="2s"'), "doc_pipeline", prologue="")
            (tmp_path / "book.md").write_text(book(40), encoding="utf-8")
            yield made
            made.check()
        finally:
            made.close()
