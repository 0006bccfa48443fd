"""pydocket. Variants: '' is its defaults (10 at once, a look every 250 ms), `fast` has 100 at once and looks every 5 ms.

Jobs are enqueued 1,000 at a time. It has neither chains nor fan-in: handlers add what follows, and a counter in Redis says who
is last. Draining a backlog with 100 at once it was seen to leave a few jobs for its redelivery, minutes later.
"""

import logging
from datetime import timedelta

import probe
from docket import CurrentDocket, Docket, Worker

FAST = {"concurrency": 100, "minimum_check_interval": timedelta(milliseconds=5)}
THIS = CurrentDocket()
client = Docket(name="bench", url=probe.URL, execution_ttl=timedelta(0))


async def noop(text: str = "") -> None:
    probe.tick()


async def step(run: int, i: int, steps: int, docket: Docket = THIS) -> None:
    probe.stamp(run, i)
    if i + 1 < steps:
        await docket.add(step)(run, i + 1, steps)


async def child(key: str, docket: Docket = THIS) -> None:
    probe.tick()
    async with docket.redis() as redis:
        left = await redis.decr(key)
    if left == 0:
        await docket.add(after)()


async def after() -> None:
    probe.stamp(1)


async def pinged(sent: int) -> None:
    probe.stamp(sent)


async def worker():
    logging.disable(logging.WARNING)
    await connect()
    async with Worker(client, **(FAST if probe.VARIANT == "fast" else {})) as working:
        await working.run_forever()


async def enqueue(count, text):
    for some in probe.parts(count, 1_000):
        await client.add_many([client.call(noop)(text) for _ in range(some)])


async def chain(runs, steps):
    await client.add_many([client.call(step)(run, 0, steps) for run in range(runs)])


async def fanout(count):
    key = f"fan-{probe.now()}"
    async with client.redis() as redis:
        await redis.set(key, count)
    await client.add_many([client.call(child)(key) for _ in range(count)])


async def send(sent):
    await client.add(pinged)(sent)


async def connect():
    await client.__aenter__()
    for function in (noop, step, child, after, pinged):
        client.register(function)


async def close():
    await client.__aexit__(None, None, None)


def main():
    probe.run(worker=worker, enqueue=enqueue, chain=chain, fanout=fanout, send=send, connect=connect, close=close)


if __name__ == "__main__":
    # Tasks are known by their module.
    import peer_docket

    peer_docket.main()
