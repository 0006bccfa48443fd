"""The log of effects is read while processes append to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases import effects
from tests.cases.effects import Effect


def test_a_line_that_is_half_written_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "effects"
    monkeypatch.setenv(effects.VARIABLE, str(log))
    assert effects.read(log) == []
    first, second = (Effect("start", "run", "work", "work", attempt, 7, 1.5) for attempt in (1, 2))
    effects.note(first)
    effects.note(second)
    assert effects.read(log) == [first, second]
    log.write_bytes(log.read_bytes()[:-1])
    assert effects.read(log) == [first]
