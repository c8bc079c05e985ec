//! A storage area: files, index and redo log, kept together.
//!
//! [`StorageArea`](area::StorageArea) takes an instance from its first fragment to the moment when
//! success may be said (PROMISES.md §4): the instance stands as one record in the journal
//! (`storage::journal`), with its index entry and, when it is small, the whole file. That record is
//! points A and B of the ordering promise. Whether it may be stored at all (duplicates, quota) is
//! decided before, under a claim on its SOP Instance UID.
//!
//! ```text
//! association: receiver ─▶ checks ─▶ claim ─▶ duplicate? quota? ─▶ journal ─▶ response
//!                                                                     │ in order
//! one thread:                                  files ◀── applier ◀────┘
//!                                     index commit ◀──┘     │ wakes whoever waits at the barrier
//! one thread:                     checkpoint: sync, then the journal's space is free again
//! ```
//!
//! Everything after the response is repeated from the journal if the process ends meanwhile. A query
//! first passes the [barrier](area::StorageArea::barrier): what was acknowledged before it came is
//! in the index then.
//!
//! Beside it stand the tools for an index: [`verify`], [`rebuild`], [`exchange`] (export, import)
//! and [`register`]; what they share is in [`maintenance`].
//!
//! Called by `server` and the Python layer.

pub mod applier;
pub mod area;
pub mod background;
pub mod beside;
pub mod exchange;
pub mod files;
pub mod indexed;
pub mod layout;
pub mod listing;
pub mod maintenance;
mod parallel;
pub mod progress;
pub mod quota;
pub mod rebuild;
pub mod receiver;
pub mod record;
pub mod register;
pub mod remake;
mod spare;
mod undeleted;
pub mod verify;
