"""A text in the editor of the user, while the screen steps aside."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

if TYPE_CHECKING:
    from omniq_flow.tui.app import FlowApp

EDITOR = "vi"


def edit_text(app: FlowApp, text: str) -> str | None:
    """The text as it was left by `$VISUAL` or `$EDITOR`; None, and told at the corner, if that failed or is not possible here."""
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or EDITOR
    with tempfile.TemporaryDirectory(prefix="omniq-flow-") as folder:
        path = Path(folder, "input.json")
        path.write_text(text + "\n", encoding="utf-8")
        try:
            with app.suspend():
                done = subprocess.run([*shlex.split(command), str(path)], check=False)
            edited = path.read_text(encoding="utf-8").rstrip("\n")
        except SuspendNotSupported:
            app.say("an editor needs a terminal of its own, there is none here", is_bad=True)
            return None
        except (OSError, ValueError) as error:
            app.say(f"the editor {command!r} gave nothing: {error}", is_bad=True)
            return None
    app.refresh(layout=True)
    if done.returncode:
        app.say(f"the editor {command!r} ended with {done.returncode}; the text is as it was", is_bad=True)
        return None
    return edited
