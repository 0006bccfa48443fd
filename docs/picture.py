"""Draws `docs/tui.svg`: the terminal UI on a run of the example flow, exported by the app itself.

    python docs/picture.py

Starts a server of its own, runs `doc_pipeline` on this project's README, and opens the run as `omniq-flow tui --run` does.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from flows.doc_pipeline import flow  # noqa: E402
from omniq_flow.client.client import Client  # noqa: E402
from omniq_flow.engine.starting import start  # noqa: E402
from omniq_flow.engine.worker import Worker  # noqa: E402
from omniq_flow.observe.reading import read_run  # noqa: E402
from omniq_flow.server.embedded import EmbeddedServer  # noqa: E402
from omniq_flow.tui.app import FlowApp  # noqa: E402
from omniq_flow.tui.feed import Feed  # noqa: E402

PICTURE = ROOT / "docs" / "tui.svg"
SIZE = (110, 22)
WHERE = "redis://cache:6379/0"
LOOKS_S = 3.0


def ends(client: Client, run_id: str) -> None:
    while not read_run(client, flow.queue, run_id).is_ended:
        time.sleep(0.05)


async def draw(url: str) -> str:
    """The screen of a run that has just ended, as SVG."""
    worker = Worker([flow], url=url)
    working = asyncio.create_task(worker.run())
    with Client.open(url) as client:
        run_id = start(client, flow, {"path": str(ROOT / "README.md")}).run_id
        await asyncio.to_thread(ends, client, run_id)
        app = FlowApp(Feed(url, (flow.queue,)), where=WHERE, queues=(flow.queue,), run=(flow.queue, run_id))
        async with app.run_test(size=SIZE) as pilot:
            await asyncio.sleep(LOOKS_S)
            await pilot.pause()
            picture = app.export_screenshot(title="omniq-flow tui")
    worker.stop()
    await working
    return picture


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ofp") as folder:
        os.chdir(folder)
        server = EmbeddedServer.for_project(folder)
        url = server.ensure().url
        try:
            # Nothing is loaded from elsewhere: whoever looks has a fixed-width font.
            picture = re.sub(r"@font-face \{.*?\}", "", asyncio.run(draw(url)), flags=re.DOTALL)
            PICTURE.write_text(picture, encoding="utf-8")
        finally:
            server.stop()
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main()
