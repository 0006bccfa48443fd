"""The app: it wires screens, feed and hands together, leads from screen to screen, and keeps the status that every screen shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import partial
from typing import Any

from textual.app import SystemCommand
from textual.binding import Binding
from textual.message import Message
from textual.screen import Screen

from omniq_flow.client.connect import Target
from omniq_flow.errors import OmniqFlowError
from omniq_flow.flow.definition import Flow
from omniq_flow.model.clock import Clock, monotonic_ms, now_ms
from omniq_flow.observe.around import Around
from omniq_flow.ops.lanes import LaneName
from omniq_flow.tui.acting import Acting
from omniq_flow.tui.actions import Hands
from omniq_flow.tui.ascii import Ascii
from omniq_flow.tui.away import url_fault
from omniq_flow.tui.command_line import obey
from omniq_flow.tui.contact import Contact
from omniq_flow.tui.dialogs import Ask, Pages, deed_lines, help_lines
from omniq_flow.tui.feed import INTERVALS_MS, Answered, Arrived, Ended, Failed, Lost, News, Probed, Source, Surrounded
from omniq_flow.tui.header import Status
from omniq_flow.tui.keys import EVERYWHERE, bindings, help_rows, mapped
from omniq_flow.tui.new_run import ask_for_run
from omniq_flow.tui.page import Page
from omniq_flow.tui.pager import page_text
from omniq_flow.tui.screens.counters import CountersPage
from omniq_flow.tui.screens.events import EventsPage
from omniq_flow.tui.screens.groups import GroupsPage
from omniq_flow.tui.screens.jobs import JobsPage
from omniq_flow.tui.screens.overview import OverviewPage
from omniq_flow.tui.screens.run import RunPage
from omniq_flow.tui.screens.runs import RunsPage
from omniq_flow.tui.screens.workers import WorkersPage
from omniq_flow.tui.table import Table
from omniq_flow.tui.terminal_app import TerminalApp
from omniq_flow.tui.text import safe

MOST_TROUBLES = 200
SCREENS: tuple[tuple[str, type[Page]], ...] = (
    ("1", OverviewPage),
    ("2", RunsPage),
    ("3", JobsPage),
    ("4", GroupsPage),
    ("5", CountersPage),
    ("6", WorkersPage),
    ("8", EventsPage),
)


@dataclass
class Told(Message):
    """News of the feed, on their way from its thread."""

    news: News


class FlowApp(TerminalApp):
    """See the module. `hands` is None where nothing may be changed."""

    TITLE = "omniq-flow"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS = [  # noqa: RUF012
        *bindings(EVERYWHERE),
        *(Binding(key, f"page('{page.TITLE_}')", page.TITLE_, show=False) for key, page in SCREENS),
    ]
    CSS = """
    Toast { max-width: 70; }
    """

    def __init__(
        self,
        source: Source,
        *,
        where: str,
        hands: Hands | None = None,
        queues: Sequence[str] = (),
        flows: Sequence[Flow] = (),
        profile: str = "",
        run: tuple[str, str] | None = None,
        keys: Mapping[str, str] | None = None,
        color: str = "",
        is_ascii: bool = False,
        retries: bool = True,
        elsewhere: Callable[[str], tuple[Source, Hands | None]] | None = None,
        clock: Clock = now_ms,
        ticks: Clock = monotonic_ms,
    ) -> None:
        super().__init__()
        if is_ascii:
            self._filters.append(Ascii())
        self.source = source
        self.clock = clock
        self.ticks = ticks
        self.around = Around(queues=tuple(queues))
        self.status = Status(where, profile, color, is_read_only=hands is None)
        self.contact = Contact(self, retries=retries)
        self.acting = Acting(self, hands)
        self._elsewhere = elsewhere
        self.flows = tuple(flows)
        self.troubles: list[tuple[int, str]] = []
        self.tabs = [(key, page.TITLE_) for key, page in SCREENS]
        self.pages: dict[str, Page] = {}
        self.keymap = dict(keys or {})
        self.everywhere = mapped(EVERYWHERE, self.keymap)
        self.set_keymap(self.keymap)
        self._first_run = run
        self._history: list[str] = []

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that are known now."""
        return self.around.queues

    @property
    def page(self) -> Page | None:
        """The screen that is shown, below any dialog."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, Page)), None)

    def on_mount(self) -> None:
        self.set_interval(1.0, self.contact.pass_time)
        self._listen()
        self.action_page(SCREENS[0][1].TITLE_)
        if self._first_run is not None:
            self.open_run(*self._first_run)

    def on_unmount(self) -> None:
        self.source.stop()
        self.acting.close()

    def on_told(self, message: Told) -> None:
        match message.news:
            case Arrived() as news:
                self._take(news)
            case Surrounded(around):
                is_new = around.queues != self.around.queues
                self.around = around
                self.set_status(workers=len(around.workers), paused=len(around.paused))
                if is_new and self.page is not None:
                    self.page.look()
            case Probed(refused):
                self.acting.learn(refused)
                self.set_status(is_read_only=self.acting.is_read_only)
            case Failed(name, error):
                self.contact.hear()
                if self.page is not None and self.page.name == name:
                    self.page.fail(error)
            case Answered(_, OmniqFlowError() as error):
                self.complain(error)
            case Answered(then, answer):
                then(answer)
            case Lost() as lost:
                self.contact.lose(lost)
            case Ended(error):
                raise error

    def _take(self, news: Arrived) -> None:
        self.contact.renew(news.pulse)
        page = self.page
        if page is not None and page.name == news.name and page.is_ready:
            page.set_stale(False)
            page.show(news.picture)

    def _listen(self) -> None:
        source = self.source
        source.start(lambda news: self.post_message(Told(news)) if source is self.source else None)

    def action_other_server(self) -> None:
        """Ask for another address, where the server is not."""
        if self._elsewhere is not None:
            self.push_screen(Ask("url", "address of the server", check=url_fault), self._move)

    def _move(self, url: object) -> None:
        if not isinstance(url, str) or self._elsewhere is None:
            return
        self.run_worker(asyncio.to_thread(self.source.stop), group="moving", exit_on_error=False)
        self.source, hands = self._elsewhere(url)
        self.acting.use(hands)
        self.set_status(where=Target.parse(url).where, profile="", color="", is_read_only=self.acting.is_read_only)
        self._listen()
        if self.page is not None:
            self.source.look(self.page.want())

    def set_status(self, **changes: Any) -> None:
        """Show it in the head of the screen, at once."""
        self.status = replace(self.status, **changes)
        if self.page is not None and self.page.is_ready:
            self.page.paint_head()

    def on_app_blur(self) -> None:
        self.contact.blur()

    def on_app_focus(self) -> None:
        self.contact.focus()

    def action_page(self, title: str) -> None:
        """Show one of the main screens."""
        kinds = {kind.TITLE_: kind for _, kind in SCREENS}
        page = self.pages.get(title)
        if page is None:
            page = self.pages[title] = kinds[title]()
            self.install_screen(page, title)
        if self._history[-1:] != [title]:
            self._history.append(title)
        while isinstance(self.screen, RunPage):
            self.pop_screen()
        if self.screen is not page:
            if isinstance(self.screen, Page):
                self.switch_screen(title)
            else:
                self.push_screen(title)

    def action_last_page(self) -> None:
        if len(self._history) > 1:
            self._history.pop()
            self.action_page(self._history.pop())

    def open_run(self, queue: str, run_id: str) -> None:
        self.push_screen(RunPage(queue, run_id))

    def open_queue(self, queue: str) -> None:
        """Show the jobs of a queue: the failed ones if nothing waits."""
        self.open_lane(queue)

    def open_lane(self, queue: str, lane: LaneName = "wait", gid: str = "") -> None:
        """Show a lane of a queue."""
        self.action_page("Jobs")
        page = self.pages["Jobs"]
        assert isinstance(page, JobsPage)
        page.open(queue, lane, gid)

    def go_back(self) -> None:
        if isinstance(self.screen, RunPage):
            self.pop_screen()

    def action_freeze(self) -> None:
        self.set_status(is_frozen=not self.status.is_frozen)
        self.contact.rest(self.status.is_frozen)

    def action_now(self) -> None:
        self.source.ask_now()

    def action_pane(self, by: int) -> None:
        if self.page is not None:
            self.page.resize_pane(by)

    def action_wide(self) -> None:
        if self.page is not None:
            self.page.widen()

    def action_slower(self) -> None:
        self._pace(1)

    def action_faster(self) -> None:
        self._pace(-1)

    def _pace(self, by: int) -> None:
        at = max(min(INTERVALS_MS.index(self.status.interval_ms) + by, len(INTERVALS_MS) - 1), 0)
        self.set_status(interval_ms=INTERVALS_MS[at])
        self.source.set_interval(INTERVALS_MS[at])

    def complain(self, error: OmniqFlowError) -> None:
        hint = f" – {error.hint}" if error.hint else ""
        self.troubles = [*self.troubles, (self.clock(), error.message)][-MOST_TROUBLES:]
        self.say(f"{error.message}{hint}", is_bad=True)

    def copy(self, text: str) -> None:
        self.copy_to_clipboard(safe(text))
        self.say(f"copied {text}")

    def action_copy_command(self) -> None:
        if self.page is not None and (command := self.page.command()):
            self.copy(command)

    def action_copy_json(self) -> None:
        thing = self.page.thing() if self.page is not None else None
        if is_dataclass(thing) and not isinstance(thing, type):
            self.copy_to_clipboard(json.dumps(asdict(thing), ensure_ascii=True, default=str))
            self.say("copied as JSON")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the palette offers: the screens, the keys of this one, and what Textual has."""
        for key, title in self.tabs:
            yield SystemCommand(title, f"screen {key}", partial(self.action_page, title))
        if self.page is not None:
            for one in (*self.page.shown_keys(), *self.everywhere):
                yield SystemCommand(one.help or one.label, f"key {one.name}", partial(self.run_action, one.action, self.page))
        yield from super().get_system_commands(screen)

    def action_help(self) -> None:
        page = self.page
        if page is not None:
            rows = help_rows(page.shown_keys(), self.everywhere, has_marks=bool(page.query(Table)))
            self.push_screen(Pages("help", f"keys of {page.TITLE_}", help_lines(rows)))

    def action_command_log(self) -> None:
        self.push_screen(Pages("log", "what was done here, the newest first", deed_lines(self.acting.deeds)))

    def action_command_line(self) -> None:
        self.push_screen(Ask("command", ":"), self._command)

    def _command(self, words: object) -> None:
        if isinstance(words, str) and words.strip():
            obey(self, words)

    def action_open_value(self) -> None:
        """Show the value under the cursor in the pager."""
        if self.page is not None and (value := self.page.value()) is not None:
            name, question = value
            self.source.ask(question, partial(page_text, self, name))

    def action_new_run(self) -> None:
        """Begin a run: choose a flow if there are several, fill in its input."""
        if self.acting.may_act():
            ask_for_run(self, self.flows)
