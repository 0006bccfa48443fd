// BullMQ, on Node. Variants: '' has a concurrency of 100 on one connection, `c1` of 1. Jobs are enqueued 1,000 at a time and
// removed when done; chain and fan-in are its flows. What it notes is what probe.py notes.
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';

const require = createRequire(path.join(process.env.BENCH_NODE_MODULES, 'x.js'));
const { Queue, Worker, FlowProducer } = require('bullmq');

const FOLDER = process.env.BENCH_FOLDER;
const CONCURRENCY = process.env.BENCH_VARIANT === 'c1' ? 1 : 100;
const QUEUE = 'bench';
const connection = { host: '127.0.0.1', port: Number(process.env.BENCH_PORT), maxRetriesPerRequest: null };
const opts = { removeOnComplete: true, removeOnFail: true };

const now = () => process.hrtime.bigint();
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const out = (values) => console.log('BENCH ' + JSON.stringify(values, (_, v) => (typeof v === 'bigint' ? Number(v) : v)));
const record = (a, b, c) => {
  const buffer = Buffer.alloc(24);
  [a, b, c].forEach((value, n) => buffer.writeBigUInt64LE(BigInt(value), 8 * n));
  return buffer;
};

let slot = -1, stamps = -1, count = 0n, first = 0n;

function tick() {
  const at = now();
  if (slot < 0) { slot = fs.openSync(path.join(FOLDER, `slot-${process.pid}`), 'w+'); first = at; }
  count += 1n;
  fs.writeSync(slot, record(count, first, at), 0, 24, 0);
}

function stamp(a, b = 0) {
  const at = now();
  if (stamps < 0) stamps = fs.openSync(path.join(FOLDER, 'stamps'), 'a');
  fs.writeSync(stamps, record(a, b, at));
}

async function handle(job) {
  if (job.name === 'noop') tick();
  else if (job.name === 'step') stamp(job.data.run, job.data.i);
  else if (job.name === 'after') stamp(1);
  else if (job.name === 'pinged') stamp(job.data.sent);
}

async function enqueue(queue, flows, [jobs, size]) {
  const data = { text: 'x'.repeat(Math.max(0, size - 12)) };
  for (let at = 0; at < jobs; at += 1000)
    await queue.addBulk(Array.from({ length: Math.min(1000, jobs - at) }, () => ({ name: 'noop', data })));
}

// The deepest child runs first.
async function chain(queue, flows, [runs, steps]) {
  const trees = [];
  for (let run = 0; run < runs; run++) {
    let node = null;
    for (let i = 0; i < steps; i++)
      node = { name: 'step', queueName: QUEUE, data: { run, i }, opts, ...(node ? { children: [node] } : {}) };
    trees.push(node);
  }
  await flows.addBulk(trees);
}

async function fanout(queue, flows, [children]) {
  const child = { name: 'noop', queueName: QUEUE, data: {}, opts };
  await flows.add({ name: 'after', queueName: QUEUE, data: {}, opts, children: Array(children).fill(child) });
}

const [command, ...given] = process.argv.slice(2);
const numbers = given.map(Number);
if (command === 'worker') {
  const gone = { removeOnComplete: { count: 0 }, removeOnFail: { count: 0 } };
  new Worker(QUEUE, handle, { connection, concurrency: CONCURRENCY, ...gone }).on('error', console.error);
} else {
  const queue = new Queue(QUEUE, { connection, defaultJobOptions: opts });
  const flows = new FlowProducer({ connection });
  await queue.waitUntilReady();
  await flows.waitUntilReady();
  if (command === 'ping') {
    for (let n = 0; n < numbers[0]; n++) {
      await sleep(30 + Math.random() * 100);
      await queue.add('pinged', { sent: Number(now()) });
    }
    out({ ok: 1 });
  } else {
    const t0 = now();
    await { enqueue, chain, fanout }[command](queue, flows, numbers);
    out({ t0, t1: now() });
  }
  await flows.close();
  await queue.close();
}
