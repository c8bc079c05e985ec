//! An association as DCMTK 3.6.7 shows it: the block that opens and closes with `A-ASSOCIATE-RQ` or
//! `-AC`, for acceptors and requestors alike.
//!
//! Text of the peer passes `log::escaped`, and no secret is shown (PROMISES.md §5.4). Used by
//! `server::narration` and by the requestors' front ends.

use std::fmt;

use crate::ae_title::AeTitle;
use crate::dictionary::uids::name_of;
use crate::log::escaped;
use crate::uid::UidText;
use crate::ul::pdu::{PresentationResult, UidItem};

/// A SOP class with its service class application information.
pub type Information<'a> = (UidText, &'a [u8]);

/// An association as the block of DCMTK 3.6.7 shows it.
pub struct AssociationBlock<'a> {
    /// `A-ASSOCIATE-RQ` or `A-ASSOCIATE-AC`.
    pub kind: &'static str,
    /// Ours: implementation class UID, version name.
    pub our_implementation: (&'static str, &'static str),
    /// The peer's.
    pub their_implementation: (String, String),
    /// Application context name as sent.
    pub application_context: UidItem,
    /// Calling AE title.
    pub calling: AeTitle,
    /// Called AE title.
    pub called: AeTitle,
    /// Responding AE title; `None` in a request.
    pub responding: Option<AeTitle>,
    /// Maximum lengths in bytes: ours, theirs.
    pub max_pdu_bytes: (u32, u32),
    /// The presentation contexts.
    pub contexts: Vec<ContextBlock>,
    /// SOP Class Extended Negotiation as requested: SOP class and service class application
    /// information; and as accepted.
    pub extended_negotiation: (Vec<Information<'a>>, Vec<Information<'a>>),
    /// User identity as requested, without secrets.
    pub user_identity: Option<UserIdentityBlock<'a>>,
}

/// User identity negotiation as a block shows it. Passcodes, tickets and assertions are never
/// printed (PROMISES.md §5.4), where DCMTK prints them.
pub struct UserIdentityBlock<'a> {
    /// User-Identity-Type, PS3.7 Table D.3-14.
    pub kind: u8,
    /// The user name, for kinds 1 and 2.
    pub user_name: Option<&'a [u8]>,
    /// The peer wants a positive response.
    pub response_requested: bool,
}

/// One context of an [`AssociationBlock`].
pub struct ContextBlock {
    /// Presentation context ID.
    pub id: u8,
    /// `None` in a request, else the result of PS3.8 Table 9-18.
    pub result: Option<PresentationResult>,
    /// Abstract syntax.
    pub abstract_syntax: UidItem,
    /// Proposed roles (SCU, SCP); `None` when no role selection was sent.
    pub proposed_role: Option<(bool, bool)>,
    /// Accepted roles; `None` for the default.
    pub accepted_role: Option<(bool, bool)>,
    /// In a request those proposed, in an answer the accepted one.
    pub transfer_syntaxes: Vec<UidText>,
}

fn role_name(role: Option<(bool, bool)>) -> &'static str {
    match role {
        None | Some((false, false)) => "Default",
        Some((true, false)) => "SCU",
        Some((false, true)) => "SCP",
        Some((true, true)) => "SCP/SCU",
    }
}

/// `=CTImageStorage`, or the UID itself when it has no name.
fn uid_name(uid: &[u8]) -> String {
    name_of(uid).map_or_else(|| escaped(uid).to_string(), |name| format!("={name}"))
}

/// `Title` and a SOP class with its bytes in hexadecimal each, or `Title` and `none`.
fn write_extended_negotiation(
    out: &mut fmt::Formatter<'_>,
    title: &str,
    none: &str,
    entries: &[Information<'_>],
) -> fmt::Result {
    if entries.is_empty() {
        return writeln!(out, "{title}{none}");
    }
    writeln!(out, "{title}")?;
    for (sop_class_uid, information) in entries {
        let uid = sop_class_uid.as_bytes();
        writeln!(out, "  {} ({})", uid_name(uid), escaped(uid))?;
        let bytes: Vec<String> = information.iter().map(|byte| format!("0x{byte:02x}")).collect();
        writeln!(out, "    [{}]", bytes.join(", "))?;
    }
    Ok(())
}

impl fmt::Display for AssociationBlock<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind;
        writeln!(out, "====================== BEGIN {kind} =====================")?;
        writeln!(out, "Our Implementation Class UID:      {}", self.our_implementation.0)?;
        writeln!(out, "Our Implementation Version Name:   {}", self.our_implementation.1)?;
        let (uid, version) = &self.their_implementation;
        writeln!(out, "Their Implementation Class UID:    {uid}")?;
        writeln!(out, "Their Implementation Version Name: {version}")?;
        let name = self.application_context.text();
        let name = name.as_ref().map_or(&[][..], |uid| uid.as_bytes());
        let title = |title: &AeTitle| escaped(title.as_bytes()).to_string();
        let responding = self.responding.as_ref().map(title).unwrap_or_default();
        writeln!(out, "Application Context Name:    {}", escaped(name))?;
        writeln!(out, "Calling Application Name:    {}", title(&self.calling))?;
        writeln!(out, "Called Application Name:     {}", title(&self.called))?;
        writeln!(out, "Responding Application Name: {responding}")?;
        writeln!(out, "Our Max PDU Receive Size:    {}", self.max_pdu_bytes.0)?;
        writeln!(out, "Their Max PDU Receive Size:  {}", self.max_pdu_bytes.1)?;
        writeln!(out, "Presentation Contexts:")?;
        for context in &self.contexts {
            let state = context.result.map_or("Proposed", PresentationResult::text);
            let abstract_syntax = match context.abstract_syntax.text() {
                Some(uid) => uid_name(uid.as_bytes()),
                None => context.abstract_syntax.to_string(),
            };
            writeln!(out, "  Context ID:        {} ({state})", context.id)?;
            writeln!(out, "    Abstract Syntax: {abstract_syntax}")?;
            writeln!(out, "    Proposed SCP/SCU Role: {}", role_name(context.proposed_role))?;
            if context.result.is_none() {
                writeln!(out, "    Proposed Transfer Syntax(es):")?;
                for syntax in &context.transfer_syntaxes {
                    writeln!(out, "      {}", uid_name(syntax.as_bytes()))?;
                }
            } else {
                writeln!(out, "    Accepted SCP/SCU Role: {}", role_name(context.accepted_role))?;
                for syntax in &context.transfer_syntaxes {
                    let name = uid_name(syntax.as_bytes());
                    writeln!(out, "    Accepted Transfer Syntax: {name}")?;
                }
            }
        }
        let (requested, accepted) = &self.extended_negotiation;
        write_extended_negotiation(out, "Requested Extended Negotiation:", " none", requested)?;
        write_extended_negotiation(out, "Accepted Extended Negotiation:", "  none", accepted)?;
        match &self.user_identity {
            None => writeln!(out, "Requested User Identity Negotiation: none")?,
            Some(identity) => {
                let kind = match identity.kind {
                    1 => "1: Username",
                    2 => "2: Username/Password",
                    3 => "3: Kerberos",
                    4 => "4: SAML",
                    5 => "5: JWT",
                    _ => "unknown",
                };
                writeln!(out, "Requested User Identity Negotiation:")?;
                writeln!(out, "  Authentication mode {kind}")?;
                if let Some(name) = identity.user_name {
                    writeln!(out, "  Username: [{}]", escaped(name))?;
                }
                let requested = if identity.response_requested { "Yes" } else { "No" };
                writeln!(out, "  Positive Response requested: {requested}")?;
            }
        }
        writeln!(out, "User Identity Negotiation Response:  none")?;
        write!(out, "======================= END {kind} ======================")
    }
}
