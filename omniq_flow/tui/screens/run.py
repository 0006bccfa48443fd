"""One run: graph, tree, timeline, input, output, log and history, and the step under the cursor with why it waits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from omniq_flow.errors import NotFound, OmniqFlowError
from omniq_flow.model.names import StepRun
from omniq_flow.observe.results import input_of, output_of
from omniq_flow.observe.run_watch import Focus, RunView, RunWatch
from omniq_flow.tui.actions import Deed
from omniq_flow.tui.canvas import Board
from omniq_flow.tui.dialogs import Ask
from omniq_flow.tui.feed import Question, Want
from omniq_flow.tui.graph import MOST_STEPS, Graph
from omniq_flow.tui.header import run_head_line, tab_line
from omniq_flow.tui.keys import Key
from omniq_flow.tui.page import SIDE_FROM, Page
from omniq_flow.tui.rerun import ask_for_rerun
from omniq_flow.tui.run_actions import RUN_KEYS, WHY_NOT, run_action
from omniq_flow.tui.run_text import event_line, history_lines, input_lines, log_lines, output_lines, step_lines, timeline_lines
from omniq_flow.tui.text import Line, Span, plain, rule, took
from omniq_flow.tui.tree import StepTree

END = 1 << 30
TABS = ("Graph", "Tree", "Timeline", "Input", "Output", "Log", "History")
READING = {"down": 1, "j": 1, "up": -1, "k": -1, "pagedown": 10, "pageup": -10, "home": -END, "g": -END, "end": END, "G": END}
"""Keys of a tab that is read -> by how many lines they move."""
LARGE = (120, 34)
"""From this size on the log stands below the graph."""


class RunPage(Page):
    """A run; lies above the screen it was opened from."""

    TITLE_ = "Run"
    PANE = "side"
    KEYS = (
        Key("enter", "open", "step", "the elements of the step", shown="enter"),
        Key("m", "log", "log", "the log of the run"),
        Key("i", "input", "input", "the input of the run", is_hint=False),
        *RUN_KEYS,
        Key("escape", "back", "back", "back to the list"),
        Key("right_square_bracket", "tab(1)", "tab", "next tab", shown="[ ]", called="next_tab"),
        Key("left_square_bracket", "tab(-1)", "", "previous tab", is_hint=False, called="previous_tab"),
        Key("slash", "find", "find", "find words in the text of a tab", is_hint=False, called="filter"),
        Key("n", "find_next(1)", "next hit", "the next hit", is_hint=False, called="go_on"),
        Key("N", "find_next(-1)", "hit before", "the hit before", is_hint=False, called="go_back_on"),
        Key("F", "follow", "follow", "keep the cursor on what runs"),
        Key("y", "copy_id", "copy id", "copy the id", is_hint=False),
    )
    DEFAULT_CSS = """
    RunPage #main { height: 1fr; }
    RunPage #side { width: 50%; max-width: 64; }
    RunPage #side > #bar { width: 2; height: 1fr; }
    RunPage #foot_events { height: 2; }
    RunPage #below { height: 12; display: none; }
    RunPage.-large #below { display: block; }
    """

    def __init__(self, queue: str, run_id: str) -> None:
        super().__init__(name=f"run:{run_id}")
        self.queue = queue
        self.run_id = run_id
        self.tab = ""
        self.is_following = False
        self._watch = RunWatch(queue, run_id)
        self._view: RunView | None = None

    def compose_body(self) -> Iterable[Widget]:
        self.graph = Graph(id="graph")
        self.steps = StepTree(id="tree")
        self.board = Board(id="board")
        self.board.can_focus = True
        self.pane = Board(id="pane")
        self.bar_ = Board(id="bar")
        self.events = Board(id="foot_events")
        self.below = Board(id="below")
        self.side = Horizontal(self.bar_, self.pane, id="side")
        yield Horizontal(Vertical(self.graph, self.steps, self.board, self.below, id="left"), self.side, id="main")
        yield self.events

    def on_mount(self) -> None:
        self._choose("Graph")
        self.tab = ""

    def want(self) -> Want:
        tree, is_tree = self.steps, self.tab == "Tree"
        step, offset, within = (tree.selected_step, tree.members_from, tree.within) if is_tree else (self.graph.step, 0, ())
        focus = Focus(step, offset, self.tab == "Log" or self.has_class("-large"), self.tab == "Input", within)
        return Want(str(self.name), lambda client: self._watch.read(client, focus))

    def show(self, picture: RunView) -> None:
        self._view = picture
        now = self.flow_app.clock()
        if not self.tab:
            self._choose("Tree" if len(picture.snapshot.steps) > MOST_STEPS else "Graph")
        if self.is_following:
            self._follow(picture)
        self.graph.show(picture.snapshot, now)
        self.steps.show(picture, now)
        self._paint(now)
        self.paint_head()

    def _paint(self, now: int) -> None:
        view = self._view
        if view is None:
            return
        height = max(self.pane.size.height, 1)
        self.pane.show(*step_lines(view, max(self.pane.size.width, 20), now, height))
        self.bar_.show(*([(Span("│", "frame"),)] * height))
        self.events.show(rule(self.app.size.width), event_line(view.events, self.app.size.width))
        wide = max(self.board.size.width, 20)
        makers = {"Timeline": timeline_lines, "Input": input_lines, "Output": output_lines, "Log": log_lines, "History": history_lines}
        if (make := makers.get(self.tab)) is not None:
            self.board.show(*make(view, wide, now))
        below = max(self.below.size.width, 20)
        self.below.show(rule(below, "log"), *log_lines(view, below, now)[-10:])

    def head(self, width: int) -> tuple[Line, Line]:
        tabs = tab_line([("", tab) for tab in TABS], self.tab, width, "screen.show_tab")
        return run_head_line(self.flow_app.status, self._about(), width, self._pause()), tabs

    def _about(self) -> list[Span]:
        about = [Span(f"RUN {self.run_id[-6:]}", "title")]
        if self._view is None:
            return about
        h = self._view.snapshot.header
        lasted = took((h.ended_ms or self.flow_app.clock()) - h.created_ms)
        return [*about, Span(f"  {h.flow} v{h.plan_sha[:4]}  {'open' if not h.ended_ms else self._view.snapshot.word} {lasted}")]

    def _pause(self) -> str:
        """That the run is paused, by whom and why; empty if it is not."""
        note = self._view.snapshot.header.paused if self._view is not None else None
        if note is None:
            return ""
        by = f" by {note.by}" if note.by not in ("", "-") else ""
        return f"PAUSED{by}" + (f": {note.reason}" if note.reason else "")

    def _choose(self, tab: str) -> None:
        self.tab = tab
        shown: dict[str, Widget] = {"Graph": self.graph, "Tree": self.steps}
        for widget in (self.graph, self.steps, self.board):
            widget.display = widget is shown.get(tab, self.board)
        shown.get(tab, self.board).focus()
        self._place_side()

    def _place_side(self) -> None:
        """On a narrow screen what is read takes the whole width."""
        self.side.display = self.app.size.width >= SIDE_FROM or self.tab in ("Graph", "Tree", "")

    def action_tab(self, by: int) -> None:
        self._choose(TABS[(TABS.index(self.tab or "Graph") + by) % len(TABS)])
        self.board.top = 0
        self.board.forget_found()
        self._paint(self.flow_app.clock())
        self.paint_head()
        self.look()

    def _jump(self, tab: str) -> None:
        self._choose(tab)
        self.action_tab(0)

    def action_open(self) -> None:
        if self.tab == "Tree":
            self.steps.action_unfold()
        else:
            self.graph.action_open()

    def action_show_tab(self, tab: str) -> None:
        self._jump(tab)

    def action_log(self) -> None:
        self._jump("Log")

    def action_input(self) -> None:
        self._jump("Input")

    def action_follow(self) -> None:
        self.is_following = not self.is_following
        self.flow_app.say("follows what runs" if self.is_following else "follows no more")
        if self._view is not None:
            self.show(self._view)

    def _follow(self, view: RunView) -> None:
        busy = [s for s in view.snapshot.steps if not s.is_settled and s.state != "pending"]
        if busy and self.graph.step not in [s.step for s in busy]:
            self.graph.select(busy[0].step)
            self.look()

    def on_graph_moved(self) -> None:
        self.look()

    def on_graph_opened(self, event: Graph.Opened) -> None:
        self.steps.unfold(event.step)
        self._jump("Tree")

    def on_step_tree_moved(self) -> None:
        self.graph.step = self.steps.selected_step
        self.look()

    def on_key(self, event: Any) -> None:
        if self.tab in TABS[2:] and event.key in READING:
            self.board.scroll_lines(READING[event.key])

    def action_find(self) -> None:
        if self.tab in TABS[2:]:
            self.flow_app.push_screen(Ask("find", f"find in {self.tab}", self.board.words), self._find)
        else:
            self.flow_app.say("there is a text to search under Input, Output, Log and History", is_bad=True)

    def _find(self, words: object) -> None:
        if isinstance(words, str) and words:
            self.board.forget_found()
            self._find_next(words, 1)

    def action_find_next(self, by: int) -> None:
        if self.tab in TABS[2:] and self.board.words:
            self._find_next(self.board.words, by)

    def _find_next(self, words: str, by: int) -> None:
        if not self.board.find(words, by):
            self.flow_app.say(f"{words!r} is not {'further down' if by > 0 else 'further up'}", is_bad=True)

    def action_act(self, kind: str) -> None:
        headers = [self._view.snapshot.header] if self._view is not None else []
        if kind == "rerun":
            ask_for_rerun(self.flow_app, headers, self._step_at_hand(), none=WHY_NOT[kind])
        else:
            self.flow_app.acting.perform(run_action(kind, headers), none=WHY_NOT[kind])

    def _step_at_hand(self) -> str:
        """The step under the cursor where steps are shown; "" elsewhere."""
        return self._view.close.step if self._view is not None and self.tab in ("Graph", "Tree") else ""

    def acted(self, deed: Deed) -> None:
        """A run that was removed is shown no more."""
        if deed.action.kind == "remove" and any(o.is_done and o.id == self.run_id for o in deed.outcomes):
            self.flow_app.go_back()

    def fail(self, error: OmniqFlowError) -> None:
        """A run that is gone, as after the server came back empty, is shown no more."""
        super().fail(error)
        if isinstance(error, NotFound):
            self.flow_app.go_back()

    def value(self) -> tuple[str, Question] | None:
        """Input and log on their tabs, else the output of the step, or of the element under the cursor."""
        view, queue, run_id = self._view, self.queue, self.run_id
        if view is None:
            return None
        if self.tab == "Input":
            return f"input of {run_id}", lambda client: input_of(client, queue, run_id)
        if self.tab == "Log":
            return f"log of {run_id}", lambda client: "\n".join(plain(row) for row in log_lines(view, 0, 0))
        element = self.steps.selected_member if self.tab == "Tree" else ""
        wanted = StepRun.parse(element) if element else StepRun(view.close.step)
        return f"output of {wanted} of {run_id}", lambda client: output_of(client, view.snapshot, wanted)

    def command(self) -> str:
        return f"omniq-flow runs show {self.run_id}"

    def action_back(self) -> None:
        self.flow_app.go_back()

    def action_copy_id(self) -> None:
        self.flow_app.copy(self.run_id)

    def on_resize(self) -> None:
        width, height = self.app.size
        self.set_class(width >= LARGE[0] and height >= LARGE[1], "-large")
        if self.is_ready:
            self._place_side()
            self.call_after_refresh(lambda: self._paint(self.flow_app.clock()))
