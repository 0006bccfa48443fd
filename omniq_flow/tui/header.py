"""The head of every screen: where we are, whether it is live, the tabs. Pure functions of a status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omniq_flow.tui.keys import Hint
from omniq_flow.tui.text import Line, Span, age, cut, ends, length, line


@dataclass(frozen=True, slots=True)
class Status:
    """What the head tells of. `stale_ms`: since when the picture is no longer renewed, -1 while it is; `lost_at`: at which time of
    the day the server was lost, empty while it answers."""

    where: str = ""
    profile: str = ""
    color: str = ""
    is_read_only: bool = False
    is_frozen: bool = False
    stale_ms: int = -1
    lost_at: str = ""
    interval_ms: int = 1_000
    rtt_ms: int = 0
    workers: int = 0
    paused: int = 0


PROGRAM = "omniq-flow"
HELP = "?"


def live(status: Status) -> Span:
    """LIVE, FROZEN or STALE, and since when the server is gone."""
    if status.stale_ms >= 0:
        lost = f", disconnected since {status.lost_at}" if status.lost_at else ""
        return Span(f"STALE {age(status.stale_ms)}{lost}", "alarm")
    return Span("FROZEN", "warn") if status.is_frozen else Span(f"LIVE {status.interval_ms / 1000:g}s", "good")


def head_line(status: Status, width: int) -> Line:
    """The first line of a screen."""
    left = [Span(f" {PROGRAM}", "title"), Span("  " + cut(status.where, max(width - (75 if status.lost_at else 50), 20)))]
    left += [Span(f"  {status.profile}", "warn")] if status.profile else []
    left += [Span("  "), live(status)]
    left += [Span(f"  rtt {status.rtt_ms}ms")] if not status.lost_at else []
    left += [Span("  RO", "warn")] if status.is_read_only else []
    right = [Span(f"{status.paused} PAUSED  ", "warn")] if status.paused else []
    right += [Span(f"{status.workers} worker{'s' if status.workers != 1 else ''} ", "" if status.workers else "warn")]
    return ends(tuple(left), tuple(right), width)


def run_head_line(status: Status, about: Sequence[Span], width: int, pause: str = "") -> Line:
    """The first line of a screen about one thing: the thing in place of the address, and at the end whether it is paused."""
    left = [Span(f" {PROGRAM}", "title")]
    left += [Span(f"  {status.profile}", "warn")] if status.profile else []
    left += [Span("  "), *about, Span("  "), live(status)]
    left += [Span("  RO", "warn")] if status.is_read_only else []
    room = max(width - length(left) - 3, len("PAUSED"))
    return ends(tuple(left), (Span(f"{cut(pause, room)} ", "warn"),) if pause else (), width)


def tab_line(titles: Sequence[tuple[str, str]], current: str, width: int, action: str) -> Line:
    """Tabs, each a key and a title; the current one stands in brackets. A click does the action with the title."""
    spans: list[Span] = [Span(" ")]
    for key, title in titles:
        if title == current:
            spans += [Span(f"[{key}]{title}" if key else f"[{title}]", "key"), Span(" ")]
        else:
            spans += [Span(f"{key} {title} " if key else f"{title}  ", "", f"{action}('{title}')")]
    wide = ends(tuple(spans), (), width)
    return wide if sum(len(s.text) for s in spans) <= width else _short_tabs(titles, current, width, action)


def _short_tabs(titles: Sequence[tuple[str, str]], current: str, width: int, action: str) -> Line:
    spans = [Span(f"[{k}]{t} " if t == current else f"{k} ", "key" if t == current else "", f"{action}('{t}')") for k, t in titles]
    return ends((Span(" "), *spans), (), width)


def foot_line(hints: Sequence[Hint], width: int) -> Line:
    """The keys that do something here; those that have no room are told by `?`, which always has."""
    room = width - sum(_wide(hint) for hint in hints if hint[0] == HELP)
    is_full = False
    spans: list[Span] = [Span(" ")]
    for hint in hints:
        if hint[0] != HELP:
            is_full = is_full or _wide(hint) > room
            room -= _wide(hint)
        if hint[0] == HELP or not is_full:
            spans += [Span(hint[0], "key", hint[2]), Span(f" {hint[1]}  ", "", hint[2])]
    return line(*spans)


def _wide(hint: Hint) -> int:
    key, label, _ = hint
    return len(key) + len(label) + 3
