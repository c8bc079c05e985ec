//! C-FIND, C-MOVE and C-GET whose answers are not kept: identifiers and objects are handed on as
//! they come.
//!
//! Source: PS3.7 §9.1.2 to §9.1.4, PS3.4 Annex C. Messages are joined by `query`'s inbox; the objects of a
//! C-GET come over the requestor's own association and are answered with what the [`Taker`] says. An
//! identifier is held, up to `IDENTIFIER_BYTES_MAX`; an object never is. The timeout counts from the last
//! thing that brought the end nearer, so that a peer that is pending for ever does not keep us for ever.
//! Called by `load`.

use super::query::{Incoming, Objects, Pending, ResponseData};
use super::{ClientError, Event, Requestor, Wait};
use crate::ae_title::AeTitle;
use crate::dimse::service::{QueryService, SubOperations};
use crate::dimse::status::Status;
use crate::log::escaped;
use crate::ul::pdu::Abort;

/// Who is handed what an operation brings.
pub trait Taker: Objects {
    /// The identifier of a pending response, in the transfer syntax of the request's context.
    ///
    /// # Errors
    ///
    /// What is wrong with it: the association is aborted.
    fn identifier(&mut self, bytes: &[u8]) -> Result<(), String>;
}

/// The final response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final {
    /// Status.
    pub status: Status,
    /// Sub-operations, of a C-MOVE or C-GET.
    pub sub_operations: Option<SubOperations>,
    /// Error comment, escaped.
    pub comment: String,
}

impl Requestor {
    /// Does one C-FIND, C-MOVE or C-GET: sends the request with `identifier`, and hands what comes to
    /// `taker` until the final response.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoContext`], and the peer's faults; the association is of no more use then.
    pub fn operate(
        &mut self,
        service: QueryService,
        context_id: u8,
        destination: Option<AeTitle>,
        identifier: &[u8],
        taker: &mut impl Taker,
    ) -> Result<Final, ClientError> {
        let read = ResponseData::Read;
        let pending = self.begin_query(service, context_id, destination, identifier, read)?;
        let Pending { service, context_id, message_id } = pending;
        let patience = self.dimse_timeout.or(self.socket_timeout);
        let mut wait = Wait::restarted_every(patience);
        // The most sub-operations that were told to be done.
        let mut most_done = 0_u32;
        loop {
            let fragmenter = self.fragmenter;
            let objects: Option<Incoming<'_>> = (service == QueryService::Get).then(|| Incoming {
                objects: taker,
                fragmenter,
                out: Vec::new(),
            });
            let Event::Response(reply) = self.next(&mut wait, objects)? else {
                return Err(self.protocol("an answer out of place".into()));
            };
            if let Err(why) = reply.answers(service.command_field(), context_id, message_id) {
                return Err(self.protocol(why));
            }
            if let Some(counts) = reply.sub_operations {
                let done = [counts.completed, counts.failed, counts.warning];
                let done = done.into_iter().map(u32::from).sum();
                if done > most_done {
                    most_done = done;
                    wait.restart();
                }
            }
            if reply.is_final() {
                // A data set of the last one is a list of failed UIDs, or nothing that we asked for.
                return Ok(Final {
                    status: reply.status,
                    sub_operations: reply.sub_operations,
                    comment: escaped(reply.error_comment.as_deref().unwrap_or_default())
                        .to_string(),
                });
            }
            if let Some(bytes) = &reply.identifier {
                if let Err(why) = taker.identifier(bytes) {
                    self.abort_with(Abort::USER);
                    return Err(ClientError::Protocol(why));
                }
            }
        }
    }
}
