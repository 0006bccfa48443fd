"""Acting: an action is allowed, confirmed as it needs, carried out while the screen goes on; what became of it is told and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from omniq_flow.errors import ServerUnavailable
from omniq_flow.tui.actions import Action, Deed, Hands, Outcome, Risk
from omniq_flow.tui.dialogs import Choice, Confirm, Progress, Results

if TYPE_CHECKING:
    from omniq_flow.tui.app import FlowApp

MOST_DEEDS = 200
NOTHING_HERE = "there is nothing here to which this can be done"


class Acting:
    """All that is done from an app. `hands` is None where nothing may be changed."""

    def __init__(self, app: FlowApp, hands: Hands | None) -> None:
        self._app = app
        self._hands = hands
        self._refused = ""
        self.deeds: list[Deed] = []

    @property
    def can_act(self) -> bool:
        """Whether something may be changed, and the server is there for it."""
        return not self.is_read_only and self._app.status.stale_ms < 0

    @property
    def is_read_only(self) -> bool:
        """Whether nothing may be changed, be the server there or not."""
        return self._hands is None or bool(self._refused)

    def learn(self, refused: str) -> None:
        """Take in why the server lets this user change nothing; empty if it does."""
        self._refused = refused

    def may_act(self) -> bool:
        """Whether something can be changed now; if not, it is told why."""
        if self._hands is None:
            self._app.say("this is read-only: nothing can be changed here (--read-only)", is_bad=True)
        elif self._refused:
            self._app.say(f"this is read-only: {self._refused}", is_bad=True)
        elif not self.can_act:
            self._app.say("the server is away: nothing can be changed now", is_bad=True)
        return self.can_act

    def perform(self, action: Action | None, *, none: str = NOTHING_HERE) -> None:
        """Carry out an action, after the confirmation that it needs."""
        if not self.may_act():
            return
        if action is None:
            self._app.say(none, is_bad=True)
        elif action.risk is Risk.NONE:
            self._begin(action)
        else:
            status = self._app.status
            where = f"{status.where}  {status.profile}".strip()
            self._app.push_screen(Confirm(action, where), lambda why: self._begin(action.because(why)) if isinstance(why, str) else None)

    def choose(self, actions: Sequence[Action]) -> None:
        """Let one of several actions be chosen."""
        if not self.may_act():
            return
        if not actions:
            self._app.say("there is nothing that can be done to these", is_bad=True)
            return
        self._app.push_screen(
            Choice(actions), lambda at: self.perform(actions[at]) if isinstance(at, int) and not isinstance(at, bool) else None
        )

    def use(self, hands: Hands | None) -> None:
        """From now on act through these."""
        self.close()
        self._hands, self._refused = hands, ""

    def close(self) -> None:
        if self._hands is not None:
            self._hands.close()

    def _begin(self, action: Action) -> None:
        progress = Progress(action) if len(action.slices) > 1 else None
        if progress is not None:
            self._app.push_screen(progress)
        self._app.run_worker(self._carry_out(action, progress), group="actions", exit_on_error=False)

    async def _carry_out(self, action: Action, progress: Progress | None) -> None:
        app, hands = self._app, self._hands
        outcomes: list[Outcome] = []
        trouble: ServerUnavailable | None = None

        def goes_on(some: tuple[Outcome, ...]) -> bool:
            outcomes.extend(some)
            if progress is not None:
                app.call_from_thread(progress.add, some)
            return progress is None or not progress.is_stopped

        try:
            assert hands is not None
            await asyncio.to_thread(lambda: list(hands.carry_out(action, goes_on)))
        except ServerUnavailable as error:
            trouble = error
        was_stopped = trouble is not None or (progress is not None and progress.is_stopped)
        deed = Deed(app.clock(), action, tuple(outcomes), was_stopped)
        self.deeds = [*self.deeds, deed][-MOST_DEEDS:]
        if progress is not None and progress in app.screen_stack:
            progress.dismiss(None)
        if app.page is not None:
            app.page.acted(deed)
        self._report(deed, trouble)
        app.source.ask_now()

    def _report(self, deed: Deed, trouble: ServerUnavailable | None) -> None:
        app, action = self._app, deed.action
        if trouble is not None:
            app.complain(trouble)
        elif len(action.ids) > 1 and (deed.refused or deed.was_stopped):
            app.call_later(partial(app.push_screen, Results(deed)))
        elif deed.refused:
            app.say(f"{action.label}: refused, {deed.refused[0].why}", is_bad=True)
        else:
            why = deed.outcomes[0].why if deed.outcomes else ""
            app.say(f"{action.label}: done" + (f", {why}" if why else ""))
            if action.queue and deed.outcomes:
                app.open_run(action.queue, deed.outcomes[0].id)
