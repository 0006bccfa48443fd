"""The app: it wires screens, feed and hands together, and keeps the status that every screen shows."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import partial
from typing import Any

from rich.text import Text
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen

from omniq_flow.client.connect import Target
from omniq_flow.errors import OmniqFlowError, ServerUnavailable
from omniq_flow.flow.definition import Flow
from omniq_flow.model.clock import Clock, monotonic_ms, now_ms
from omniq_flow.observe.around import Around
from omniq_flow.ops.lanes import LaneName
from omniq_flow.tui.actions import Action, Deed, Hands, Outcome, Risk
from omniq_flow.tui.ascii import Ascii
from omniq_flow.tui.away import AwayScreen, url_fault
from omniq_flow.tui.command_line import obey
from omniq_flow.tui.dialogs import Ask, Choice, Confirm, Pages, Progress, Results, deed_lines, help_lines
from omniq_flow.tui.feed import INTERVALS_MS, Answered, Arrived, Ended, Failed, Lost, News, Source, Surrounded
from omniq_flow.tui.header import Status
from omniq_flow.tui.keys import EVERYWHERE, bindings, help_rows, mapped
from omniq_flow.tui.new_run import ask_for_run
from omniq_flow.tui.page import Page
from omniq_flow.tui.pager import page_text
from omniq_flow.tui.run_text import clock_time
from omniq_flow.tui.screens.counters import CountersPage
from omniq_flow.tui.screens.events import EventsPage
from omniq_flow.tui.screens.groups import GroupsPage
from omniq_flow.tui.screens.jobs import JobsPage
from omniq_flow.tui.screens.overview import OverviewPage
from omniq_flow.tui.screens.run import RunPage
from omniq_flow.tui.screens.runs import RunsPage
from omniq_flow.tui.screens.workers import WorkersPage
from omniq_flow.tui.table import Table
from omniq_flow.tui.text import safe

logger = logging.getLogger("omniq_flow.tui")

LATE_MS = 3_000
"""So much later than it was due, a picture counts as stale."""
BLUR_MS = 60_000
MOST_DEEDS = 200
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


class FlowApp(App[None]):
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
        self.hands = hands
        self.clock = clock
        self.ticks = ticks
        self.around = Around(queues=tuple(queues))
        self.status = Status(where, profile, color, is_read_only=hands is None)
        self._retries = retries
        self._elsewhere = elsewhere
        self.failure: BaseException | None = None
        """What it broke on."""
        self.flows = tuple(flows)
        self.deeds: list[Deed] = []
        self.troubles: list[tuple[int, str]] = []
        self.tabs = [(key, page.TITLE_) for key, page in SCREENS]
        self.pages: dict[str, Page] = {}
        self.keymap = dict(keys or {})
        self.everywhere = mapped(EVERYWHERE, self.keymap)
        self.set_keymap(self.keymap)
        self._first_run = run
        self._history: list[str] = []
        self._arrived_ms = 0
        self.lost: Lost | None = None
        self._away: AwayScreen | None = None
        self._blurred_ms = -1
        self._is_resting = False

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that are known now."""
        return self.around.queues

    @property
    def can_act(self) -> bool:
        """Whether something may be changed, and the server is there for it."""
        return self.hands is not None and self.status.stale_ms < 0

    @property
    def page(self) -> Page | None:
        """The screen that is shown, below any dialog."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, Page)), None)

    def on_mount(self) -> None:
        self.set_interval(1.0, self._second)
        self._listen()
        self.action_page(SCREENS[0][1].TITLE_)
        if self._first_run is not None:
            self.open_run(*self._first_run)

    def get_driver_class(self) -> type[Driver]:
        found = super().get_driver_class()
        if found.__name__ != "LinuxDriver":
            return found
        from omniq_flow.tui.terminal import Terminal

        return Terminal

    async def run_async(self, *args: Any, **options: Any) -> None:
        # Before the terminal is set up: a signal may come while it is.
        self.catch_signals()
        await super().run_async(*args, **options)

    def catch_signals(self) -> None:
        """Leave in good order when told to: the terminal must not stay as the screen needs it (C128)."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, partial(self.exit, return_code=128 + number))

    def action_suspend_process(self) -> None:
        """Go to the background. Only as a job of a shell: nobody else would wake it again."""
        if os.getsid(0) != os.getpid() == os.getpgrp():
            super().action_suspend_process()
        else:
            self.say("there is no shell here that could bring it back", is_bad=True)

    def _fatal_error(self) -> None:
        """Replaces Textual's picture of all frames and their variables, among which is the server's password."""
        error = self.failure = sys.exc_info()[1]
        logger.error("the terminal UI failed", exc_info=error)
        self.panic(Text(safe(f"omniq-flow: the terminal UI failed: {type(error).__name__}: {error}")))

    def on_unmount(self) -> None:
        self.source.stop()
        if self.hands is not None:
            self.hands.close()

    def on_told(self, message: Told) -> None:
        match message.news:
            case Arrived() as news:
                self._take(news)
            case Surrounded(around):
                is_new = around.queues != self.around.queues
                self.around = around
                self._set(workers=len(around.workers), paused=len(around.paused))
                if is_new and self.page is not None:
                    self.page.look()
            case Failed(name, error):
                self._heard()
                if self.page is not None and self.page.name == name:
                    self.page.fail(error)
            case Answered(_, OmniqFlowError() as error):
                self.complain(error)
            case Answered(then, answer):
                then(answer)
            case Lost() as lost:
                self._lose(lost)
            case Ended(error):
                raise error

    def _take(self, news: Arrived) -> None:
        self._arrived_ms = self.ticks()
        self._heard()
        self._set(rtt_ms=news.pulse.rtt_ms, stale_ms=-1)
        page = self.page
        if page is not None and page.name == news.name and page.is_ready:
            page.set_stale(False)
            page.show(news.picture)

    def _heard(self) -> None:
        """The server answers, whatever it says."""
        if self.lost is not None:
            self.lost = None
            self._set(lost_at="")
        if self._away is not None:
            away, self._away = self._away, None
            while away in self.screen_stack:
                self.pop_screen()

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
        if self.hands is not None:
            self.hands.close()
        self.source, self.hands = self._elsewhere(url)
        self.status = replace(self.status, where=Target.parse(url).where, profile="", color="")
        self._listen()
        if self.page is not None:
            self.source.look(self.page.want())

    def _lose(self, lost: Lost) -> None:
        if self.lost is None:
            self.status = replace(self.status, lost_at=clock_time(self.clock()))
        self.lost = lost
        if not self._retries:
            self.exit(return_code=lost.error.exit_code)
            return
        if self._arrived_ms == 0 and self._away is None:
            self._away = AwayScreen()
            self.push_screen(self._away)
        self._second()

    def _second(self) -> None:
        """What changes by itself: ages, the countdown, whether the picture is still fresh."""
        if self._away is not None and self.lost is not None and self._away.is_mounted:
            self._away.show(self.lost.error, self.lost.attempt, self.lost.again_ms - self.ticks())
        waited = self.ticks() - self._arrived_ms
        is_late = waited > self.status.interval_ms + LATE_MS and not self._is_resting
        is_stale = self._arrived_ms > 0 and (self.lost is not None or is_late)
        self._set(stale_ms=waited if is_stale else -1)
        if self.page is not None and self.page.is_ready:
            self.page.set_stale(is_stale)
        if 0 <= self._blurred_ms < self.ticks() - BLUR_MS and not self._is_resting:
            self._rest(True)

    def _set(self, **changes: Any) -> None:
        self.status = replace(self.status, **changes)
        if self.page is not None and self.page.is_ready:
            self.page.paint_head()

    def on_app_blur(self) -> None:
        self._blurred_ms = self.ticks()

    def on_app_focus(self) -> None:
        self._blurred_ms = -1
        self._rest(self.status.is_frozen)

    def _rest(self, is_resting: bool) -> None:
        """Let the feed rest: nobody looks, or the picture is to stay as it is."""
        self._is_resting = is_resting
        self.source.freeze(is_resting)

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
        self._set(is_frozen=not self.status.is_frozen)
        self._rest(self.status.is_frozen)

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
        self._set(interval_ms=INTERVALS_MS[at])
        self.source.set_interval(INTERVALS_MS[at])

    def say(self, text: str, *, is_bad: bool = False) -> None:
        """A short message at the corner; its text may come from anywhere."""
        self.notify(safe(text), severity="error" if is_bad else "information", timeout=4, markup=False)

    def complain(self, error: OmniqFlowError) -> None:
        hint = f" – {error.hint}" if error.hint else ""
        self.troubles = [*self.troubles, (self.clock(), error.message)][-MOST_DEEDS:]
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
        self.push_screen(Pages("log", "what was done here, the newest first", deed_lines(self.deeds)))

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
        if self._may_act():
            ask_for_run(self, self.flows)

    def perform(self, action: Action | None, *, none: str = "there is nothing here to which this can be done") -> None:
        """Carry out an action, after the confirmation that it needs."""
        if not self._may_act():
            return
        if action is None:
            self.say(none, is_bad=True)
        elif action.risk is Risk.NONE:
            self._do(action)
        else:
            self.push_screen(Confirm(action, self._place()), lambda why: self._do(action.because(why)) if isinstance(why, str) else None)

    def choose(self, actions: Sequence[Action]) -> None:
        """Let one of several actions be chosen."""
        if not self._may_act():
            return
        if not actions:
            self.say("there is nothing that can be done to these", is_bad=True)
            return
        self.push_screen(
            Choice(actions), lambda at: self.perform(actions[at]) if isinstance(at, int) and not isinstance(at, bool) else None
        )

    def _may_act(self) -> bool:
        """Whether something can be changed now; if not, it is told why."""
        if self.hands is None:
            self.say("this is read-only: nothing can be changed here (--read-only)", is_bad=True)
        elif not self.can_act:
            self.say("the server is away: nothing can be changed now", is_bad=True)
        return self.can_act

    def _place(self) -> str:
        return f"{self.status.where}  {self.status.profile}".strip()

    def _do(self, action: Action) -> None:
        progress = Progress(action) if len(action.slices) > 1 else None
        if progress is not None:
            self.push_screen(progress)
        self.run_worker(self._carry_out(action, progress), group="actions", exit_on_error=False)

    async def _carry_out(self, action: Action, progress: Progress | None) -> None:
        outcomes: list[Outcome] = []
        trouble: ServerUnavailable | None = None

        def goes_on(some: tuple[Outcome, ...]) -> bool:
            outcomes.extend(some)
            if progress is not None:
                self.call_from_thread(progress.add, some)
            return progress is None or not progress.is_stopped

        try:
            assert self.hands is not None
            await asyncio.to_thread(lambda: list(self.hands.carry_out(action, goes_on)) if self.hands else [])
        except ServerUnavailable as error:
            trouble = error
        deed = Deed(self.clock(), action, tuple(outcomes), trouble is not None or (progress is not None and progress.is_stopped))
        self.deeds = [*self.deeds, deed][-MOST_DEEDS:]
        if progress is not None and progress in self.screen_stack:
            progress.dismiss(None)
        if self.page is not None:
            self.page.acted(deed)
        self._report(deed, trouble)
        self.source.ask_now()

    def _report(self, deed: Deed, trouble: ServerUnavailable | None) -> None:
        if trouble is not None:
            self.complain(trouble)
        elif len(deed.action.ids) > 1 and (deed.refused or deed.was_stopped):
            self.call_later(partial(self.push_screen, Results(deed)))
        elif deed.refused:
            self.say(f"{deed.action.label}: refused, {deed.refused[0].why}", is_bad=True)
        else:
            why = deed.outcomes[0].why if deed.outcomes else ""
            self.say(f"{deed.action.label}: done" + (f", {why}" if why else ""))
            if deed.action.queue and deed.outcomes:
                self.open_run(deed.action.queue, deed.outcomes[0].id)
