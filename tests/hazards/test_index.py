"""Each hazard H01 to H26 has tests that show the safer behaviour, and docs/hazards.md names the files that they are in."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "hazards.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (H\d\d) \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)

DIFFERENCES = "conformance/test_differences.py"
QUIRKS = "conformance/test_quirks.py"
SHOWN_BY: dict[str, tuple[str, ...]] = {
    "H01": (
        f"{DIFFERENCES}::test_d2_a_known_id_is_left_as_it_is",
        "hazards/test_doubles.py::test_h01_the_job_of_a_flow_cannot_be_published_again",
        "hazards/test_doubles.py::test_h01_h05_a_flows_job_that_a_foreign_client_queued_twice_counts_once",
    ),
    "H02": (
        "client/test_faults.py::test_a_lost_reply_of_anything_else_is_never_asked_for_again",
        "lua/omniq/test_operations.py::test_what_may_be_sent_again_when_its_reply_was_lost",
        "engine/test_worker_faults.py::test_a_lost_report_is_applied_once",
        "engine/test_worker_faults.py::test_a_lost_take_gives_the_same_leases",
        "flowscripts/test_tick_take.py::test_the_same_request_brings_the_same_leases",
        "cases/test_c07_lost_commit.py::test_c07_the_last_commit_counts_once_whatever_is_lost",
    ),
    "H03": (
        f"{DIFFERENCES}::test_d5_a_job_that_lives_again_is_not_trimmed",
        f"{DIFFERENCES}::test_d9_reserve_passes_over_ids_without_a_job_and_takes_no_slot",
        f"{DIFFERENCES}::test_d9_an_id_without_a_job_is_dropped_when_it_is_due",
    ),
    "H04": ("hazards/test_doubles.py::test_h04_a_lease_whose_job_is_gone_gives_its_slot_back",),
    "H05": (
        "hazards/test_doubles.py::test_h01_h05_a_flows_job_that_a_foreign_client_queued_twice_counts_once",
        "hazards/test_doubles.py::test_h05_a_group_of_one_is_not_blocked_by_a_double",
    ),
    "H06": ("hazards/test_doubles.py::test_h06_publishing_without_the_group_takes_nothing_from_it",),
    "H07": (
        f"{DIFFERENCES}::test_d3_a_heartbeat_counts_from_now_and_does_not_pile_up",
        "flowscripts/test_lease_beat.py::test_a_deadline_is_now_plus_the_lease_however_often_it_beats",
        "cases/test_c49_drifting_deadline.py::test_c49_how_long_a_killed_job_ran_does_not_delay_its_return",
    ),
    "H08": (
        "hazards/test_clocks.py::test_h08_a_lease_is_never_shorter_than_three_beats",
        "engine/test_small_decisions.py::test_a_lease_is_extended_every_third_of_it",
    ),
    "H09": (
        f"{DIFFERENCES}::test_d1_without_a_clock_the_servers_time_counts",
        "hazards/test_clocks.py::test_h09_a_workers_wrong_clock_decides_nothing",
    ),
    "H10": ("hazards/test_clocks.py::test_h10_groups_are_served_in_turn_whatever_the_callers_clock_says",),
    "H11": (f"{QUIRKS}::test_d15_q19_a_full_group_waits_for_its_slot_outside_the_ready_set",),
    "H12": (
        "hazards/test_leftovers.py::test_h12_no_key_of_a_runs_own_group_outlives_it",
        f"{QUIRKS}::test_d15_q23_a_limit_that_is_no_number_above_zero_counts_as_one",
    ),
    "H13": ("hazards/test_leftovers.py::test_h13_the_order_of_a_list_does_not_come_from_its_group",),
    "H14": (
        "cases/test_c79_trimmed_jobs.py::test_c79_a_run_keeps_what_its_queue_forgets",
        "cases/test_c20_trimmed_parent.py::test_c20_outputs_outlive_the_jobs_that_made_them",
    ),
    "H15": (
        "hazards/test_leftovers.py::test_h15_deploys_cost_no_attempts_and_the_fence_only_grows",
        "flowscripts/test_tick_take.py::test_fences_rise_and_are_the_same_when_sent_again",
        f"{DIFFERENCES}::test_d4_a_reaped_job_tells_of_the_lost_lease",
        "cases/test_c56_reason_of_a_lost_job.py::test_c56_a_lost_job_says_so_wherever_one_looks",
    ),
    "H16": (
        "cases/test_c74_lost_last_one.py::test_c74_a_worker_killed_with_the_last_element_does_not_take_the_join_with_it",
        "cases/test_c76_stale_member.py::test_c76_what_a_frozen_worker_reports_late_is_not_counted",
        f"{QUIRKS}::test_d15_q26_a_lost_connection_raises_and_is_no_answer",
    ),
    "H17": (
        "lua/omniq/test_memory.py::test_new_work_is_refused_before_any_write",
        "lua/omniq/test_memory.py::test_what_is_there_can_be_worked_off",
        "flowscripts/test_run_start.py::test_out_of_memory_no_run_begins_and_those_that_go_on_end",
        "server/test_embedded.py::test_the_server_runs_with_the_settings_that_flows_need",
    ),
    "H18": (
        "lua/omniq/test_wrong_types.py::test_a_key_of_another_type_stops_who_writes_it_and_nobody_else",
        "lua/omniq/test_wrong_types.py::test_a_text_where_a_number_is_counted_leaves_all_as_it_was",
        "flowscripts/test_tick_wrong_types.py::test_what_is_of_another_type_is_never_met_half_way",
        "flowscripts/test_tick_damage.py::test_a_damaged_run_ends_and_holds_up_nobody",
    ),
    "H19": (
        f"{DIFFERENCES}::test_d7_a_setting_that_clients_cannot_read_is_refused",
        f"{DIFFERENCES}::test_d7_no_digit_is_lost_where_a_sum_is_longer",
        f"{DIFFERENCES}::test_d7_exponents_that_others_left_are_read",
    ),
    "H20": (
        "lua/omniq/test_operations.py::test_a_payload_that_is_no_utf8_is_still_handed_over",
        f"{DIFFERENCES}::test_d6_an_error_text_is_cut_between_characters",
        f"{DIFFERENCES}::test_d6_a_text_that_is_no_utf8_is_still_reported",
        f"{QUIRKS}::test_d16_q33_what_other_languages_cannot_read_is_not_sent",
        "engine/test_failures.py::test_cut_gives_valid_text_within_the_limit",
    ),
    "H21": (
        "hazards/test_leftovers.py::test_h21_what_moves_runs_never_removes_from_the_middle_of_a_list",
        "hazards/test_leftovers.py::test_h21_removing_a_batch_notes_the_time",
        f"{QUIRKS}::test_d15_q12_a_removal_does_not_put_its_group_before_others",
        "cases/test_c28_ways_to_fail.py::test_c28_a_job_that_is_removed",
    ),
    "H22": (
        "hazards/test_clocks.py::test_h22_a_worker_without_a_free_slot_still_does_the_upkeep",
        "cases/test_c51_long_delays.py::test_c51_attempts_that_wait_for_two_leases_start_once_and_in_time",
    ),
    "H23": (
        "flowscripts/test_tick_settle.py::test_a_zombie_is_lost_and_the_new_lease_counts",
        "flowscripts/test_tick_settle.py::test_a_lapsed_lease_that_nobody_took_back_still_counts",
        f"{DIFFERENCES}::test_d3_a_lease_past_its_deadline_is_extended",
        f"{DIFFERENCES}::test_d3_a_paused_queue_goes_on_but_for_leases",
        "client/test_faults.py::test_scripts_may_be_forgotten_at_any_time",
        "conformance/test_vectors.py::test_vector",
    ),
    "H24": ("cases/test_c82_mixed_versions.py::test_c82_in_any_mix_every_job_is_done_once_within_its_limits",),
    "H25": (
        "client/test_unavailable.py::test_a_wrong_host",
        "client/test_unavailable.py::test_a_cluster_is_asked_and_refused",
        "client/test_connect.py::test_a_server_is_believed_what_it_says_of_itself",
    ),
    "H26": ("hazards/test_leftovers.py::test_h26_a_lease_that_a_failover_forgot_is_fenced_from_its_twin",),
}


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of the tests in a file; none if there is no such file."""
    path = TESTS / file
    if not path.is_file():
        return frozenset()
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_hazard_is_shown() -> None:
    assert list(SHOWN_BY) == [f"H{n:02}" for n in range(1, 27)]
    assert all(SHOWN_BY.values())


@pytest.mark.parametrize("hazard", SHOWN_BY)
def test_the_tests_that_show_it_exist(hazard: str) -> None:
    missing = [node for node in SHOWN_BY[hazard] if node.partition("::")[2] not in names_in(node.partition("::")[0])]
    assert missing == []


def test_no_test_of_this_folder_is_left_out() -> None:
    """A test that is named after a hazard stands in its row."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for name in names_in(f"hazards/{path.name}"):
            for number in re.findall(r"h(\d\d)_", name):
                assert f"hazards/{path.name}::{name}" in SHOWN_BY[f"H{number}"]


def test_the_page_has_the_same_hazards_and_files() -> None:
    named = {hazard: set(re.findall(r"`([^`]+\.py)`", files)) for hazard, _, _, files in ROWS}
    assert list(named) == list(SHOWN_BY)
    assert named == {hazard: {node.partition("::")[0] for node in nodes} for hazard, nodes in SHOWN_BY.items()}
