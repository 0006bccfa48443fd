"""What the screen of a run says: lines made of a picture and a width, nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import StepOptions
from omniq_flow.model.states import Lane, StepState
from omniq_flow.observe.events import Told, tell, tell_all
from omniq_flow.observe.run_log import steered_lines
from omniq_flow.observe.run_watch import Close, RunView
from omniq_flow.observe.snapshot import StepTally
from omniq_flow.observe.why import active_and_waiting, why_waiting
from omniq_flow.ops.runs import HistoryEntry
from omniq_flow.tui.glyphs import STEPS, of_step
from omniq_flow.tui.graph import step_took, went_well
from omniq_flow.tui.text import BLANK, Line, Part, bar, cell, cut, ends, line, rule, took, wrap

_TONES = {str(state): STEPS[state.word][1] for state in StepState}
MOST_JSON_LINES = 2_000


def clock_time(ms: int) -> str:
    """The time of day, in the zone of the terminal."""
    return datetime.fromtimestamp(ms / 1000).strftime("%H:%M:%S") if ms else ""


def step_lines(view: RunView, width: int, now_ms: int, height: int) -> list[Line]:
    """The step under the cursor: how it stands, how it is worked, why it waits, what went wrong last."""
    tally = view.snapshot.step(view.close.step)
    lines = [*_standing(tally, view, width, now_ms), *_working(view, width)]
    if reasons := why_waiting(view.snapshot, view.close):
        lines.append(rule(width - 1, "why waiting"))
        lines += [line((row, "warn")) for reason in reasons for row in wrap(reason, width - 1, 4)]
    lines += _wrong(view, width, max(height - len(lines), 4))
    if view.close.output is not None and len(lines) + 3 < height:
        lines += [rule(width - 1, "output"), *(line(row) for row in wrap(view.close.output, width - 1, height - len(lines) - 1))]
    return [line(" "), *lines] if height > len(lines) + 4 and width > 60 else lines


def _standing(tally: StepTally, view: RunView, width: int, now_ms: int) -> list[Line]:
    glyph, tone = of_step(tally)
    kind = f"map {tally.total}" if tally.is_map else ""
    lines = [ends(line((f"STEP {tally.step}", "title")), line(kind, " "), width - 1)]
    lines.append(line("state    ", (f"{glyph} {'active' if tally.state == 'running' else tally.state}", tone)))
    ms = step_took(tally, now_ms)
    if tally.is_map and tally.total:
        parts: list[Part] = [f"done {went_well(tally)}", *_doing(tally, view.close)]
        parts += [(f"  ✘ {tally.failed}", "bad")] if tally.failed else []
        parts += [(f"  ⊘ {tally.upstream_failed}", "warn")] if tally.upstream_failed else []
        parts += [f"  ⤼ {tally.skipped}"] if tally.skipped else []
        lines.append(line(*parts))
        share = f" {round(100 * went_well(tally) / tally.total)}%" + (f"  {took(ms)}" if ms >= 0 else "")
        lines.append(line((bar(went_well(tally), tally.total, max(width - 2 - len(share), 5)), tone), share))
    elif ms >= 0:
        lines.append(line(f"took     {took(ms)}"))
    return lines


def _doing(tally: StepTally, close: Close) -> list[str]:
    """What the elements that are dispatched do, if all of them were looked at."""
    active, waiting = active_and_waiting(close)
    if tally.queued == active + waiting:
        return [f"  active {active}  wait {waiting + tally.pending}"]
    return [f"  queued {tally.queued}  wait {tally.pending}"] if tally.queued or tally.pending else []


def _working(view: RunView, width: int) -> list[Line]:
    header, close = view.snapshot.header, view.close
    options = view.snapshot.plan.by_name[close.step].options
    attempt = max((m.job.attempt for m in close.members), default=0)
    group = f"   group {'own' if header.gid == header.run_id else cut(header.gid, 12)} {close.group.active}/{close.group.limit or 1}"
    return [
        line(cut(f"retry    {attempt}/{options.attempts} {_backoff(options)}", width - 1)),
        line(cut(f"queue    {header.queue}{' PAUSED' if close.is_paused else ''}{group}", width - 1)),
        line(cut(f"timeout  {_timeout(options)}  lease {options.lease_ms // 1000}s", width - 1)),
    ]


def _backoff(options: StepOptions) -> str:
    first = f"{options.delay_ms / 1000:g}s"
    if options.backoff == "fixed":
        return f"every {first}"
    return f"exp {first}..{options.cap_ms / 1000:g}s{' jitter' if options.jitter else ''}"


def _timeout(options: StepOptions) -> str:
    return f"{options.timeout_ms / 1000:g}s" if options.timeout_ms else "none"


def _wrong(view: RunView, width: int, room: int) -> list[Line]:
    """The last error of this step: of an element that failed, or of an attempt that is tried again."""
    close = view.close
    failed = [(m.step_run, m.failure) for m in close.members if m.failure is not None]
    failed += [(f.step_run, f.failure) for f in view.snapshot.failures if f.step_run.step == close.step]
    trying = [m for m in close.members if m.job.last_error]
    if trying:
        m = trying[0]
        again = f"attempt {m.job.attempt} of {m.job.max_attempts}"
        again += f", next {clock_time(m.job.due_ms)}" if m.job.state == Lane.DELAYED else ""
        return _error(str(m.step_run), m.job.last_error, again, width, room)
    if failed:
        step_run, failure = failed[0]
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        return _error(str(step_run), str(failure), f"attempt {failure.attempt}{more}" if failure.attempt else more[2:], width, room)
    return []


def _error(name: str, message: str, foot: str, width: int, room: int) -> list[Line]:
    rows = wrap(message, width - 1, max(room - 2, 1))
    return [
        rule(width - 1, f"last error {name}"),
        *(line((row, "bad" if n == 0 else "")) for n, row in enumerate(rows)),
        line((foot, "dim")),
    ]


def told(entry: HistoryEntry) -> tuple[str, str, str]:
    """An event in words: whom it is about, what happened, in which tone."""
    event = tell(entry)
    return event.name, event.what, _tone(event)


def _tone(event: Told) -> str:
    if event.kind == "run":
        return "bad" if event.what in ("failed", "failing") else "title"
    return _TONES.get(event.kind) or {"retry": "warn", "lost": "warn", "steered": "title"}.get(event.kind, "dim")


def _shown(step_run: str) -> str:
    try:
        return str(StepRun.parse(step_run))
    except ValueError:
        return step_run


def event_line(events: Sequence[HistoryEntry], width: int) -> Line:
    """The newest events in one line, the newest first."""
    parts: list[Part] = [" "]
    used = 1
    for entry in reversed(events):
        name, what, tone = told(entry)
        shown = f"{clock_time(entry.at_ms)} {name} "
        if used + len(shown) + len(what) + 3 > width and used > 1:
            break
        parts += [(shown, "dim"), (what, tone), "   "]
        used += len(shown) + len(what) + 3
    return line(*parts)


def timeline_lines(view: RunView, width: int, now_ms: int) -> list[Line]:
    """A bar a step, from when it was first dispatched to when it was last decided."""
    steps = view.snapshot.steps
    began = view.snapshot.header.created_ms
    whole = max((view.snapshot.header.ended_ms or now_ms) - began, 1)
    wide = min(max(len(s.step) for s in steps) + 2, 24)
    room = max(width - wide - 12, 10)
    lines = [line((cell("STEP", wide), "head"), ("0s" + took(whole).rjust(room - 2), "dim"))]
    for step in steps:
        glyph, tone = of_step(step)
        first, ms = step.timing.started_ms, step_took(step, now_ms)
        name: Part = (cell(f"{glyph} {step.step}", wide), tone)
        if not first or ms < 0:
            lines.append(line(name))
            continue
        at = min(max((first - began) * room // whole, 0), room - 1)
        long = min(max(ms * room // whole, 1), room - at)
        lines.append(line(name, (" " * at + "█" * long + " " * (room - at - long), tone), f"  {took(ms)}"))
    return lines


def json_lines(text: str | None, width: int, missing: str) -> list[Line]:
    """A JSON text laid out; whatever it holds is text."""
    if text is None:
        return [BLANK, line((f"  {missing}", "dim"))]
    try:
        shown = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        shown = text
    rows = shown.split("\n")
    more = [line((f"… and {len(rows) - MOST_JSON_LINES} more lines", "dim"))] if len(rows) > MOST_JSON_LINES else []
    return [*(line(cut(row, width)) for row in rows[:MOST_JSON_LINES]), *more]


def input_lines(view: RunView, width: int, now_ms: int) -> list[Line]:
    return json_lines(view.input, width, "reading …")


def output_lines(view: RunView, width: int, now_ms: int) -> list[Line]:
    """The output of the step under the cursor."""
    title = line(("OUTPUT ", "head"), view.close.step)
    return [title, *json_lines(view.close.output, width, "this step has no output yet; a map's elements stand under Tree")]


def log_lines(view: RunView, width: int, now_ms: int) -> list[Line]:
    """What handlers wrote, the newest at the end."""
    log = sorted([*view.log, *steered_lines(view.events)], key=lambda row: row.at_ms)
    if not log:
        return [BLANK, line(("  Nothing was written with ctx.log.", "dim"))]
    return [line((f"{clock_time(row.at_ms)} ", "dim"), (cell(_shown(row.step_run), 14), "busy"), " ", row.text) for row in log]


def history_lines(view: RunView, width: int, now_ms: int) -> list[Line]:
    """All events that are kept, the newest first."""
    return [
        line((f"{t.entry.rev:>6}  {clock_time(t.entry.at_ms)}  ", "dim"), cell(t.name, 20), (t.what, _tone(t)))
        for t in reversed(tell_all(view.events))
    ]
