"""How often and how late something is tried again; pure arithmetic, the clients do the waiting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential delays under a cap, bounded twice: by attempts and by time.

    `patience_ms` is when the last attempt may begin, counted from the first. So a call ends at the latest
    after `patience_ms` plus the time of one attempt.
    """

    attempts: int = 10
    first_ms: int = 50
    cap_ms: int = 1_000
    patience_ms: int = 10_000

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_ms < 0 or self.cap_ms < self.first_ms or self.patience_ms < 0:
            raise ValueError(f"{self} makes no sense: at least one attempt, and 0 <= first_ms <= cap_ms")

    def delay_ms(self, failures: int, spread: float = 1.0) -> int:
        """The pause after so many failures, from 1; `spread` in 0…1 takes up to half of it away.

        Callers draw `spread` at random, so that a hundred workers do not come back in one instant.
        """
        doubled = self.first_ms << min(failures - 1, 20)
        return round(min(doubled, self.cap_ms) * (0.5 + spread / 2))

    def allows(self, failures: int, elapsed_ms: int, delay_ms: int = 0) -> bool:
        """Whether another attempt may begin after so many failures, this long after the first began."""
        return failures < self.attempts and elapsed_ms + delay_ms <= self.patience_ms
