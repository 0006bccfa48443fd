"""A state is a glyph, a word and a tone, never a colour alone."""

from __future__ import annotations

from omniq_flow.model.states import RunState, StepState
from omniq_flow.observe.snapshot import RUNNING, StepTally

STEPS = {
    StepState.PENDING.word: ("◌", "dim"),
    StepState.QUEUED.word: ("▶", "busy"),
    RUNNING: ("▶", "busy"),
    StepState.SUCCEEDED.word: ("✔", "good"),
    StepState.FAILED.word: ("✘", "bad"),
    StepState.UPSTREAM_FAILED.word: ("⊘", "warn"),
    StepState.SKIPPED.word: ("⤼", "dim"),
    StepState.CANCELLED.word: ("✖", "warn"),
}
RUNS = {
    RunState.RUNNING: ("▶", "busy"),
    RunState.FAILING: ("▶", "bad"),
    RunState.SUCCEEDED: ("✔", "good"),
    RunState.FAILED: ("✘", "bad"),
    RunState.CANCELLING: ("✖", "warn"),
    RunState.CANCELLED: ("✖", "warn"),
}
PAUSED = ("‖", "warn")
RETRYING = "↻"


def of_step(step: StepTally) -> tuple[str, str]:
    """Glyph and tone of a step; one that waits for another attempt has a glyph of its own."""
    glyph, tone = STEPS[step.state]
    if step.state == StepState.QUEUED.word and step.timing.retries:
        return RETRYING, "warn"
    return glyph, "bad" if step.failed and step.state == RUNNING else tone
