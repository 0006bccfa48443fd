"""Asking before something that cannot be taken back, or that is done to everything that fits."""

from __future__ import annotations

import sys

from omniq_flow.cli.session import Session
from omniq_flow.cli.text import visible
from omniq_flow.errors import OmniqFlowError


class NotConfirmed(OmniqFlowError):
    """What was to be done needs a yes, and there was none; nothing was changed."""

    code = "NOT_CONFIRMED"
    exit_code = 8


def confirm(session: Session, question: str, *, is_confirmed: bool) -> None:
    """Ask on the terminal unless `--yes` was given; `NotConfirmed` without a terminal, and for any answer but yes."""
    if is_confirmed:
        return
    where = session.server_name
    if session.output.is_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NotConfirmed(
            f"{question}: that needs a yes, and there is no terminal to ask on", where=where, hint="add --yes, or look first with --dry-run"
        )
    session.output.err.write(visible(f"{question} on {where}? [y/N] "))
    session.output.err.flush()
    answer = sys.stdin.readline()
    if not answer:
        session.output.err.write("\n")
    if answer.strip().lower() not in ("y", "yes"):
        raise NotConfirmed("nothing was changed", where=where)
