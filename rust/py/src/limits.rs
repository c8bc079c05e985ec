//! The constants of `dcmfast_core::limits`, so that Python quotes and never repeats them.

use dcmfast_core::limits;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Name → value of each bound, in the unit that its name ends in.
#[pyfunction]
pub fn limits_table(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let table = PyDict::new(py);
    macro_rules! entries {
        ($($name:ident),* $(,)?) => { $( table.set_item(stringify!($name), limits::$name)?; )* };
    }
    entries!(
        MAX_PDU_BYTES_MIN,
        MAX_PDU_BYTES_MAX,
        MAX_PDU_BYTES_DEFAULT,
        ASSOCIATE_PDU_BYTES_MAX,
        PRESENTATION_CONTEXTS_MAX,
        TRANSFER_SYNTAXES_PER_CONTEXT_MAX,
        USER_INFORMATION_ITEMS_MAX,
        EMPTY_PDVS_IN_A_ROW_MAX,
        COMMAND_SET_BYTES_MAX,
        COMMAND_SET_ELEMENTS_MAX,
        SEQUENCE_DEPTH_MAX,
        WANTED_VALUE_BYTES_MAX,
        WANTED_TAGS_MAX,
        INFLATE_BUFFER_BYTES,
        DEFLATE_TRAILER_BYTES_MAX,
        INFLATED_FREE_BYTES,
        INFLATED_RATIO_MAX,
        INFLATED_BYTES_MAX,
        REWRITE_BLOCK_BYTES,
        HEAD_HOLD_BYTES_MAX,
        FILE_EXTENSION_BYTES_MAX,
        NAME_ATTEMPTS_MAX,
        COMPARE_BLOCK_BYTES,
        CHECK_BLOCK_BYTES,
        WRITE_SLICES_MAX,
        GROUP_OBJECTS_MAX,
        GROUP_GATHER_US_MAX,
        SYNCED_DIRECTORIES_MAX,
        AREA_LOOK_MS,
        STALE_PART_AGE_S,
        FILE_META_BYTES_MAX,
        INFLATED_DATA_SET_BYTES_MAX,
        ATTRIBUTES_BYTES_MAX,
        INDEXED_SEQUENCE_BYTES_MAX,
        INDEXED_SEQUENCE_DEPTH_MAX,
        FILE_PATH_BYTES_MAX,
        SECONDARY_KEY_VALUE_BYTES_MAX,
        SOP_CLASSES_PER_SERIES_MAX,
        INDEX_READERS_MAX,
        RETRIEVE_HELD_BYTES_MAX,
        RETRIEVE_PAGE_INSTANCES,
        RETRIEVE_WINDOW_INSTANCES,
        RETRIEVE_KEYS_BYTES_MAX,
        RETRIEVE_SORTED_INSTANCES_MAX,
        FAILED_UIDS_BYTES_MAX,
        MOVE_ASSOCIATIONS_MAX,
        MOVE_CONNECT_TIMEOUT_S,
        ASSOCIATIONS_MAX,
        PENDING_CONNECTIONS_MAX,
        HOST_NAMES_MAX,
        ASSOCIATION_STACK_BYTES,
        IDLE_READ_BUFFER_BYTES,
        MESSAGE_READ_BUFFER_BYTES,
        ACSE_TIMEOUT_S_DEFAULT,
        SOCKET_TIMEOUT_S_DEFAULT,
        PDU_TIMEOUT_S,
        SLOWEST_PEER_BYTES_PER_S,
        WRITE_TIMEOUT_S,
        CLOSE_TIMEOUT_S,
        DISCARD_BYTES_MAX,
        STOP_GRACE_S,
    );
    Ok(table)
}
