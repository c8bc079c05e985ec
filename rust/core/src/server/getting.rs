//! C-GET from the requestor's side: objects come over the association that asked for them.
//!
//! Source: PS3.7 §9.1.3, §9.3.3, PS3.4 §C.4.3. Once the request is sent, the association is served as a
//! receiver's is, by `association` and `store`, with the difference that responses to our own
//! request are taken. [`Getting::replies`] serves until the final response, or until some came and
//! the caller wants to see them; between two calls nothing is read. When the request is done the
//! requestor comes back with [`Getting::into_requestor`]. Called by the query tools through
//! `dcmfast._rust`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::association::{End, Handled, Link, Waiting};
use super::listener::Shared;
use super::narration::Narrator;
use super::store::{Asked, Exchange};
use crate::acse::negotiation::{AcceptedContext, AcceptedContexts, Roles};
use crate::ae_title::AeTitle;
use crate::client::query::{Pending, Reply};
use crate::client::{Aside, ClientError, Requestor};
use crate::dimse::message::append_command;
use crate::dimse::service::CancelRequest;
use crate::net::buffer::ReadBuffer;
use crate::net::tcp::{Connection, StopFlag};
use crate::ul::pdu::Abort;
use crate::ul::pdv::Fragmenter;
use crate::ul::provider::UpperLayer;

/// An association on which a C-GET is under way.
pub struct Getting {
    shared: Arc<Shared>,
    parts: Option<(Connection, UpperLayer, ReadBuffer)>,
    aside: Aside,
    exchange: Exchange,
    fragmenter: Fragmenter,
    pending: Pending,
    pdu_begun: Option<Instant>,
}

impl Getting {
    /// Takes over the association on which `pending` was sent; `shared` says how what comes is
    /// stored, `titles` are ours and the peer's.
    pub fn new(
        requestor: Requestor,
        shared: Arc<Shared>,
        pending: Pending,
        titles: (AeTitle, AeTitle),
    ) -> Self {
        let contexts: AcceptedContexts = requestor
            .contexts()
            .iter()
            .filter_map(|context| {
                Some(AcceptedContext {
                    id: context.id,
                    abstract_syntax: context.abstract_syntax,
                    transfer_syntax: context.transfer_syntax?,
                    roles: Roles { scu: true, scp: true },
                })
            })
            .collect();
        let fragmenter = requestor.fragmenter();
        let (connection, ul, buffer, aside) = requestor.put_aside();
        // Who sends is the peer: its title stands as the source of what comes.
        let (ours, theirs) = titles;
        let mut exchange = Exchange::new(contexts, fragmenter, (theirs, ours), None);
        exchange.asked = Some(Asked {
            context_id: pending.context_id,
            message_id: pending.message_id,
            replies: Vec::new(),
        });
        let parts = Some((connection, ul, buffer));
        Self { shared, parts, aside, exchange, fragmenter, pending, pdu_begun: None }
    }

    /// Receives objects until the final response came, or until `at_least` has passed and something
    /// came, an object or a response; gives the responses, the final one last.
    ///
    /// # Errors
    ///
    /// The peer's faults; the association has ended then.
    pub fn replies(&mut self, at_least: Duration) -> Result<Vec<Reply>, ClientError> {
        let Some((connection, ul, buffer)) = self.parts.take() else {
            return Err(ClientError::PeerGone(None));
        };
        let shared = Arc::clone(&self.shared);
        let service = &shared.service;
        let narrator =
            Narrator::new(Arc::clone(&service.logger), service.dialect, service.verbose_contexts);
        let (shared, pdu_begun) = (&*shared, self.pdu_begun);
        let mut link = Link {
            shared,
            service,
            narrator,
            connection,
            ul,
            buffer,
            pdu_begun,
            pace: None,
            is_slow: false,
            fault: None,
        };
        let result = served(&mut link, &mut self.exchange, at_least);
        let Link { mut connection, ul, buffer, pdu_begun, fault, .. } = link;
        // A PDU that drips over several portions has one deadline all the same.
        self.pdu_begun = pdu_begun;
        match result {
            Ok(replies) => {
                self.parts = Some((connection, ul, buffer));
                Ok(replies)
            }
            Err(end) => {
                connection.leave();
                Err(match end {
                    End::Released => ClientError::PeerReleased,
                    End::PeerAborted(abort) => ClientError::PeerAborted(abort),
                    End::PeerGone => ClientError::PeerGone(None),
                    End::TimedOut => ClientError::TimedOut,
                    End::Aborted => ClientError::Protocol(
                        fault.unwrap_or_else(|| "what came could not be stored".into()),
                    ),
                })
            }
        }
    }

    /// Sends C-CANCEL; objects in hand and responses go on up to a final one (PS3.7 §9.3.3.3).
    ///
    /// # Errors
    ///
    /// The connection's.
    pub fn cancel(&mut self) -> Result<(), ClientError> {
        let Some((connection, ..)) = &mut self.parts else {
            return Err(ClientError::PeerGone(None));
        };
        let message_id_being_responded_to = self.pending.message_id;
        let request = CancelRequest { message_id_being_responded_to };
        let mut pdu = Vec::with_capacity(128);
        let context_id = self.pending.context_id;
        append_command(&mut pdu, &self.fragmenter, context_id, |out| request.encode(out));
        connection.write(&pdu)?;
        Ok(())
    }

    /// Raised, it ends what [`Getting::replies`] does, soon after the object in hand.
    pub fn stop(&self) -> StopFlag {
        self.shared.stop.clone()
    }

    /// The requestor again; `None` when the association has ended.
    pub fn into_requestor(self) -> Option<Requestor> {
        let (connection, ul, buffer) = self.parts?;
        Some(Requestor::resume(connection, ul, buffer, self.aside))
    }
}

fn served(
    link: &mut Link<'_>,
    exchange: &mut Exchange,
    at_least: Duration,
) -> Result<Vec<Reply>, End> {
    let until = Instant::now() + at_least;
    let mut replies: Vec<Reply> = Vec::new();
    let mut has_read = false;
    loop {
        let handled = link.handle_block(exchange);
        if let Some(asked) = &mut exchange.asked {
            replies.append(&mut asked.replies);
        }
        if replies.last().is_some_and(Reply::is_final) {
            // Whatever stands behind it, the request is done.
            return Ok(replies);
        }
        let wanted_bytes = match handled? {
            Handled::All { wanted_bytes } => wanted_bytes,
            // A receiver performs no queries, and has answered this one.
            Handled::UpTo(_) => return Err(link.abort(Abort::USER)),
            Handled::Answered => return Ok(replies),
        };
        // Objects alone end a portion, too: the caller may be who takes them, one portion at a time.
        if has_read && Instant::now() >= until {
            return Ok(replies);
        }
        let waiting =
            if exchange.is_idle() { Waiting::NextMessage } else { Waiting::RestOfMessage };
        if waiting == Waiting::NextMessage {
            link.buffer.shrink();
        }
        // What came is handed out in time, though nothing follows it for a while.
        let read = if replies.is_empty() {
            link.read(wanted_bytes, waiting).map(|()| true)
        } else {
            link.read_until(wanted_bytes, until)
        };
        match read {
            Ok(true) => has_read = true,
            Ok(false) => return Ok(replies),
            Err(end) => return Err(link.read_ended(exchange, &end)),
        }
    }
}
