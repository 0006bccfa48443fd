"""How the replies of OmniQ's operations are read: a list of texts, `ERR code` for a refusal (wire §7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from omniq_flow.errors import OperationRefused, ReplyError
from omniq_flow.ops.command import texts

T = TypeVar("T")

OK = "OK"
ERR = "ERR"


def reading(operation: str, read: Callable[[str, list[str]], T]) -> Callable[[Any], T]:
    """A `parse` that gives the first word and the others to `read`; `OperationRefused` for `ERR`."""

    def parse(reply: Any) -> T:
        words = _words(operation, reply)
        if not words:
            raise ReplyError(f"{operation} answered with an empty list")
        if words[0] == ERR:
            raise OperationRefused(operation, " ".join(words[1:]))
        return read(words[0], words[1:])

    return parse


def expect_ok(operation: str) -> Callable[[Any], None]:
    """A `parse` for operations that answer a mere OK."""

    def read(word: str, _: list[str]) -> None:
        if word != OK:
            raise unexpected(operation, word)

    return reading(operation, read)


def number_after_ok(operation: str) -> Callable[[Any], int]:
    """A `parse` for operations that answer OK and a number."""

    def read(word: str, rest: list[str]) -> int:
        if word != OK or len(rest) != 1:
            raise unexpected(operation, word)
        return int(rest[0])

    return reading(operation, read)


@dataclass(frozen=True, slots=True)
class BatchResultItem:
    """How one id of a batch fared; `reason` is the reason code of an `ERR`. Unpacks as `job_id, status, reason` (Q27)."""

    job_id: str
    status: Literal["OK", "ERR"]
    reason: str | None = None

    def __iter__(self) -> Iterator[str | None]:
        return iter((self.job_id, self.status, self.reason))


def items(operation: str) -> Callable[[Any], list[BatchResultItem]]:
    """A `parse` for batches: one result for each id, or a refusal of the whole.

    A job called `ERR` is told from a refusal: after its id stands `OK` or `ERR`, never another code (Q24).
    """

    def parse(reply: Any) -> list[BatchResultItem]:
        words = _words(operation, reply)
        if words[:1] == [ERR] and words[1:2] not in ([OK], [ERR]):
            raise OperationRefused(operation, " ".join(words[1:]))
        results, left = [], iter(words)
        for job_id in left:
            status = next(left, "")
            if status == OK:
                results.append(BatchResultItem(job_id, "OK"))
            elif status == ERR:
                results.append(BatchResultItem(job_id, "ERR", next(left, "")))
            else:
                raise unexpected(operation, status)
        return results

    return parse


def unexpected(operation: str, word: str) -> ReplyError:
    return ReplyError(f"{operation} answered {word!r}, which its contract does not have")


def _words(operation: str, reply: Any) -> list[str]:
    if not isinstance(reply, list):
        raise ReplyError(f"{operation} answered {type(reply).__name__}, a list was expected")
    return texts(reply)
