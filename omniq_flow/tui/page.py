"""What all screens have in common: head, tabs, foot, keys, and a picture that the feed brings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from omniq_flow.errors import OmniqFlowError
from omniq_flow.tui.canvas import Board, Canvas
from omniq_flow.tui.feed import Want
from omniq_flow.tui.header import foot_line, head_line, tab_line
from omniq_flow.tui.keys import EVERYWHERE, Key, bindings, hints
from omniq_flow.tui.table import Table
from omniq_flow.tui.text import Line, line, rule

if TYPE_CHECKING:
    from omniq_flow.tui.actions import Deed
    from omniq_flow.tui.app import FlowApp

SAY_AGAIN_MS = 10_000
LEAST = (60, 15)
"""A smaller terminal shows only a note with the size that is needed."""


class Page(Screen[None]):
    """A screen. Subclasses say what they want to know, show the picture, and list their keys."""

    TITLE_: ClassVar[str] = ""
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

    def command(self) -> str:
        """The command of the command line that shows what is selected; empty if there is none."""
        return ""

    def fail(self, error: OmniqFlowError) -> None:
        """Tell that the picture could not be read; the same failure again only after a while."""
        said, at = self._said
        if error.message != said or self.flow_app.ticks() - at > SAY_AGAIN_MS:
            self._said = (error.message, self.flow_app.ticks())
            self.flow_app.complain(error)

    def look(self) -> None:
        """Ask the feed for what is wanted now."""
        if self.is_ready and self.is_current:
            self.flow_app.source.look(self.want())

    def hints(self) -> list[tuple[str, str]]:
        """The keys at the foot."""
        return hints((*self.shown_keys(), *EVERYWHERE))

    def shown_keys(self) -> list[Key]:
        """The keys of this screen that do something now; those that act are gone when nothing can be changed."""
        return [key for key in self.KEYS if self.flow_app.can_act or not key.action.startswith("act(")]

    def acted(self, deed: Deed) -> None:
        """Show what was done: what it was done to is marked no more."""
        for table in self.query(Table):
            table.unmark_these([outcome.id for outcome in deed.outcomes if outcome.is_done])

    def head(self, width: int) -> tuple[Line, Line]:
        """The two lines at the top."""
        return head_line(self.flow_app.status, width), tab_line(self.flow_app.tabs, self.TITLE_, width)

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
            self._check_size()
            self.paint_head()

    def _check_size(self) -> None:
        width, height = self.app.size
        self.set_class(width < LEAST[0] or height < LEAST[1], "-small")
        self._small.show(
            line(""), line(f"  {width}×{height} is too small"), line(f"  {LEAST[0]}×{LEAST[1]} is needed"), line(""), line("  q quit")
        )
