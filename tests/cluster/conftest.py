"""One cluster for all tests of this folder; those that move hash slots leave them where they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.omniq.conftest import made
from tests.support.cluster import ScratchCluster

__all__ = ["cluster", "made"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[ScratchCluster]:
    with ScratchCluster() as scratch:
        yield scratch
        scratch.is_well()
