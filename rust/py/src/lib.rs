//! The extension module `dcmfast._rust`: the only crate that names pyo3.

// Arguments of Python functions are extracted, so they arrive owned.
#![allow(clippy::needless_pass_by_value)]

use pyo3::prelude::*;

mod archive;
mod client;
mod dataset;
mod dictionary;
mod encoding;
mod error;
mod faults;
mod index;
mod limits;
mod load;
mod log;
mod protocol;
mod query;
mod recording;
mod request;
mod rewrite;
mod sending;
mod server;
mod signals;
mod tls;

/// Compiled core of dcmfast.
#[pymodule]
mod _rust {
    /// How this module was compiled; the benchmarks refuse to measure a debug build.
    #[pymodule_export]
    const BUILD_PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    use crate::client::{
        Association, FileInstance, association_block, cut_of_file, inspect_file, message_block,
    };
    #[pymodule_export]
    use crate::dataset::{
        ElementDictionary, rewrite_data_set, scan_data_set, scan_sequence, walk_fragments,
    };
    #[pymodule_export]
    use crate::dictionary::use_dictionary;
    #[pymodule_export]
    use crate::error::{
        AssociationError, AssociationRejected, ConnectError, IndexToolError, LocalProtocolError,
        PeerAborted, PeerReleased, ProtocolError, TimedOut, TlsFailed,
    };
    #[pymodule_export]
    use crate::index::{
        IndexReader, InstanceCursor, Registrar, export_index, import_index, index_totals,
        rebuild_index, verify_index,
    };
    #[pymodule_export]
    use crate::limits::limits_table;
    #[pymodule_export]
    use crate::load::LoadRun;
    #[pymodule_export]
    use crate::log::{EventLog, LogFileError};
    #[pymodule_export]
    use crate::protocol::{
        is_answer_character_set, modality, negotiate, state_table, status_text,
        transfer_syntax_name,
    };
    #[pymodule_export]
    use crate::query::{ArchiveIndex, ArchiveSearch};
    #[pymodule_export]
    use crate::recording::{Recorder, RecordingText, Replayer, copy_recording};
    #[pymodule_export]
    use crate::request::{
        QueryResponse, check_query_key, dump_identifier, failed_uids, file_head, identifier_json,
        identifier_xml, query_identifier,
    };
    #[pymodule_export]
    use crate::rewrite::rewrite;
    #[pymodule_export]
    use crate::sending::{SendJob, Sending};
    #[pymodule_export]
    use crate::server::{HostRuleError, ObjectStore, Receiver, host_verdict};
    #[pymodule_export]
    use crate::signals::GivingUp;
    #[pymodule_export]
    use crate::tls::{
        TlsContext, TlsPasswordNeeded, TlsStartError, tls_cipher_suites, tls_is_root_certificate,
        tls_library, tls_random_bytes,
    };
}
