//! Fault rules as Python reads them (`config/faults.py`), as the engine applies them.

use std::num::NonZeroU32;
use std::time::Duration;

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::dimse::status::Status;
use dcmfast_core::server::Faults;
use dcmfast_core::server::faults::{Effect, Ending, Event, FaultRule, Place};
use dcmfast_core::uid::UidText;
use dcmfast_core::ul::pdu::AssociateRj;
use pyo3::prelude::*;

use crate::server::unknown;

/// `dcmfast.config.faults.FaultRule`.
#[derive(FromPyObject)]
pub struct FaultRecord {
    event: String,
    place: String,
    every: u32,
    rate: Option<u64>,
    sop_class: String,
    calling: Option<String>,
    delay_ms: u64,
    slow_read: u32,
    ending: String,
    status: u16,
    rejection: (u8, u8, u8),
    is_dial: bool,
}

impl FaultRecord {
    fn compile(self) -> PyResult<FaultRule> {
        let (result, source, reason) = self.rejection;
        Ok(FaultRule {
            event: match &*self.event {
                "association" => Event::Association,
                "echo" => Event::Echo,
                "store" => Event::Store,
                other => return Err(unknown("event", other)),
            },
            place: match &*self.place {
                "data" => Place::Data,
                "fragment" => Place::Fragment,
                "response" => Place::Response,
                "next" => Place::Next,
                other => return Err(unknown("place", other)),
            },
            every: NonZeroU32::new(self.every),
            rate: self.rate,
            sop_class: match &*self.sop_class {
                "" => None,
                uid => Some(UidText::new(uid.as_bytes()).ok_or_else(|| unknown("UID", uid))?),
            },
            calling_ae_title: self.calling.map(|title| AeTitle::new(title.as_bytes())),
            effect: Effect {
                delay: Duration::from_millis(self.delay_ms),
                ending: match &*self.ending {
                    "" => None,
                    "status" => Some(Ending::Status(Status(self.status))),
                    "reject" => Some(Ending::Reject(AssociateRj { result, source, reason })),
                    "abort" => Some(Ending::Abort),
                    "close" => Some(Ending::Close),
                    "truncate" => Some(Ending::Truncate),
                    other => return Err(unknown("action", other)),
                },
            },
            slow_read: NonZeroU32::new(self.slow_read),
            is_dial: self.is_dial,
        })
    }
}

/// The rules of one server; `None` without any.
pub fn compile(records: Vec<FaultRecord>, seed: u64) -> PyResult<Option<Faults>> {
    if records.is_empty() {
        return Ok(None);
    }
    let rules = records.into_iter().map(FaultRecord::compile).collect::<PyResult<_>>()?;
    Ok(Some(Faults::new(rules, seed)?))
}
