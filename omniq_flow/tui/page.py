"""What all screens have in common: head, tabs, foot, keys, and a picture that the feed brings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.color import Color
from textual.screen import Screen
from textual.widget import Widget

from omniq_flow.errors import OmniqFlowError
from omniq_flow.tui.canvas import Board, Canvas
from omniq_flow.tui.feed import Question, Want
from omniq_flow.tui.header import foot_line, head_line, tab_line
from omniq_flow.tui.keys import Hint, Key, bindings, hints, mapped
from omniq_flow.tui.table import Table
from omniq_flow.tui.text import Line, line, rule

if TYPE_CHECKING:
    from omniq_flow.tui.actions import Deed
    from omniq_flow.tui.app import FlowApp

SAY_AGAIN_MS = 10_000
TINT = 0.4
"""How much of its profile's colour the head has: what stands there stays readable in every theme."""
PANE_SHARE, LEAST_SHARE, MOST_SHARE = 45, 25, 75
"""Of the width, in hundredths."""
SIDE_FROM = 100
"""From this width on there is room for a pane beside a list."""
LEAST = (60, 15)
"""A smaller terminal shows only a note with the size that is needed."""


class Page(Screen[None]):
    """A screen. Subclasses say what they want to know, show the picture, and list their keys."""

    TITLE_: ClassVar[str] = ""
    PANE: ClassVar[str] = ""
    """The id of what stands beside the list, if something does."""
    KEYS: ClassVar[tuple[Key, ...]] = ()
    DEFAULT_CSS = """
    Page { layers: base above; layout: vertical; background: $background; }
    Page #head { height: 3; }
    Page #foot { height: 2; }
    Page #small { display: none; }
    Page.-small > * { display: none; }
    Page.-small #small { display: block; }
    """

    _is_composed = False
    _pane_share = PANE_SHARE
    _said: tuple[str, int] = ("", 0)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Textual reads the bindings of a class when it is made.
        cls.BINDINGS = bindings(cls.KEYS)  # type: ignore[assignment]
        super().__init_subclass__(**kwargs)

    @property
    def is_ready(self) -> bool:
        """Whether its widgets are there: not before they are made, and not while the app is closing."""
        return self._is_composed and bool(self.children)

    @property
    def flow_app(self) -> FlowApp:
        from omniq_flow.tui.app import FlowApp

        assert isinstance(self.app, FlowApp)
        return self.app

    def compose(self) -> ComposeResult:
        self._head, self._foot, self._small = Board(id="head"), Board(id="foot"), Board(id="small")
        if color := self.flow_app.status.color:
            self._head.styles.background = Color.parse(color).with_alpha(TINT)
        yield self._head
        yield from self.compose_body()
        yield self._foot
        yield self._small

    def compose_body(self) -> Iterable[Widget]:
        """The widgets between head and foot."""
        return ()

    def want(self) -> Want:
        """What this screen wants to know, as it is now."""
        raise NotImplementedError

    def show(self, picture: Any) -> None:
        """Show a picture that was wanted."""

    def thing(self) -> object:
        """What is selected, as a value."""
        for table in self.query(Table):
            if table.has_focus and table.selected is not None:
                return table.selected.thing
        return None

    def value(self) -> tuple[str, Question] | None:
        """What the pager shows: a name, and how the whole value is read; what is selected as JSON, unless a screen knows better."""
        thing = self.thing()
        if not is_dataclass(thing) or isinstance(thing, type):
            return None
        return type(thing).__name__, lambda client: asdict(thing)

    def command(self) -> str:
        """The command of the command line that shows what is selected; empty if there is none."""
        return ""

    def fail(self, error: OmniqFlowError) -> None:
        """Tell that the picture could not be read; the same failure again only after a while."""
        said, at = self._said
        if error.message != said or self.flow_app.ticks() - at > SAY_AGAIN_MS:
            self._said = (error.message, self.flow_app.ticks())
            self.flow_app.complain(error)

    def action_open(self) -> None:
        """As enter: open what is selected."""
        for table in self.query(Table):
            if table.has_focus:
                table.action_open()

    def resize_pane(self, by: int) -> None:
        """Give the pane beside the list more or less of the width."""
        if not self.PANE or self.app.size.width < SIDE_FROM:
            self.flow_app.say("there is no pane beside this")
            return
        self._pane_share = max(min(self._pane_share + 10 * by, MOST_SHARE), LEAST_SHARE)
        self.set_pane(f"{self._pane_share}%")

    def set_pane(self, width: str | None) -> None:
        """The width of the pane; None is that of the style sheet."""
        for pane in self.query(f"#{self.PANE}"):
            pane.styles.width = width
            pane.styles.max_width = "100%" if width else None

    def widen(self) -> None:
        """Show all columns of the tables, or those that have room."""
        for table in self.query(Table):
            table.widen()

    def look(self) -> None:
        """Ask the feed for what is wanted now."""
        if self.is_ready and self.is_current:
            self.flow_app.source.look(self.want())

    def hints(self) -> list[Hint]:
        """The keys at the foot."""
        return [*hints(self.shown_keys(), "screen"), *hints(self.flow_app.everywhere, "app")]

    def shown_keys(self) -> list[Key]:
        """The keys of this screen that do something now; those that act are gone when nothing can be changed."""
        keys = mapped(self.KEYS, self.flow_app.keymap)
        return [key for key in keys if self.flow_app.acting.can_act or not key.action.startswith("act(")]

    def acted(self, deed: Deed) -> None:
        """Show what was done: what it was done to is marked no more."""
        for table in self.query(Table):
            table.unmark_these([outcome.id for outcome in deed.outcomes if outcome.is_done])

    def head(self, width: int) -> tuple[Line, Line]:
        """The two lines at the top."""
        return head_line(self.flow_app.status, width), tab_line(self.flow_app.tabs, self.TITLE_, width, "app.page")

    def paint_head(self) -> None:
        """Show head and foot as they are now."""
        width = self.app.size.width
        self._head.show(*self.head(width), rule(width))
        self._foot.show(rule(width), foot_line(self.hints(), width))

    def set_stale(self, is_stale: bool) -> None:
        for canvas in self.query(Canvas):
            if canvas.id not in ("head", "foot"):
                canvas.set_stale(is_stale)

    # Textual calls the handlers of all classes of a widget, so those of subclasses do not call these.

    def on_mount(self) -> None:
        self._is_composed = True
        self._check_size()
        self.on_screen_resume()

    def on_unmount(self) -> None:
        self._is_composed = False

    def on_screen_resume(self) -> None:
        if self.is_ready:
            self.paint_head()
            self.look()

    def on_resize(self) -> None:
        if self.is_ready:
            if self.PANE and self._pane_share != PANE_SHARE:
                # What was set by hand goes with the room for it.
                self.set_pane(f"{self._pane_share}%" if self.app.size.width >= SIDE_FROM else None)
            self._check_size()
            self.paint_head()

    def _check_size(self) -> None:
        width, height = self.app.size
        self.set_class(width < LEAST[0] or height < LEAST[1], "-small")
        self._small.show(
            line(""), line(f"  {width}×{height} is too small"), line(f"  {LEAST[0]}×{LEAST[1]} is needed"), line(""), line("  q quit")
        )
