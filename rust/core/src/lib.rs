//! The engine of dcmfast. It knows no Python and can be built, tested and fuzzed without it.
//!
//! Read it in the order in which a byte travels: `net` (a transport connection) → `ul` (PS3.8:
//! bytes become PDUs and events) → `acse` (negotiation against the tables of `policy`) → `dimse`
//! (PS3.7: commands and data-set fragments) → `dataset` (PS3.5: the scanner that watches the
//! fragments) → `storage` (PS3.10: the file). `server` and `client` hold the loops that join them.
//!
//! Layers, from below (`tests/test_layering.py` reads the imports): `{uid, ae_title, tag, vr,
//! limits, log, console}` ← `{policy, ul, dataset, dictionary}` ← `{acse, dimse}` ← `{net,
//! storage}` ← `{server, client, load, recording, sending}`. `ul`, `acse`, `dimse`, `dataset` and
//! `policy` do no I/O, start
//! no thread and read no clock.

pub mod acse;
pub mod ae_title;
pub mod archive;
pub mod client;
pub mod console;
pub mod dataset;
pub mod dictionary;
pub mod dimse;
pub mod index;
pub mod limits;
pub mod load;
pub mod log;
pub mod mixing;
pub mod net;
pub mod policy;
pub mod recording;
pub mod sending;
pub mod server;
pub mod storage;
pub mod tag;
pub mod uid;
pub mod ul;
pub mod vr;
