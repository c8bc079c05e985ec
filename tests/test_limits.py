"""Bounds are written once, in the engine, and Python sees each of them under its own name."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from dcmfast import limits
from dcmfast.options.option import BadValueError
from dcmfast.options.specs import all_front_ends

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "rust" / "core" / "src" / "limits.rs"
#: Edges that the engine's public functions show, one row each.
TABLE = ROOT / "rust" / "core" / "tests" / "bounds.rs"

_LOAD = "tests/unit/options/test_load_settings.py"
#: Bounds whose edge is tested beside a private part, or by a peer: where.
EDGES = {
    "MAX_PDU_BYTES_MIN": "tests/test_limits.py::test_the_range_of_max_pdu",
    "INFLATED_RATIO_MAX": "rust/core/src/dataset/scan.rs::edges_of_inflation",
    "INFLATED_BYTES_MAX": "rust/core/src/dataset/scan.rs::edges_of_inflation",
    "OWN_NUMBER_MAX": "rust/core/src/archive/layout.rs::own_names",
    "HEAD_HOLD_BYTES_MAX": "rust/core/src/storage/writer/tests.rs::edge_of_what_is_held",
    "REWRITE_HELD_BYTES_MAX": (
        "rust/core/src/storage/writer/encoding.rs::held_until_the_lengths_are_known"
    ),
    "REWRITE_FOLLOWED_BYTES_MIN": (
        "rust/core/src/storage/writer/encoding.rs::followed_from_a_length_on"
    ),
    "REWRITE_PRIVATE_BLOCKS_MAX": "rust/core/src/dataset/rewrite/tests.rs::edge_of_private_blocks",
    "REWRITE_SLOTS_MAX": "rust/core/src/dataset/rewrite/tests.rs::edge_of_lengths",
    "ODDITIES_TOLD_MAX": (
        "rust/core/src/dataset/oddities.rs::edges_of_what_is_told_and_remembered"
    ),
    "REMEMBERED_TAGS_MAX": (
        "rust/core/src/dataset/oddities.rs::edges_of_what_is_told_and_remembered"
    ),
    "REWRITE_PADDING_BYTES_MAX": (
        "rust/core/src/dataset/rewrite/tests.rs::padded_items_are_given_out_before_the_next"
    ),
    "ORDERED_ELEMENTS_MAX": "rust/core/src/dataset/rewrite/tests.rs::edge_of_disorder",
    "COMPARE_BLOCK_BYTES": "rust/core/src/storage/backend.rs::COMPARE_BLOCK_BYTES",
    "PENDING_CONNECTIONS_MAX": "tests/protocol/test_neighbours.py::PENDING_CONNECTIONS_MAX",
    "FOLDER_NAME_BYTES_MAX": "tests/compat/test_sorting.py::test_long_patient_names_are_cut",
    "STUDY_PREFIX_BYTES_MAX": "rust/core/src/storage/naming/folders.rs::prefixes",
    "RESTING_STUDIES_MAX": "rust/core/src/storage/studies.rs::resting_studies_are_bounded",
    "RENAMED_NAMES_BYTES_MAX": "rust/core/src/storage/studies.rs::remembered_names_are_bounded",
    "COMMANDS_RUNNING_MAX": "tests/apps/test_storescp_events.py::COMMANDS_RUNNING_MAX",
    "COMMANDS_WAITING_MAX": "rust/core/src/server/commands.rs::commands_in_the_background",
    "JOURNAL_RECORD_BYTES_MAX": "rust/core/src/storage/journal/frame.rs::the_length_is_bounded",
    "HOST_LOOKUPS_MAX": "rust/core/src/net/resolve.rs::a_stuck_resolver_is_given_up_on",
    "HOST_ACCESS_FILE_BYTES_MAX": "rust/core/src/server/host_access.rs::a_broken_file_at_start",
    "QUERY_KEY_ITEMS_MAX": "rust/core/src/dataset/query_keys.rs::refused",
    "RETRIEVE_HELD_BYTES_MAX": ("rust/core/tests/retrieve.rs::edges_of_pages_and_of_what_is_held"),
    "RETRIEVE_PAGE_INSTANCES": ("rust/core/tests/retrieve.rs::edges_of_pages_and_of_what_is_held"),
    "FAILED_UIDS_BYTES_MAX": "rust/core/tests/retrieve.rs::many_failures_are_bounded",
    "TLS_FILE_BYTES_MAX": "tests/unit/net/test_tls.py::test_the_longest_file",
    "LOAD_INTERVALS_MAX": "rust/core/src/load/timeline.rs::intervals_double",
    "LOAD_FAILURES_IN_A_ROW_MAX": "tests/apps/test_load.py::test_a_port_where_nobody_listens",
    "LOAD_COUNT_MAX": f"{_LOAD}::test_the_bounds_are_the_engines",
    "LOAD_DURATION_S_MAX": f"{_LOAD}::test_the_bounds_are_the_engines",
    "LOAD_ASSOCIATIONS_MAX": f"{_LOAD}::test_the_bounds_are_the_engines",
    "LOAD_ENTITIES_MAX": f"{_LOAD}::test_the_bounds_are_the_engines",
    "LOAD_PIXEL_BYTES_MAX": f"{_LOAD}::test_the_bounds_of_texts_are_the_engines",
    "LOAD_RATE_MAX": f"{_LOAD}::test_the_bounds_of_texts_are_the_engines",
    "RETRIEVE_SORTED_INSTANCES_MAX": ("rust/core/src/server/retrieve/select.rs::edge_of_sorting"),
    "MOVE_ASSOCIATIONS_MAX": (
        "rust/core/src/server/retrieve/lines.rs::edge_of_sub_associations_at_once"
    ),
    "APPLIER_RECORDS_MAX": "rust/core/src/archive/progress.rs::edges_of_what_waits",
    "APPLIER_BYTES_MAX": "rust/core/src/archive/progress.rs::edges_of_what_waits",
    "SPARE_RECORDS_MAX": "rust/core/src/archive/spare.rs::what_is_kept",
    "SPARE_RECORD_BYTES_MAX": "rust/core/src/archive/spare.rs::what_is_kept",
    "RECOVERY_BYTES_MAX": "rust/core/src/archive/progress.rs::recovery_takes_bounded_memory",
    "INDEX_UNWRITTEN_BYTES_MAX": "rust/core/src/index/pages.rs::edge_of_what_is_not_written",
    "NAME_ATTEMPTS_MAX": "rust/core/src/storage/writer/tests.rs::edge_of_tried_names",
    "ELEMENT_TABLE_ROWS_MAX": "rust/core/src/dataset/element_table.rs::edge_of_rows",
    "INFLATED_DATA_SET_BYTES_MAX": (
        "tests/unit/dataset/test_files.py::test_a_deflate_bomb_is_refused_in_bounded_memory"
    ),
    "PENDING_RESPONSES_MAX": (
        "tests/unit/net/test_patience.py::test_as_many_as_bring_something_new"
    ),
    "PENDING_WITHOUT_NEWS_MAX": (
        "tests/unit/net/test_patience.py::test_responses_in_a_row_without_news"
    ),
    "PENDING_PROGRESS_S": "tests/unit/net/test_patience.py::test_an_hour_without_news",
    "FETCHED_AHEAD_BYTES_MAX": (
        "tests/unit/requestor/test_objects.py::test_a_rest_that_is_too_long_is_not_kept"
    ),
    "QUERY_CANDIDATES_MAX": "rust/core/tests/query.rs::edge_of_candidates",
    "QUERY_VALUES_MAX": "rust/core/tests/query.rs::edge_of_values",
    "QUERY_KEY_BYTES_PER_ROW": "rust/core/tests/query.rs::edge_of_values",
    "RETRIEVE_UIDS_BYTES_MAX": ("rust/core/src/server/retrieve/keys.rs::a_million_keys_are_small"),
    "UNDELETED_BYTES_MAX": "rust/core/src/archive/undeleted.rs::the_edge",
    "RETRIEVE_KEYS_BYTES_MAX": "rust/core/src/server/retrieve/select.rs::edge_of_memory",
    "JOURNAL_SEGMENTS_MAX": "rust/core/src/storage/journal.rs::edge_of_segments",
    "DISCARD_BYTES_MAX": "rust/core/src/net/tcp.rs::edge_of_what_is_discarded",
    "ORDERED_INFLATED_BYTES_MAX": (
        "rust/core/src/dataset/rewrite/tests.rs::edge_of_inflated_disorder"
    ),
    "TLS_CERTIFICATE_CHAIN_MAX": "tests/apps/test_tls.py::test_the_longest_chain",
    "TLS_SUITES_SHOWN_MAX": "rust/core/src/net/tls/fault.rs::edge_of_suites_shown",
    "DICOMDIR_BYTES_MAX": "rust/core/src/sending/check.rs::edge_of_a_directory",
    "INVENTED_HEAD_BYTES_MAX": "rust/core/src/sending/object.rs::edge_of_an_invented_head",
    "LOAD_FILES_MAX": "tests/apps/test_load.py::test_the_number_of_files_is_bounded",
    "LOAD_OPERATION_OBJECTS_MAX": (
        "rust/core/src/load/query.rs::edge_of_what_one_operation_brings"
    ),
    "LOAD_ERROR_KINDS_MAX": "rust/core/src/load/mod.rs::edge_of_kinds_of_errors",
    "LOAD_LEDGER_LINE_BYTES_MAX": "rust/core/src/load/ledger.rs::written_and_read",
    "COMPARED_TEXT_BYTES_MAX": "rust/core/src/dataset/compare.rs::edge_of_held_text",
    "COMPARED_BLOCK_BYTES": "rust/core/src/dataset/compare.rs::edge_of_held_text",
    "CAPTURE_FRAGMENTED_PACKETS_MAX": "rust/core/src/recording/fragments.rs::edges_of_what_waits",
    "CAPTURE_FRAGMENTED_BYTES_MAX": "rust/core/src/recording/fragments.rs::edges_of_what_waits",
    "REPLAY_REAL_TIME_S_MAX": "rust/core/src/recording/replay/play.rs::edge_of_real_time",
    "LOAD_FINDINGS_MAX": "rust/core/src/load/audit.rs::edge_of_findings",
    "LOAD_AUDIT_S_MAX": "rust/core/src/load/mod.rs::time_is_bounded",
    "CONFIGURED_ASSOCIATIONS_MAX": (
        "tests/unit/options/test_archive_settings.py::test_the_bound_of_associations"
    ),
    "RECORDING_RECORD_BYTES_MAX": "rust/core/src/recording/format.rs::edges_of_a_record",
    "RECORDING_TEXT_BYTES_MAX": "rust/core/src/recording/format.rs::edges_of_a_record",
    "CAPTURE_PACKET_BYTES_MAX": "rust/core/src/recording/capture.rs::edges_of_lengths",
    "CAPTURE_BLOCK_BYTES_MAX": "rust/core/src/recording/capture.rs::edges_of_lengths",
    "CAPTURE_INTERFACES_MAX": "rust/core/src/recording/capture.rs::edges_of_lengths",
    "CAPTURE_AHEAD_BYTES_MAX": "rust/core/src/recording/reassembly.rs::edge_of_what_waits",
    "CAPTURE_AHEAD_BYTES_ALL_MAX": (
        "rust/core/src/recording/reassembly.rs::edges_over_all_connections"
    ),
    "CAPTURE_STREAMS_MAX": "rust/core/src/recording/reassembly.rs::edges_over_all_connections",
    "REPLAY_COMPARED_BYTES_MAX": "rust/core/src/recording/replay/happened.rs::edge_of_what_is_held",
    "REPLAY_NAMES_MAX": "rust/core/src/recording/replay/play.rs::edge_of_names",
    "RECORDING_KEPT_VALUE_BYTES_MAX": ("rust/core/src/recording/treat.rs::edges_of_what_is_kept"),
    "RECORDING_OPEN_MAX": "rust/core/src/recording/show.rs::edge_of_open_connections",
    "RECORDING_SHOWN_VALUE_BYTES": "rust/core/src/recording/show.rs::edge_of_a_shown_value",
    "INDEXED_VALUE_BYTES_MAX": "rust/core/tests/index_keys.rs::long_values",
    "ATTRIBUTES_RESERVED_BYTES": "rust/core/tests/index_keys.rs::the_unique_keys_find_room",
    "LOGGED_SEQUENCE_DEPTH_MAX": "rust/core/src/dataset/dump.rs::edge_of_depth",
    "LOGGED_DUMP_LINES_MAX": "rust/core/src/dataset/dump.rs::edge_of_lines_and_bytes",
    "LOGGED_DUMP_BYTES_MAX": "rust/core/src/dataset/dump.rs::edge_of_lines_and_bytes",
}
#: Bounds without a test of their edge, by the reason.
WITHOUT_EDGE = {
    "a default, which has no edge": """
        MAX_PDU_BYTES_DEFAULT ACSE_TIMEOUT_S_DEFAULT SOCKET_TIMEOUT_S_DEFAULT ASSOCIATIONS_MAX
        RECORDING_BYTES_DEFAULT
    """,
    "the size of a buffer or block of ours, which decides how often, never what": """
        INFLATE_BUFFER_BYTES REWRITE_BLOCK_BYTES CHECK_BLOCK_BYTES ASSOCIATION_STACK_BYTES
        IDLE_READ_BUFFER_BYTES MESSAGE_READ_BUFFER_BYTES OPERATION_OUTPUT_BYTES
        JOURNAL_SEGMENT_BYTES JOURNAL_SMALL_SEGMENT_BYTES TLS_RECORD_BYTES_MAX TLS_WRITE_BYTES
        TLS_READ_BYTES
        LOAD_HELD_OBJECT_BYTES RECORDING_BLOCK_BYTES
    """,
    "how much is done at a time; what is left over comes next": """
        GROUP_OBJECTS_MAX COMMIT_ENTRIES_MAX QUERY_MATCHES_PER_PAGE REMOVAL_RECORD_BYTES
        RETRIEVE_WINDOW_INSTANCES DIRECTORY_PORTION_NAMES TOOL_THREADS_MAX TOOL_BATCH_FILES
        TOOL_PAGE_INSTANCES TOOL_COMMIT_ENTRIES ARRIVAL_WINDOW_INSTANCES DOUBTFUL_FILES_MAX
        INDEX_CHECK_PAGES CANCEL_LOOK_BYTES_MAX BACKGROUND_FINDINGS_TOLD
    """,
    "a cache of ours, which begins anew when it is full": """
        SYNCED_DIRECTORIES_MAX HOST_NAMES_MAX TLS_SESSIONS_MAX TLS_SESSIONS_KEPT_MAX
        NUMBERED_FOLDERS_MAX
    """,
    "a time; that it ends is measured in tests/protocol/test_deadlines.py and test_stop.py": """
        PDU_TIMEOUT_S SLOWEST_PEER_BYTES_PER_S WRITE_TIMEOUT_S CLOSE_TIMEOUT_S STOP_GRACE_S
        MOVE_CONNECT_TIMEOUT_S MOVE_ANSWER_TIMEOUT_S RECORDING_QUIET_MS
    """,
    "a rhythm of ours, which nobody outside can change": """
        GROUP_GATHER_US_MAX AREA_LOOK_MS STALE_PART_AGE_S COMMIT_DELAY_MS_MAX APPLY_RETRY_MS
        ASKED_LOOK_MS BESIDE_LOOK_MS BESIDE_WAIT_MS_MAX SETTLING_WAIT_MS_MAX
        CHECKPOINT_INTERVAL_MS DOUBTFUL_GRACE_MS STOP_WAIT_MS HOST_NAME_AGE_S TLS_SESSION_AGE_S
        COMMAND_LOOK_MS
        COMMAND_REAP_MS FOLDER_CLOCK_WAITS_MAX
        STALE_READERS_INTERVAL_S UNDELETED_RETRY_S BACKGROUND_REST_IDLE BACKGROUND_REST_BUSY
        BACKGROUND_REST_MS_MAX BACKGROUND_PATIENCE_MS
    """,
    "the number of what our own code asks for, cut there": """
        WANTED_TAGS_MAX
    """,
}


def test_python_sees_every_bound_of_the_engine() -> None:
    written = re.findall(r"^pub const (\w+):", SOURCE.read_text(), re.MULTILINE)
    assert set(limits.LIMITS) == set(written)
    assert all(isinstance(value, int) and value > 0 for value in limits.LIMITS.values())
    assert limits.LIMITS["PDU_TIMEOUT_S"] == limits.PDU_TIMEOUT_S


def test_every_bound_stands_with_its_reason() -> None:
    """A constant without a reason is a guess."""
    lines = SOURCE.read_text().splitlines()
    for above, line in pairwise(lines):
        if line.startswith("pub const "):
            assert above.startswith("///"), line


def test_every_bound_has_a_test_of_its_edge_or_a_reason() -> None:
    """A new bound belongs into one of the three; what is gone belongs into none."""
    written = set(re.findall(r"^pub const (\w+):", SOURCE.read_text(), re.MULTILINE))
    shown = set(re.findall(r"^    ([A-Z_]+) at ", TABLE.read_text(), re.MULTILINE))
    reasons = [name for names in WITHOUT_EDGE.values() for name in names.split()]
    assert len(reasons) == len(set(reasons))
    places = [shown, set(EDGES), set(reasons)]
    for one, other in combinations(places, 2):
        assert not one & other
    assert set().union(*places) == written
    for name, place in EDGES.items():
        path, function = place.split("::")
        text = (ROOT / path).read_text()
        assert function in text, place
        assert name in text, place


def test_the_range_of_max_pdu() -> None:
    """MAX_PDU_BYTES_MIN and MAX_PDU_BYTES_MAX on a command line, at n - 1, n and n + 1."""
    front_end = next(one for one in all_front_ends() if one.tool == "storescp")
    value = next(one for one in front_end.options() if one.long == "--max-pdu").values[0]
    for bound, outside in (("MAX_PDU_BYTES_MIN", -1), ("MAX_PDU_BYTES_MAX", 1)):
        edge = limits.LIMITS[bound]
        for number in (edge, edge - outside):
            assert value.parse(str(number)) == number
        with pytest.raises(BadValueError):
            value.parse(str(edge + outside))
