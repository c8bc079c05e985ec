//! Where two events differ.
//!
//! Source: PS3.8 §9.3 (fields that are not tested), PS3.7 Annex D.3.3 (user information) and Annex E
//! (commands). What a peer names anew each time is learned on the way, and what a user wishes to be
//! ignored is none. Called by `recording::replay::play`.

use std::fmt::Write as _;

use super::super::happened::{Gathered, Happened};
use super::cancel::Cancel;
use super::cancel::is_end_of_cancelled;
use super::{Aspect, Names, Plan, Play};
use crate::ae_title::AeTitle;
use crate::dataset::character_set::CharacterSet;
use crate::dataset::dump::Shown;
use crate::dataset::walk::{Place, Visitor, Walk};
use crate::dimse::command_set::{CommandSet, Field};
use crate::dimse::service::command_field::{C_CANCEL_RQ, RESPONSE_BIT};
use crate::limits::RECORDING_SHOWN_VALUE_BYTES;
use crate::recording::conversation::command_set;
use crate::recording::describe::result;
use crate::ul::pdu::{AssociateAc, AssociateRq, PduType, TitleFields, UserInformation};
use crate::vr::Vr;

impl Play<'_> {
    /// Where two events differ; `None` where they do not.
    pub fn compare(&mut self, expected: &Happened, came: &Happened) -> Option<String> {
        let Self { plan, names, cancel, .. } = self;
        Comparer { plan, names, cancel }.compare(expected, came)
    }
}

/// True where a peer that did the one may be who did the other.
pub fn are_alike(plan: &Plan, one: &Happened, other: &Happened) -> bool {
    let (mut names, cancel) = (Names::default(), Cancel::default());
    Comparer { plan, names: &mut names, cancel: &cancel }.compare(one, other).is_none()
}

/// What decides whether two events are the same.
struct Comparer<'c> {
    plan: &'c Plan,
    names: &'c mut Names,
    cancel: &'c Cancel,
}

impl Comparer<'_> {
    fn is_ignored(&self, aspect: Aspect) -> bool {
        self.plan.ignored.contains(&aspect)
    }

    fn compare(&mut self, expected: &Happened, came: &Happened) -> Option<String> {
        match (expected, came) {
            (Happened::AssociateRq(expected), Happened::AssociateRq(came)) => {
                self.requests(expected, came)
            }
            (Happened::AssociateAc(expected), Happened::AssociateAc(came)) => {
                self.accepts(expected, came)
            }
            (Happened::Short(one, expected), Happened::Short(other, came)) if one == other => {
                // Reserved fields are not tested (PS3.8 §9.3).
                let significant: &[usize] = match one {
                    PduType::AssociateRj => &[1, 2, 3],
                    PduType::Abort if expected.get(2) == Some(&0) => &[2],
                    PduType::Abort => &[2, 3],
                    _ => &[],
                };
                let names = ["", "Result", "Source", "Reason/Diag."];
                let at = significant.iter().find(|at| expected.get(**at) != came.get(**at))?;
                let (one, other) = (expected.get(*at), came.get(*at));
                let name = names.get(*at).copied().unwrap_or_default();
                Some(format!("{name}: expected {}, came {}", number(one), number(other)))
            }
            (
                Happened::Command { context_id, bytes },
                Happened::Command { context_id: other, bytes: came },
            ) => {
                if context_id != other {
                    let text = "Presentation-context-ID";
                    return Some(format!("{text}: expected {context_id}, came {other}"));
                }
                self.commands(bytes, came)
            }
            (
                Happened::DataSet { context_id, data_set },
                Happened::DataSet { context_id: other, data_set: came },
            ) => {
                if context_id != other {
                    let text = "Presentation-context-ID";
                    return Some(format!("{text}: expected {context_id}, came {other}"));
                }
                self.data_sets(data_set, came)
            }
            (Happened::Unreadable(_), Happened::Unreadable(_))
            | (Happened::Closed | Happened::Reset, Happened::Closed | Happened::Reset) => None,
            _ => Some("another event".into()),
        }
    }

    fn requests(&self, expected: &AssociateRq, came: &AssociateRq) -> Option<String> {
        self.titles_of(&expected.titles, &came.titles)
            .or_else(|| {
                let one = expected.application_context.to_string();
                let other = came.application_context.to_string();
                differing("Application-context-name", &one, &other)
            })
            .or_else(|| {
                let all = |request: &AssociateRq| -> Vec<(u8, String)> {
                    let one = |context: &crate::ul::pdu::ProposedContext| {
                        let mut text = context.abstract_syntax.to_string();
                        for syntax in &context.transfer_syntaxes {
                            let _ = write!(text, " {}", String::from_utf8_lossy(syntax.as_bytes()));
                        }
                        (context.id, text)
                    };
                    request.contexts.iter().map(one).collect()
                };
                contexts(&all(expected), &all(came))
            })
            .or_else(|| {
                self.users(expected.user_information.as_ref(), came.user_information.as_ref())
            })
    }

    fn accepts(&self, expected: &AssociateAc, came: &AssociateAc) -> Option<String> {
        let all = |accept: &AssociateAc| -> Vec<(u8, String)> {
            let one = |context: &crate::ul::pdu::ContextResult| {
                let byte = context.result.byte();
                let mut text = format!("Result/Reason {byte} ({})", result(context.result));
                // Not significant for a refused one (PS3.8 §9.3.3.2).
                if byte == 0 {
                    let _ = write!(text, ", Transfer-syntax-name {}", context.transfer_syntax);
                }
                (context.id, text)
            };
            accept.contexts.iter().map(one).collect()
        };
        contexts(&all(expected), &all(came)).or_else(|| {
            self.users(expected.user_information.as_ref(), came.user_information.as_ref())
        })
    }

    fn titles_of(&self, expected: &TitleFields, came: &TitleFields) -> Option<String> {
        if self.is_ignored(Aspect::Titles) {
            return None;
        }
        let text = |title: AeTitle| crate::log::escaped(title.as_bytes()).to_string();
        let called = (text(expected.called_ae_title()), text(came.called_ae_title()));
        let calling = (text(expected.calling_ae_title()), text(came.calling_ae_title()));
        differing("Called-AE-title", &called.0, &called.1)
            .or_else(|| differing("Calling-AE-title", &calling.0, &calling.1))
    }

    fn users(
        &self,
        expected: Option<&UserInformation>,
        came: Option<&UserInformation>,
    ) -> Option<String> {
        let (Some(expected), Some(came)) = (expected, came) else {
            let word = |is_there: bool| if is_there { "present" } else { "absent" };
            let (one, other) = (word(expected.is_some()), word(came.is_some()));
            return differing("User Information Item", one, other);
        };
        if !self.is_ignored(Aspect::MaximumLength) && expected.maximum_length != came.maximum_length
        {
            let text =
                |bytes: Option<u32>| bytes.map_or("absent".into(), |bytes| bytes.to_string());
            let (one, other) = (text(expected.maximum_length), text(came.maximum_length));
            return differing("Maximum-length-received", &one, &other);
        }
        if !self.is_ignored(Aspect::Implementation) {
            let text = |information: &UserInformation| {
                let name = information.implementation_version_name.as_deref().unwrap_or_default();
                let class = information.implementation_class_uid;
                format!("{class} {}", crate::log::escaped(name))
            };
            let differs = differing("Implementation", &text(expected), &text(came));
            if differs.is_some() {
                return differs;
            }
        }
        let roles = |information: &UserInformation| format!("{:?}", information.roles);
        differing("SCP/SCU Role Selection", &roles(expected), &roles(came))
            .or_else(|| {
                let extended = |information: &UserInformation| {
                    format!("{:?}", information.extended_negotiation)
                };
                differing("SOP Class Extended Negotiation", &extended(expected), &extended(came))
            })
            .or_else(|| {
                let common =
                    |one: &UserInformation| format!("{:?}", one.common_extended_negotiation);
                let name = "SOP Class Common Extended Negotiation";
                differing(name, &common(expected), &common(came))
            })
            .or_else(|| {
                let window = |information: &UserInformation| {
                    information.asynchronous_operations.map_or_else(
                        || "absent".into(),
                        |window| {
                            format!("{} invoked, {} performed", window.invoked, window.performed)
                        },
                    )
                };
                differing("Asynchronous Operations Window", &window(expected), &window(came))
            })
            .or_else(|| {
                differing("User Identity Negotiation", &identity(expected), &identity(came))
            })
            .or_else(|| {
                let response = |information: &UserInformation| {
                    let response = information.user_identity_response.as_ref();
                    response.map_or("absent", |_| "present")
                };
                let name = "User Identity Negotiation, response";
                differing(name, response(expected), response(came))
            })
    }

    fn commands(&mut self, expected: &[u8], came: &[u8]) -> Option<String> {
        let (expected, came) = match (command_set(expected, 0), command_set(came, 0)) {
            (Ok(expected), Ok(came)) => (expected, came),
            (Err(one), Err(other)) => return differing("Command Set", &one, &other),
            (Ok(_), Err(why)) | (Err(why), Ok(_)) => return Some(why),
        };
        // The command itself says most, then its status.
        let first = [Field::CommandField, Field::Status];
        let rest = Field::ALL.into_iter().filter(|field| !first.contains(field));
        for field in first.into_iter().chain(rest) {
            let differs = self.field(field, &expected, &came);
            if differs.is_some() {
                return differs;
            }
        }
        None
    }

    /// Where the two have another value in `field`; what may differ in requests is learned.
    fn field(
        &mut self,
        field: Field,
        expected: &CommandSet<'_>,
        came: &CommandSet<'_>,
    ) -> Option<String> {
        let command = came.us(Field::CommandField).unwrap_or_default();
        let is_request = command & RESPONSE_BIT == 0;
        let pair = (expected.value(field).map(trimmed), came.value(field).map(trimmed));
        let is_ignored = match field {
            // It came in time, or it did not.
            Field::Status if self.cancel.is_comparing_finals => is_end_of_cancelled(expected, came),
            Field::NumberOfRemainingSubOperations
            | Field::NumberOfCompletedSubOperations
            | Field::NumberOfFailedSubOperations
            | Field::NumberOfWarningSubOperations
                if self.cancel.is_comparing =>
            {
                true
            }
            Field::ErrorComment if self.cancel.is_comparing_finals => true,
            Field::ErrorComment | Field::ErrorId => self.is_ignored(Aspect::Comments),
            Field::MoveDestination | Field::MoveOriginatorApplicationEntityTitle => {
                self.is_ignored(Aspect::Titles)
            }
            Field::MoveOriginatorMessageId => self.is_ignored(Aspect::MessageIds),
            Field::NumberOfRemainingSubOperations
            | Field::NumberOfCompletedSubOperations
            | Field::NumberOfFailedSubOperations
            | Field::NumberOfWarningSubOperations => self.is_ignored(Aspect::Counters),
            Field::MessageId => {
                let ids = &mut self.names.message_ids;
                if let (Some(one), Some(other)) = (expected.us(field), came.us(field)) {
                    // 65,536 are all that there are.
                    ids.insert(one, other);
                }
                self.is_ignored(Aspect::MessageIds)
            }
            // C-CANCEL names the peer's own request.
            Field::MessageIdBeingRespondedTo if command == C_CANCEL_RQ => {
                self.is_ignored(Aspect::MessageIds)
            }
            Field::AffectedSopInstanceUid | Field::RequestedSopInstanceUid if is_request => {
                if let (Some(one), Some(other)) = pair {
                    self.names.learn_uid(one, other);
                }
                self.is_ignored(Aspect::Uids)
            }
            // Any other number than 0101H says the same (PS3.7 Annex E.1).
            Field::CommandDataSetType => expected.announces_data_set() == came.announces_data_set(),
            _ => false,
        };
        if is_ignored || pair.0 == pair.1 {
            return None;
        }
        let tag = crate::tag::Tag::new(0, field.element());
        let name = crate::dictionary::keyword_of(tag).unwrap_or_default();
        let text = |set: &CommandSet<'_>, value: Option<&[u8]>| match (value, set.us(field)) {
            (None, _) => "absent".into(),
            (Some(_), Some(word)) if field == Field::Status => format!("{word:04X}H"),
            (Some(_), Some(word)) if field == Field::CommandField => format!("{word:04X}H"),
            (Some(value), _) if is_text(field) => crate::log::escaped(value).to_string(),
            (Some(_), Some(word)) => word.to_string(),
            (Some(value), None) => crate::log::escaped(value).to_string(),
        };
        let (one, other) = (text(expected, pair.0), text(came, pair.1));
        Some(format!("{name} {tag}: expected {one}, came {other}"))
    }

    fn data_sets(&self, expected: &Gathered, came: &Gathered) -> Option<String> {
        if self.is_ignored(Aspect::DataSets) || expected.left_out > 0 {
            return None;
        }
        if expected.total == came.total && expected.digest.digest() == came.digest.digest() {
            return None;
        }
        let lenient = self.is_ignored(Aspect::Uids) || self.is_ignored(Aspect::Dates);
        if !expected.is_whole() || !came.is_whole() {
            let (one, other) = (expected.total, came.total);
            if lenient {
                return None;
            }
            return Some(format!("Data Set: expected {one} bytes, came {other}, or others"));
        }
        let ignored = |vr: Vr| match &vr.0 {
            b"UI" => self.is_ignored(Aspect::Uids),
            b"DA" | b"DT" | b"TM" => self.is_ignored(Aspect::Dates),
            _ => false,
        };
        let ((one, is_one_whole), (other, is_other_whole)) = (elements(expected), elements(came));
        for (expected, came) in one.iter().zip(&other) {
            let is_same = expected.place == came.place || {
                // The length of a value that may differ may differ, too.
                let lengths = Place { length: came.place.length, ..expected.place };
                lengths == came.place
            };
            if is_same && (ignored(expected.place.vr) || expected.value == came.value) {
                continue;
            }
            return Some(format!("Data Set: expected {}, came {}", expected.text, came.text));
        }
        match (one.get(other.len()), other.get(one.len())) {
            (Some(missing), _) => {
                Some(format!("Data Set: expected {}, came nothing", missing.text))
            }
            (_, Some(extra)) => {
                Some(format!("Data Set: expected nothing more, came {}", extra.text))
            }
            // What differs is padding of what was compared, or what may differ.
            _ if is_one_whole && is_other_whole && !one.is_empty() => None,
            _ => Some("Data Set: other bytes behind what can be read".into()),
        }
    }
}

/// A value without its padding.
pub fn trimmed(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| *byte != 0 && *byte != b' ').map_or(0, |at| at + 1);
    // A number may end in zero bytes.
    if value.len() <= 4 { value } else { value.get(..end).unwrap_or_default() }
}

const fn is_text(field: Field) -> bool {
    matches!(
        field,
        Field::ErrorComment
            | Field::MoveDestination
            | Field::MoveOriginatorApplicationEntityTitle
            | Field::AffectedSopClassUid
            | Field::RequestedSopClassUid
            | Field::AffectedSopInstanceUid
            | Field::RequestedSopInstanceUid
    )
}

/// A user identity without what it says, which no recording that is shared has (`treat`) and which may be
/// another each time (a token): its type, what is asked for, and which fields are there.
fn identity(information: &UserInformation) -> String {
    information.user_identity.as_ref().map_or_else(
        || "absent".into(),
        |identity| {
            let asks =
                if identity.positive_response_requested { "a response" } else { "no response" };
            let [one, other] = [&identity.primary_field, &identity.secondary_field]
                .map(|field| if field.is_empty() { "empty" } else { "present" });
            let kind = identity.identity_type;
            format!("type {kind}, {asks} requested, fields {one} and {other}")
        },
    )
}

fn number(byte: Option<&u8>) -> String {
    byte.map_or_else(|| "nothing".into(), ToString::to_string)
}

fn differing(name: &str, expected: &str, came: &str) -> Option<String> {
    (expected != came).then(|| format!("{name}: expected {expected}, came {came}"))
}

/// Where two lists of presentation contexts differ.
fn contexts(expected: &[(u8, String)], came: &[(u8, String)]) -> Option<String> {
    for (id, one) in expected {
        let other = came.iter().find(|(other, _)| other == id);
        let other = other.map_or("nothing", |(_, other)| other.as_str());
        if one != other {
            return Some(format!("Presentation Context {id}: expected {one}, came {other}"));
        }
    }
    let extra = came.iter().find(|(id, _)| !expected.iter().any(|(other, _)| other == id));
    extra.map(|(id, text)| format!("Presentation Context {id}: expected nothing, came {text}"))
}

/// An element of a data set that is compared.
struct Compared {
    place: Place,
    value: Vec<u8>,
    text: String,
}

#[derive(Default)]
struct Gathering {
    done: Vec<Compared>,
    place: Option<Place>,
    value: Vec<u8>,
}

impl Gathering {
    fn put(&mut self) {
        let Some(place) = self.place.take() else { return };
        let value = std::mem::take(&mut self.value);
        let Place { tag, vr, length, depth, is_opening, is_big_endian } = place;
        let shown = value.get(..value.len().min(RECORDING_SHOWN_VALUE_BYTES)).unwrap_or_default();
        let shown = Shown { tag, vr, length, value: shown, depth, is_opening, is_big_endian };
        let (text, _) = shown.text(CharacterSet::default());
        let keyword = crate::dictionary::keyword_of(tag).unwrap_or_default();
        let text = format!("{tag} {vr} {keyword} {text}");
        self.done.push(Compared { place, value, text });
    }
}

impl Visitor for Gathering {
    fn header(&mut self, place: Place) {
        self.place = Some(place);
        self.value.clear();
        if place.is_opening {
            self.put();
        }
    }

    fn value(&mut self, bytes: &[u8], is_end: bool) {
        self.value.extend_from_slice(bytes);
        if is_end {
            self.put();
        }
    }
}

/// The elements of a data set that is held whole, and whether that is all; those before what is none.
fn elements(data_set: &Gathered) -> (Vec<Compared>, bool) {
    let Some(syntax) = data_set.syntax else { return (Vec::new(), false) };
    let mut gathering = Gathering::default();
    let mut walk = Walk::new(syntax);
    let walked = if syntax.is_deflated {
        let inflated = crate::dataset::identifier::inflated(syntax, &data_set.bytes);
        inflated.is_ok_and(|bytes| walk.feed(&bytes, &mut gathering).is_ok())
    } else {
        walk.feed(&data_set.bytes, &mut gathering).is_ok()
    };
    (gathering.done, walked && walk.is_whole())
}
