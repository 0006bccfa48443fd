"""The command line in the cases: a command runs in the project of the rig, to its end or until it is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.cases.rig import ROOT, Rig


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What `--json` printed."""
        return [json.loads(line) for line in self.out.splitlines()]


def begin(rig: Rig, *args: str, url: str = "") -> subprocess.Popen[str]:
    """Start `omniq-flow` with these arguments."""
    command = [sys.executable, "-m", "omniq_flow.cli.main", "--url", url or rig.url, *args]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=rig.folder, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


def end(process: subprocess.Popen[str]) -> Said:
    """Wait for its end."""
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    return Said(process.returncode, out, err)


def command(rig: Rig, *args: str, url: str = "") -> Said:
    return end(begin(rig, *args, url=url))
