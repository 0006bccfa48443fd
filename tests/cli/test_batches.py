"""Doing one thing to many jobs: slices, exit codes, words; no server is needed."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Sequence

import pytest

from omniq_flow.cli.batches import Tally, carry_out, slices, stopping, summary_lines
from omniq_flow.cli.output import Output
from omniq_flow.errors import ServerUnavailable
from omniq_flow.ops.replies import BatchResultItem


def _output(**options: bool) -> Output:
    return Output(out=io.StringIO(), err=io.StringIO(), **options)


def _done(ids: Sequence[str]) -> list[BatchResultItem]:
    return [BatchResultItem(job_id, "OK") for job_id in ids]


def test_ids_go_in_slices_and_each_once() -> None:
    ids = [f"j{n}" for n in range(250)]
    assert [len(piece) for piece in slices([*ids, *ids])] == [100, 100, 50]
    assert [job_id for piece in slices(ids) for job_id in piece] == ids
    assert list(slices([])) == []


@pytest.mark.parametrize(
    ("done", "refused", "code"),
    [
        (3, {}, 0),
        (0, {}, 0),
        (2, {"a": "NOT_FAILED"}, 9),
        (0, {"a": "NOT_FAILED", "b": "NO_JOB"}, 6),
        (0, {"a": "NO_JOB", "b": "NO_JOB"}, 5),
    ],
)
def test_the_exit_code_tells_how_it_went(done: int, refused: dict[str, str], code: int) -> None:
    assert Tally(done + len(refused), [str(n) for n in range(done)], refused).exit_code == code


def test_a_stop_is_told_by_its_own_code() -> None:
    assert Tally(5, ["a"], is_stopped=True).exit_code == 130


def test_refused_jobs_are_named_with_their_reason() -> None:
    tally = Tally(3, ["a"], {"b\x1b[31m": "NO_JOB", "c": "SOMETHING_NEW"})
    assert summary_lines("retried", tally) == ["retried 1 of 3", "  refused b␛[31m: there is no such job", "  refused c: SOMETHING_NEW"]
    many = Tally(30, [], {f"j{n}": "NO_JOB" if n else "ACTIVE" for n in range(30)})
    lines = summary_lines("removed", many)
    assert len(lines) == 22
    assert lines[-1] == "  … 30 in all: 29 there is no such job, 1 it is being worked"


def test_one_job_is_named() -> None:
    assert summary_lines("removed", Tally(1, ["a"])) == ["removed a"]


def test_a_quiet_batch_prints_the_ids_that_were_done() -> None:
    output = _output(is_quiet=True)
    assert carry_out(output, "retried", ["a", "b"], _done) == 0
    assert output.out.getvalue() == "a\nb\n"  # type: ignore[attr-defined]
    assert output.err.getvalue() == ""  # type: ignore[attr-defined]


def test_a_long_batch_says_how_far_it_is() -> None:
    output = _output()
    carry_out(output, "retried", [str(n) for n in range(2_050)], _done)
    assert output.err.getvalue() == "1000 of 2050\n2000 of 2050\n"  # type: ignore[attr-defined]
    assert output.out.getvalue() == "retried 2050 of 2050\n"  # type: ignore[attr-defined]


def test_ctrl_c_stops_between_two_slices() -> None:
    """The slice that is under way is finished, and what was done is told."""
    output, calls = _output(), []

    def act(piece: Sequence[str]) -> list[BatchResultItem]:
        calls.append(len(piece))
        os.kill(os.getpid(), signal.SIGINT)
        return _done(piece)

    assert carry_out(output, "retried", [str(n) for n in range(300)], act) == 130
    assert calls == [100]
    assert output.out.getvalue() == "retried 100 of 300\n"  # type: ignore[attr-defined]
    assert "stopped; 200 were not looked at" in output.err.getvalue()  # type: ignore[attr-defined]


def test_a_second_ctrl_c_stops_at_once_and_the_old_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stopping() as is_asked:  # noqa: PT012
        assert not is_asked()
        os.kill(os.getpid(), signal.SIGINT)
        assert is_asked()
        os.kill(os.getpid(), signal.SIGINT)
        # The handler runs between two instructions.
        for _ in range(1_000):
            pass
    assert signal.getsignal(signal.SIGINT) is before


def test_what_was_done_before_the_server_was_lost_is_told() -> None:
    output, calls = _output(), []

    def act(piece: Sequence[str]) -> list[BatchResultItem]:
        calls.append(piece)
        if len(calls) == 2:
            raise ServerUnavailable("gone")
        return _done(piece)

    with pytest.raises(ServerUnavailable):
        carry_out(output, "removed", [str(n) for n in range(300)], act)
    assert output.out.getvalue() == "removed 100 of 300\n"  # type: ignore[attr-defined]
    assert "may have been removed as well" in output.err.getvalue()  # type: ignore[attr-defined]
