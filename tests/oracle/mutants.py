"""Faults seeded into the text of the scripts, one rule broken each: the oracle must see every one.

`python -m tests.oracle --mutants` lives flows with each until it is seen; the default run takes those that show at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import redis

from omniq_flow.lua import assemble
from tests.oracle.campaign import Fault, campaign
from tests.oracle.executor import Alter

MOST_FLOWS = 1_500


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is broken, and the piece of text that becomes another."""

    what: str
    old: str
    new: str

    def alter(self, name: str, source: str) -> str:
        return source.replace(self.old, self.new)

    def applies_to(self) -> list[str]:
        """The scripts in which it changes something."""
        return [name for name in assemble.names() if self.old in assemble.load(name).source]


LEVELS = (
    Mutant("a list's children start without counters", "ipairs(record.all or {})", "ipairs({})"),
    Mutant("an empty list tells nobody", "complete(ctx, r, p, x, {size = 0, failed = 0, skipped = 0, stamp = stamp}, ", "local _ = ("),
    Mutant("a skipped list counts as empty", "kind ~= 'v' and kind or nil)", "kind == 'f' and kind or nil)"),
    Mutant("a failed list counts as empty", "kind ~= 'v' and kind or nil)", "kind == 's' and kind or nil)"),
    Mutant("a gather over two lists is decided at the first", "if record.up and up < #record.up then", "if false then"),
    Mutant(
        "an element forgets the gates around it",
        "    run.park(r, run.gate(r, record, c, z), 'in:' .. c .. z, x)\n    return 1",
        "    local _ = z",
    ),
    Mutant("what is parked is not let go", "elseif g.parked > 0 then", "elseif false then"),
    Mutant("a long release loses its rest", "if g.parked > 0 then deque.push_front", "if false then deque.push_front"),
    Mutant("a long expansion loses its rest", "if from + left < n then", "if false then"),
    Mutant("an expansion repeats an element", ", from, -1 do push(r", ", math.max(from - 1, 0), -1 do push(r"),
    Mutant(
        "a script has no bound",
        "    advance.dispatch(ctx, r, c, x, stamp)\n  else",
        "    advance.dispatch(ctx, r, c, x, stamp)\n    return 0\n  else",
    ),
    Mutant("the window is not looked at", "if run.open_inside(r, level[#level]) < r.window then", "if true then"),
    Mutant("a run ends with work left", "if r.open == 0 and not run.has_work(r) then", "if r.open == 0 then"),
    Mutant("a run ends with jobs open", "if r.open == 0 and not run.has_work(r) then", "if not run.has_work(r) then"),
    Mutant("a failed element counts as a value", "c.failed = c.failed + (kind == 'f' and 1 or 0)", "local _"),
    Mutant("a skipped element counts as a value", "c.skipped = c.skipped + (kind == 's' and 1 or 0)", "local _"),
    Mutant("an own gate stays", "if k == record.depth then run.drop(g) end", ""),
    Mutant("a complete collection stays", "    run.drop(c)\n    complete(", "    complete("),
    Mutant("a stopped run goes on", "if run.is_going(r) and not r.stopped then", "if run.is_going(r) then"),
    Mutant("an optional input is not optional", "return string.find(flags, 'o', 1, true) and 'n' or 's'", "return 's'"),
    Mutant("a recorded failure fails", "if c.failed > 0 and not string.find(flags, 'r', 1, true) then", "if c.failed > 0 then"),
    Mutant("a hole is no place", "c.skipped == c.size and not string.find(flags, 'h', 1, true)", "c.skipped == c.size"),
    Mutant("order lets failures pass", "if kind == 'f' then return 'f' end", "if kind == 'f' and flags ~= 'a' then return 'f' end"),
    Mutant("a recorded failure fails the run", "  if run.step(ctx, r, s).rec == 1 then return false end\n", ""),
    Mutant("nothing has reached it, and it runs", "and not string.find(flags, 'v', 1, true) and not has_each", "and false"),
)
KEYS = (
    Mutant("parked entries stay", "if g.drop then many.call", "if false then many.call"),
    Mutant(
        "a gate's counter stays", "elseif g.is_stored then\n          counter.drop(base)", "elseif false then\n          counter.drop(base)"
    ),
    Mutant(
        "a state changes without an event",
        "  run.event(r, letter .. ' ' .. id .. ' ' .. num.text(epoch) .. from)",
        "",
    ),
    Mutant("a state changes without its tally", "  tally(r, step .. ':' .. letter, 1)\n", ""),
    Mutant("a run with work is not due", "r.is_due = run.is_going(r) and (", "r.is_due = false and ("),
    Mutant("a started run is in no index", "if r.is_new or r.is_due or r.was_due then", "if r.is_due or r.was_due then"),
    Mutant(
        "a slot is not given back",
        "g.inflight, g.is_dirty, g.may_serve = math.max(g.inflight - 1, 0), true, true",
        "g.is_dirty, g.may_serve = true, true",
    ),
    Mutant("a group with work is not ready", "if g.may_serve and g.inflight < g.limit and", "if false and"),
    Mutant("a large value is not kept", "for key, value in pairs(ctx.values) do redis.call('SET', key, value) end", ""),
    Mutant("a purge leaves failed jobs", "if epoch then drop_job('failed'", "if false then drop_job('failed'"),
    Mutant("a purge leaves values", "many.unlink(values)", "local _ = values"),
    Mutant("a purge leaves the key of a run", "redis.call('UNLINK', keys.run_key(base, have[1], have[2]))", "local _ = have"),
)
WORKERS = (
    Mutant(
        "what was applied is not remembered",
        "== run_keys.mark(item.token) then return nil, 'DUP' end",
        "== '' then return nil, 'DUP' end",
    ),
    Mutant("any token ends a lease", "if item.token ~= '' and job.token == item.token and", "if job.token and"),
    Mutant(
        "a settled job may settle again",
        "if not fact or string.sub(fact, 1, 1) ~= 'Q' or string.match(fact, '^Q(%d+)') ~= f.epoch then",
        "if false then",
    ),
    Mutant("a lost job keeps its epoch", "  run.put(r, 'epoch', r.epoch + 1)\n", ""),
    Mutant("lost jobs are not seen", "if state == 'lost' then", "if false then"),
    Mutant("jobs failed outside are not seen", "elseif state == 'failed' then", "elseif false then"),
    Mutant("slots are not counted again", "if cursor == '0' then recount_slots() end", ""),
    Mutant(
        "a run whose lists rest is not swept",
        "if not run.is_over(r) and not r.is_due then",
        "if not run.is_over(r) and not run.has_work(r) then",
    ),
    Mutant("a tick sent again takes again", "string.sub(last, 1, #request + 1) == request .. '\\n'", "false"),
    Mutant("a gather is handed over backwards", "'-' .. (i - 1) end", "'-' .. (n - i) end"),
    Mutant("each gives the first element", "string.match(string.sub(x, #y + 2), '^%d+')", "'0'"),
    Mutant("a released attempt counts", "num.text(math.max(job.attempt - 1, 0))", "num.text(job.attempt)"),
    Mutant("a list counts before it is staged", "redis.call('HLEN', key) == item.number", "true"),
    Mutant("a lapsed lease loses no attempt", "if job.attempt >= job.max then return false end", ""),
    Mutant(
        "a heartbeat adds to the deadline",
        "local deadline = q.now + num.positive(have[2], 60000)",
        "local deadline = q.now + 1 + num.positive(have[2], 60000)",
    ),
    Mutant(
        "a useless job is handed out",
        "if not (fact and run.is_going(r) and string.match(fact",
        "if not (fact and (run.is_going(r) or true) or string.match(fact",
    ),
)
LIVES = (
    Mutant(
        "what succeeded is worked again", "local kept = not decided and fact and standing(r, c .. x, fact, stamp)", "local kept = false"
    ),
    Mutant("what changed inputs have made old is kept", "if tonumber(epoch) < math.max(stamp, 1) or letter == 'F'", "if letter == 'F'"),
    Mutant("a kept element is told with no epoch", "kept, string.match(fact, '%d+')})", "kept, '0'})"),
    Mutant("a kept failure does not fail the run", "if kept == 'f' then meet_failure(ctx, r, c) end", ""),
    Mutant("every failure is asked for", "  if not r.only then return true end\n", "  if true then return true end\n"),
    Mutant("no failure is asked for", "or letter == 'F' and run.is_asked(r, id, epoch) then", "or false then"),
    Mutant("what was asked for is not noted in a going run", "  if #r.asking > 0 then many.call('SADD', r.keys.asked, r.asking) end\n", ""),
    Mutant("what a retry works is lost between calls", "redis.call('RENAME', r.keys.asked, r.keys.only)", "local _"),
    Mutant("steps are not done again", "or math.max(stamp, run.redone(r, c))", "or stamp"),
    Mutant(
        "a retry keeps the epoch",
        "  run.put(r, 'epoch', r.epoch + 1)\n  run.put(r, 'state', 'running')",
        "  run.put(r, 'state', 'running')",
    ),
    Mutant("a retry looks at no epoch", "if not code and r.epoch ~= seen then", "if false then"),
    Mutant("a retry sent twice is a conflict", "if r and r.retry == num.text(seen) .. ' ' .. mark then", "if false then"),
    Mutant("elements of a longer list stay", "if reach > 0 then push(r, {'c', s, x,", "if false then push(r, {'c', s, x,"),
    Mutant(
        "elements of lists in a longer list stay",
        "        push(r, {'c', m, x, '0', num.text(reach), '1'})",
        "        run.clear(r, m, x)",
    ),
    Mutant("the list of elements that went stays", "if own == '1' then run.clear(r, s, y) end", ""),
    Mutant("a longer list is forgotten", "if num.read(length) > run.marked(r, id) then", "if false then"),
    Mutant("an older output stays", "  many.call('HDEL', r.keys.outputs, ids)\n", ""),
    Mutant("an older token stays", "  many.call('HDEL', r.keys.tokens, tokens)\n", ""),
    Mutant("older values stay", "  many.unlink(values)\n  many.call('SADD', r.keys.superseded", "  many.call('SADD', r.keys.superseded"),
    Mutant("older failed jobs are not purged", "  many.call('SADD', r.keys.superseded, r.old)\n", ""),
    Mutant("elements are known twice", "  run.know_nothing(r)\n", ""),
    Mutant("a retried run is still to be purged", "  redis.call('ZREM', keys.ended(ctx.base), r.rid)\n  if r.only", "  if r.only"),
    Mutant("a revived job is only put away", "  reopen.adopt(ctx, r, f)\n  return false", "  return false"),
    Mutant("a run is not retried for what was asked", "elseif r and reopen.is_due(r) then", "elseif false then"),
    Mutant("a run that ends forgets what was asked", "if r.state == 'failed' and not r.damage and", "if false and"),
    Mutant(
        "a removed job leaves its step run waiting",
        '    settle.fail_step(ctx, r, f, \'{"type":"JobRemoved"',
        '    local _ = (f.id .. \'{"type":"JobRemoved"',
    ),
    Mutant(
        "a retried job stays in the failed lane",
        "  if redis.call('LREM', base .. ':failed', 0, id) > 0 then queue.count(q, 'failed', -1) end\n",
        "",
    ),
)
STEERING = (
    Mutant(
        "a cancel keeps what is derived", "  run.forget(ctx, r)\n  run.put(r, 'state', 'cancelling')", "  run.put(r, 'state', 'cancelling')"
    ),
    Mutant("a cancelled run is handed out", "if not (fact and run.is_going(r) and", "if not (fact and"),
    Mutant("a failure of a cancelled run is tried again", "if r and r.state == 'cancelling' and not KEPT[item.kind] then", "if false then"),
    Mutant("a success of a cancelled run is thrown away", "local KEPT = {ok = true, list = true, skip = true}", "local KEPT = {}"),
    Mutant(
        "jobs that wait stay in the list of a cancelled run", "redis.call('LTRIM', ctx.base .. ':g:' .. r.gid .. ':wait', n, -1)", "local _"
    ),
    Mutant(
        "delayed jobs of a cancelled run stay", "  if state == 'delayed' then\n    queue.drop_due(q, id)", "  if state == 'delayed' then"
    ),
    Mutant("a cancelled job that is taken leaves its step run open", "  if #cancelled > 0 then handover.cancel(q, cancelled) end\n", ""),
    Mutant("a group without work stays ready", "elseif g.was_cut and redis.call('ZREM'", "elseif false and redis.call('ZREM'"),
    Mutant("nobody is told of a cancel", "return fact and r.state ~= 'cancelling' and", "return fact and"),
    Mutant("a paused run's group is served", "  return is_good and r and r.gid == gid and run.is_paused(r)", "  return false"),
    Mutant("a paused run's jobs are taken from shared lists", "  return run.is_paused(r) and 'later' or 'begin'", "  return 'begin'"),
    Mutant(
        "a step that follows at once is not told in its run",
        "    redis.call('HSET', states, step, 'D' .. epoch, c, fact)\n",
        "    redis.call('HSET', states, step, 'D' .. epoch)\n",
    ),
    Mutant("the last element of a list is only counted", "if #c.items >= c.left then return false end", ""),
    Mutant("what follows at once takes no slot", "    g.inflight = g.inflight + 1\n  end\n  for _, item", "  end\n  for _, item"),
    Mutant("a resume leaves its group behind", "if r.gid == r.rid then group.of(q, r.gid).may_serve = true end", ""),
)
RERUNS = (
    Mutant("facts are not copied", "    c.states[#c.states + 1], c.states[#c.states + 2] = id, fact\n", ""),
    Mutant("what was skipped is worked again", "if (letter ~= 'D' and letter ~= 'S') or epoch == '0'", "if letter ~= 'D' or epoch == '0'"),
    Mutant("failures are copied", "if (letter ~= 'D' and letter ~= 'S') or", "if (letter ~= 'D' and letter ~= 'S' and letter ~= 'F') or"),
    Mutant("a long list is copied from its start again", "local first = redis.call('HLEN', to)", "local first = 0"),
    Mutant("a long list counts before all of it is copied", "  return last == n\n", "  return true\n"),
    Mutant("an empty list ends the copying of a step", "      if k == 1 then return false end\n", "      if true then return false end\n"),
    Mutant("the place of the copying is forgotten", "    place.at = suffix(x, #x)\n", "    place.at = ''\n"),
    Mutant("large values are not copied", "redis.call('COPY', value.from, value.to, 'REPLACE')", "local _ = value"),
    Mutant("a large input is not copied", "out == '@0' and not whole(c, ':input', '0')", "false"),
    Mutant("another input is not looked at", "  if not text then\n    out =", "  if true then\n    out ="),
    Mutant("names of large values are not copied", "many.call('SADD', c.keys.big, c.big)", "local _"),
    Mutant("tallies are not copied", "for field, n in pairs(c.tallies) do", "for field, n in pairs({}) do"),
    Mutant("a re-run begins half-copied", "if copy.step <= #keep then return", "if false then return"),
    Mutant("what was copied is of this life", "if epoch > 0 then r.head.retry", "if false then r.head.retry"),
    Mutant("what was copied is in no checkpoint", "if copy.copied > 0 then", "if false then"),
    Mutant("a re-run has no part in its plan", "redis.call('HINCRBY', keys.plan(base, r.sha), '_runs', 1)", "local _"),
    Mutant("a re-run is in the group of the old run", "source.gid == of and rid or source.gid", "source.gid"),
    Mutant("a re-run sent twice is a conflict", "if have[2] == mark then return {'EXISTS', rid} end", ""),
    Mutant("a re-run that has begun is still to be given up", "redis.call('ZREM', keys.copies(base), rid)\nredis", "redis"),
    Mutant("a re-run keeps the old epoch", "epoch = epoch + 1, gen = 0", "epoch = math.max(epoch, 1), gen = 0"),
)
MUTANTS = LEVELS + KEYS + WORKERS + LIVES + STEERING + RERUNS


def first_fault(conn: redis.Redis, alter: Alter, seed: int, most: int = MOST_FLOWS) -> tuple[int, Fault | None]:
    """How many flows it takes until something is seen, and what."""
    flows = 0
    for outcome in campaign(conn, seed, most, alter=alter):
        if isinstance(outcome, Fault):
            return flows + 1, outcome
        flows += outcome["flows"]
    return flows, None


def stale() -> list[Mutant]:
    """Those whose text is in no script any more, so that they break nothing."""
    return [mutant for mutant in MUTANTS if not mutant.applies_to()]


def show_all(conn: redis.Redis, seed: int) -> int:
    """Print what becomes of each mutant; the number of those that live."""
    unseen = 0
    for mutant in MUTANTS:
        began = time.monotonic()
        flows, fault = first_fault(conn, mutant.alter, seed)
        word = "seen  " if fault else "UNSEEN"
        unseen += fault is None
        took = f"after {flows} flows, {time.monotonic() - began:.1f} s"
        print(f"{word}  {mutant.what}, {took}{': ' + fault.message.splitlines()[0][:110] if fault else ''}", flush=True)
    print(f"{len(MUTANTS)} mutants, {unseen} unseen")
    return unseen
