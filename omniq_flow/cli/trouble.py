"""A failure as it is shown: what is wrong, where, what to do next; or as one JSON object."""

from __future__ import annotations

from typing import Any

from omniq_flow.cli.output import Output, dump
from omniq_flow.cli.text import visible
from omniq_flow.errors import Fault, OmniqFlowError

MOST_FAULTS = 50


def error_object(error: OmniqFlowError) -> dict[str, Any]:
    """The fields of a failure; `faults` where one message stands for several."""
    fields: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint, "where": error.where}
    if faults := _faults(error):
        fields["faults"] = [{"message": fault.message, "where": fault.where} for fault in faults]
    return fields


def error_lines(error: OmniqFlowError) -> list[str]:
    """What, where and what next, each in a line; several faults stand under what they have in common."""
    faults = _faults(error)
    lines = [f"error: {visible(error.message)}", *(f"  {visible(str(fault))}" for fault in faults[:MOST_FAULTS])]
    if len(faults) > MOST_FAULTS:
        lines.append(f"  … and {len(faults) - MOST_FAULTS} more")
    if error.where:
        lines.append(f"where: {visible(error.where)}")
    if error.hint:
        lines.append(f" next: {visible(error.hint)}")
    return lines


def report(output: Output, error: OmniqFlowError) -> int:
    """Show a failure; gives the exit code of the command."""
    if output.is_json:
        output.data(dump({"error": error_object(error)}))
    else:
        output.err.write("\n".join(error_lines(error)) + "\n")
        output.err.flush()
    return error.exit_code


def unexpected(error: BaseException) -> OmniqFlowError:
    """A failure that nobody foresaw, as one that can be shown."""
    text = str(error) or "no message"
    return OmniqFlowError(f"{type(error).__name__}: {text}", hint="add --debug to see where it comes from")


def _faults(error: OmniqFlowError) -> tuple[Fault, ...]:
    return getattr(error, "faults", ())
