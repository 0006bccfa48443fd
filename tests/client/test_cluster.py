"""The map of a cluster and the redirections, decided without any network."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest

from omniq_flow.client.cluster import Routes, slot_of, slot_of_key
from omniq_flow.client.connect import Target
from omniq_flow.client.exchange import Exchange
from omniq_flow.client.link import Heard
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.client.trouble import Refusal, Unreachable
from omniq_flow.errors import OmniqFlowError, ServerUnavailable
from omniq_flow.ops import jobs, lanes
from omniq_flow.ops.command import Operation
from tests.client.conftest import add, ask

START = Target.parse("rediss://ann:pw5@start:7000?ssl_ca_certs=ca")
ONE, TWO, THREE = (Target.parse(f"rediss://ann:pw5@{name}:7000?ssl_ca_certs=ca") for name in ("one", "two", "three"))
HALF = 8_192


def node(host: bytes | None, port: int = 7_000) -> list[Any]:
    return [host, port, b"id", []]


def routes() -> Routes:
    return Routes.read([[0, HALF - 1, node(b"one"), node(b"replica")], [HALF, 16_383, node(b"two")]], START)


def at(place: Target, n: int = 0) -> str:
    """A queue of a node, the `n`-th."""
    names = (f"q{number}" for number in range(100))
    return [name for name in names if (slot_of_key("{" + name + "}:meta") < HALF) is (place is ONE)][n]


def exchange(*ops: Operation, known: Routes | None = None, **policy: int) -> Exchange:
    return Exchange(START, RetryPolicy(**policy), ops, known or routes(), clock=lambda: 0, spread=lambda: 1.0)


def packed(one: Exchange) -> list[list[bytes]]:
    """The commands of the packet that is sent next."""
    reader = hiredis.Reader()
    reader.feed(one.packet())
    commands = iter(reader.gets, False)
    return list(commands)


def failure_of(one: Exchange) -> OmniqFlowError:
    assert one.is_done
    with pytest.raises(OmniqFlowError) as caught:
        one.results()
    assert "pw5" not in f"{caught.value} {caught.value.where} {caught.value.hint}"
    return caught.value


class TestMap:
    def test_nodes_are_reached_as_the_first_was(self) -> None:
        """Login and TLS travel; replicas can be asked and serve nothing."""
        known = routes()
        assert (known.owner(0), known.owner(HALF - 1), known.owner(HALF)) == (ONE, ONE, TWO)
        assert known.nodes == (ONE, TWO)
        assert {place.host for place in known.known} == {"one", "two", "replica"}

    @pytest.mark.parametrize("host", [None, b"", b"?"])
    def test_a_host_that_is_left_out_is_the_one_that_was_used(self, host: bytes | None) -> None:
        known = Routes.read([[0, 16_383, node(host, 7_001)]], START)
        assert (known.owner(5).host, known.owner(5).port) == ("start", 7_001)

    def test_of_a_node_reached_by_its_socket_the_others_are_reached_by_network(self) -> None:
        by_file = Target.parse("unix://:pw5@/run/s")
        known = Routes.read([[0, 9, node(b"::1")], [10, 16_383, node(b"")]], by_file)
        assert (known.owner(0).where, known.owner(10).where) == ("redis://:***@[::1]:7000", "redis://:***@localhost:7000")

    def test_a_hash_slot_that_nobody_serves_goes_to_somebody(self) -> None:
        known = Routes.read([[0, 9, node(b"one")]], START)
        assert known.owner(16_383) == ONE

    def test_a_move_is_learned(self) -> None:
        known = routes()
        known.moved("3 three:7000", ONE)
        known.moved("4 :7009", ONE)
        assert (known.owner(2), known.owner(3), known.owner(4).where) == (ONE, THREE, "rediss://ann:***@one:7009")

    def test_all_operations_of_a_queue_have_its_hash_slot(self) -> None:
        ops = (jobs.publish("q", {}), lanes.payload("q", "a"), lanes.group_numbers("q", "g"))
        assert {slot_of(op) for op in ops} == {slot_of_key("{q}:meta")}
        assert slot_of(lanes.server_time()) is None


class TestSplitting:
    def test_each_node_gets_its_own_in_order_and_the_results_are_in_order(self) -> None:
        one = exchange(add(f"{{{at(ONE)}}}"), add(f"{{{at(TWO)}}}"), ask("TIME"), add(f"{{{at(ONE, 1)}}}"))
        assert one.aim() == ONE
        assert one.count == 3
        one.take(Heard([1, 3, 4]))
        assert one.aim() == TWO
        one.take(Heard([2]))
        assert one.results() == [1, 2, 3, 4]

    def test_a_node_that_is_down_does_not_hold_up_the_others(self) -> None:
        one = exchange(add(f"{{{at(ONE)}}}"), add(f"{{{at(TWO)}}}"), attempts=2)
        assert one.aim() == ONE
        one.unreachable(Unreachable("nobody listens there", "start it", is_passing=True))
        assert one.needs_map
        assert one.pause_ms == 50
        assert one.aim() == TWO
        one.take(Heard([2]))
        assert not one.needs_map
        assert one.aim() == ONE
        one.unreachable(Unreachable("nobody listens there", "start it", is_passing=True))
        error = failure_of(one)
        assert (str(error), error.where) == ("nobody listens there", "rediss://ann:***@one:7000")

    def test_a_node_that_will_not_have_us_fails_its_own_at_once(self) -> None:
        one = exchange(add(f"{{{at(ONE)}}}"))
        one.aim()
        one.unreachable(Unreachable("user name or password is wrong"))
        assert "password is wrong" in str(failure_of(one))

    def test_a_search_goes_through_the_nodes_one_after_the_other(self) -> None:
        known, seen, cursor = routes(), [], 0
        for reply in (b"700", b"0", b"900000000", b"0"):
            one = exchange(lanes.scan_statistics(cursor), known=known)
            place = one.aim()
            seen.append((place, packed(one)[0][1]))
            one.take(Heard([[reply, []]]))
            cursor = one.results()[0][0]
        assert seen == [(ONE, b"0"), (ONE, b"700"), (TWO, b"0"), (TWO, b"900000000")]
        assert cursor == 0


class TestRedirections:
    def test_moved_goes_at_once_to_the_node_that_was_named(self) -> None:
        key = f"{{{at(ONE)}}}"
        once = add(key, is_repeatable=False)
        one = exchange(once, attempts=1)
        one.aim()
        one.take(Heard([Refusal("MOVED", f"{slot_of_key(key)} three:7000")]))
        assert (one.aim(), one.pause_ms) == (THREE, 0)
        assert one.needs_map, "a node that was not known"
        one.take(Heard([7]))
        assert one.results() == [7]

    def test_nodes_that_disagree_are_given_time_and_then_up(self) -> None:
        key = f"{{{at(ONE)}}}"
        one = exchange(add(key), attempts=2)
        pauses = []
        while not one.is_done:
            other = TWO if one.aim() == ONE else ONE
            one.take(Heard([Refusal("MOVED", f"{slot_of_key(key)} {other.host}:7000")]))
            pauses.append(one.pause_ms)
            assert not one.needs_map
        assert pauses == [0, 0, 0, 50, 0]
        assert "disagree who has these keys (MOVED)" in str(failure_of(one))

    def test_a_plain_command_asks_once_and_its_place_is_not_learned(self) -> None:
        key = f"{{{at(ONE)}}}:x"
        one = exchange(ask("GET", key), ask("GET", key))
        one.aim()
        one.take(Heard([Refusal("ASK", f"{slot_of_key(key)} three:7000"), b"here"]))
        assert one.aim() == THREE
        assert packed(one) == [[b"ASKING"], [b"GET", key.encode()]]
        assert one.count == 2
        one.take(Heard([b"OK", Refusal("TRYAGAIN", "Multiple keys request during rehashing of slot")]))
        assert (one.aim(), packed(one)) == (ONE, [[b"GET", key.encode()]])
        one.take(Heard([b"there"]))
        assert one.results() == [b"there", b"here"]

    def test_a_script_waits_until_all_its_keys_have_moved(self) -> None:
        key = f"{{{at(ONE)}}}"
        one = exchange(add(key), attempts=2)
        one.aim()
        one.take(Heard([Refusal("ASK", f"{slot_of_key(key)} three:7000")]))
        assert (one.aim(), one.pause_ms) == (ONE, 50)
        one.take(Heard([Refusal("ASK", f"{slot_of_key(key)} three:7000")]))
        assert "moving these keys to another node (ASK)" in str(failure_of(one))

    def test_a_cluster_that_is_down_wants_a_new_map(self) -> None:
        one = exchange(add(f"{{{at(ONE)}}}"))
        one.aim()
        one.take(Heard([Refusal("CLUSTERDOWN", "Hash slot not served")]))
        assert one.needs_map
        assert one.needs_new_link

    def test_what_may_have_been_applied_is_not_sent_to_another_node(self) -> None:
        one = exchange(add(f"{{{at(ONE)}}}", is_repeatable=False))
        one.aim()
        one.take(Heard([], "gone"))
        assert one.needs_map
        error = failure_of(one)
        assert isinstance(error, ServerUnavailable)
        assert "may have been applied" in str(error)

    def test_a_single_server_that_redirects_is_no_cluster(self) -> None:
        """It said otherwise when it was greeted."""
        one = Exchange(START, RetryPolicy(), [add("n")])
        one.aim()
        one.take(Heard([Refusal("MOVED", "3 three:7000")]))
        assert "MOVED" in str(failure_of(one))
