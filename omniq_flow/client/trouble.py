"""What an error of the server or of the network means for a call, as a table.

Three kinds of refusal: *passing* (nothing was done, the server will soon serve again: wait and try again),
*standing* (nothing was done and waiting does not help: a person has to act), and all other codes, which are
errors of a script. `READONLY` passes too, over a new connection: the address may lead to the new primary.
"""

from __future__ import annotations

from dataclasses import dataclass

from omniq_flow.errors import ServerUnavailable


class Refusal(Exception):
    """An error reply: its code (`OOM`, `NOSCRIPT`, …) and the text behind the code."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code} {text}".strip())
        self.code = code
        self.text = text

    @classmethod
    def read(cls, line: str) -> Refusal:
        code, _, text = line.partition(" ")
        return cls(code, text) if code.isupper() else cls("ERR", line)


class Unreachable(Exception):
    """A connection could not be made; nothing of any call was sent.

    `is_passing`: trying again soon may help. `is_absent`: nobody is there at all, which passes only for
    a server that is just being started.
    """

    def __init__(self, reason: str, hint: str = "", *, is_passing: bool = False, is_absent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.is_passing = is_passing
        self.is_absent = is_absent

    def as_error(self, where: str) -> ServerUnavailable:
        return ServerUnavailable(self.reason, where=where, hint=self.hint)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a refusal says to people and to the retry loop."""

    reason: str
    hint: str
    is_passing: bool = False
    needs_new_link: bool = False


_PASSING = {
    "LOADING": Meaning("the server is still loading its data", "wait until it is done", True),
    "BUSY": Meaning("the server is busy with a long script", "look at SLOWLOG; SCRIPT KILL ends a script that has not written", True),
    "TRYAGAIN": Meaning("the server is moving these keys", "try again", True),
    "MASTERDOWN": Meaning("the replica has lost its primary", "use the address of the primary", True, True),
    "READONLY": Meaning("the server is a read-only replica", "use the address of the primary", True, True),
    "NOREPLICAS": Meaning("the server has too few replicas to accept writes", "see min-replicas-to-write", True),
    "CLUSTERDOWN": Meaning("the cluster is down", "look at CLUSTER INFO", True, True),
}
MOVING = Meaning("the cluster is moving these keys to another node (ASK)", "wait until it is done, or end it: CLUSTER SETSLOT", True)
DISAGREE = Meaning("the cluster's nodes disagree who has these keys (MOVED)", "look at CLUSTER SLOTS of each node", True)
_STANDING = {
    "OOM": Meaning("the server is out of memory", "raise maxmemory or make room; nothing was changed"),
    "NOAUTH": Meaning("the server wants a password", "put it into the address: redis://user:password@host"),
    "WRONGPASS": Meaning("user name or password is wrong", "check the address, and ACL LIST on the server"),
    "NOPERM": Meaning("the user may not do this", "grant it on the server: ACL SETUSER <user> ~{<queue>}:* +@all -@dangerous"),
    "MISCONF": Meaning("the server cannot save its data and refuses writes", "look at its log and at the disk"),
}


# A script whose user lacks a right: Valkey and newer Redis, then Redis 7.0, which has no code for it.
_INSIDE_A_SCRIPT = ("ACL failure", "The user executing the script can't")


def refusal_of(refusal: Refusal) -> Meaning:
    """The meaning of an error reply that stopped a call; for unknown codes the server's own words."""
    code = "NOPERM" if refusal.text.startswith(_INSIDE_A_SCRIPT) else refusal.code
    if passing := _PASSING.get(code):
        return Meaning(f"{passing.reason} ({code})", passing.hint, True, passing.needs_new_link)
    if standing := _STANDING.get(code):
        detail = f": {refusal.text}" if code == "NOPERM" else ""
        return Meaning(f"{standing.reason} ({code}){detail}", standing.hint)
    return Meaning(str(refusal), "")


def is_of_server(refusal: Refusal) -> bool:
    """Whether the server refused to serve, as against a script that failed."""
    return refusal.code in _PASSING or refusal.code in _STANDING or refusal.text.startswith(_INSIDE_A_SCRIPT)
