"""Commands run within this process: the same as in one of their own, but for the time that Python takes to begin."""

from __future__ import annotations

import io
import sys

import pytest

from omniq_flow.cli.main import run
from omniq_flow.cli.output import Output
from tests.cli.conftest import Done, Project


class Inside:
    """Runs commands of a project; nothing of what they print reaches the streams of the tests."""

    def __init__(self, project: Project, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        patch.chdir(project.root)
        patch.setenv("OMNIQ_FLOW_URL", project.url)
        patch.delenv("REDIS_URL", raising=False)

    def __call__(self, *args: str, given: str = "") -> Done:
        output = Output(out=io.StringIO(), err=io.StringIO())
        self._patch.setattr(Output, "of_process", lambda *, is_json: output)
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        code = run(args)
        assert isinstance(output.out, io.StringIO)
        assert isinstance(output.err, io.StringIO)
        return Done(code, output.out.getvalue(), output.err.getvalue())
