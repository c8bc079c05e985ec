//! The one table of what each fault gets: A-ASSOCIATE-RJ, A-ABORT or a DIMSE status.
//!
//! Source: PROMISES.md §2, narrowed by DIFFERENCES.md where a tool has its own answer (B5, C2, C3,
//! C6). Framing and DIMSE grammar carry their own abort (`DecodeError::abort`, `PdvError::abort`,
//! `MessageError::abort`), because the layer that finds a fault knows its number; what is the
//! tools' choice stands here.

use super::narration::Refusal;
use crate::dataset::identifier::IdentifierError;
use crate::dimse::service::{DataSetType, QueryService, StoreRequest};
use crate::dimse::status::Status;
use crate::index::IndexError;
use crate::index::query::{QueryError, RuleSet, Rules};
use crate::limits::MAX_PDU_BYTES_MAX;
use crate::storage::writer::{Dialect, StoreError, StoreMode};
use crate::ul::pdu::AssociateRj;

/// The rejection of an association as a whole.
pub const fn rejection(dialect: Dialect, refusal: Refusal) -> AssociateRj {
    match (refusal, dialect) {
        (
            Refusal::Forced
            | Refusal::NoImplementationClassUid
            | Refusal::NoContexts
            | Refusal::Shutdown,
            _,
        ) => AssociateRj::NO_REASON,
        (Refusal::Fault(rejection), _) => rejection,
        // DIFFERENCES.md C4: for the calling title and the host, too.
        (Refusal::BadAeService, _) => AssociateRj::CALLED_AE_TITLE_NOT_RECOGNIZED,
        (Refusal::ApplicationContext, Dialect::Storescp | Dialect::Movescu | Dialect::Getscu) => {
            AssociateRj::APPLICATION_CONTEXT_NAME_NOT_SUPPORTED
        }
        // DIFFERENCES.md C3: dcmrecv and dcmqrscp say transient.
        (Refusal::ApplicationContext, Dialect::Dcmrecv | Dialect::Dcmqrscp) => {
            AssociateRj { result: 2, source: 1, reason: 2 }
        }
        (Refusal::LocalLimit, _) => AssociateRj::LOCAL_LIMIT_EXCEEDED,
        (Refusal::Stopping, _) => AssociateRj::TEMPORARY_CONGESTION,
    }
}

/// The status of a C-STORE that failed for `error`.
pub const fn store_status(dialect: Dialect, error: &StoreError) -> Status {
    match error {
        // DCMTK answers C000H where it cannot make a folder, and the sender gives up for good.
        StoreError::Unconvertible(_)
        | StoreError::Io(_)
        | StoreError::StudyFolder(_)
        | StoreError::NoFreeName { .. }
        | StoreError::BadExtension
        | StoreError::BadPrefix
        | StoreError::Stalled(_)
        | StoreError::Journal(_)
        | StoreError::Index(_)
        | StoreError::LargerThanQuota { .. } => Status::OUT_OF_RESOURCES,
        StoreError::Scan(error) if error.is_resource_bound() => Status::OUT_OF_RESOURCES,
        // DIFFERENCES.md C6: each tool its own status for an empty data set.
        StoreError::Empty => match dialect {
            Dialect::Storescp | Dialect::Movescu | Dialect::Dcmqrscp => Status::OUT_OF_RESOURCES,
            Dialect::Dcmrecv | Dialect::Getscu => Status::CANNOT_UNDERSTAND,
        },
        StoreError::SopClassMismatch(_) | StoreError::SopInstanceMismatch(_) => {
            Status::DATA_SET_DOES_NOT_MATCH_SOP_CLASS
        }
        StoreError::NotAStorageClass(_) => Status::SOP_CLASS_NOT_SUPPORTED,
        StoreError::DuplicateRejected { .. } => Status::DUPLICATE_SOP_INSTANCE,
        _ => Status::CANNOT_UNDERSTAND,
    }
}

/// The status of a C-STORE-RQ that lacks a mandatory field (0212H, mistyped argument) or its data
/// set (C000H); DCMTK aborts, which costs the sender its other objects.
pub const fn incomplete_store(request: &StoreRequest) -> Status {
    match request.data_set_type {
        DataSetType::Absent => Status::CANNOT_UNDERSTAND,
        DataSetType::Present | DataSetType::Missing => Status::MISTYPED_ARGUMENT,
    }
}

/// The status of a C-FIND, C-MOVE or C-GET whose identifier cannot be used. The standard has A900H
/// for all of them (PS3.4 Table C.4-1); DCMTK has C000H for some.
pub const fn query_status(error: &QueryError, rules: Rules) -> Status {
    match error {
        QueryError::Identifier(IdentifierError::TooLong | IdentifierError::TooManyElements)
        | QueryError::TooManyValues(_) => Status::OUT_OF_RESOURCES,
        QueryError::Identifier(_) => Status::CANNOT_UNDERSTAND,
        QueryError::UnknownLevel
        | QueryError::LevelOutsideModel(_)
        | QueryError::NoUniqueKey(_)
            if matches!(rules.set, RuleSet::Dcmtk) =>
        {
            Status::CANNOT_UNDERSTAND
        }
        _ => Status::DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
    }
}

/// The status of a C-FIND, C-MOVE or C-GET that the index could not answer. Where the disk or memory is
/// to blame the same may succeed later, and is refused for want of resources (PS3.4 Tables C.4-1 to
/// C.4-3); where the index is, it may not.
pub fn index_status(service: QueryService, error: &IndexError) -> Status {
    match service {
        _ if !error.is_no_room() => Status::CANNOT_UNDERSTAND,
        QueryService::Find => Status::OUT_OF_RESOURCES,
        QueryService::Move | QueryService::Get => Status::TOO_MANY_MATCHES,
    }
}

/// True when the tool aborts the association after the status (DIFFERENCES.md C6: dcmrecv in
/// bit-preserving mode, when it cannot write).
pub const fn aborts_after(dialect: Dialect, mode: StoreMode, error: &StoreError) -> bool {
    matches!(
        (dialect, mode, error),
        (Dialect::Dcmrecv, StoreMode::BitPreserving, StoreError::Io(_))
    )
}

/// The maximum length that is printed for a peer without limit.
pub const fn shown_maximum_length(maximum_length: Option<u32>) -> u32 {
    match maximum_length {
        Some(bytes) => bytes,
        None => MAX_PDU_BYTES_MAX,
    }
}
