//! DIMSE status codes: their classes, and the short texts that DCMTK's tools print.
//!
//! Source: PS3.7 Annex C (classes and general codes), PS3.4 §B.2.3 (C-STORE), Annex C.4 (C-FIND,
//! C-MOVE, C-GET); texts as in DCMTK 3.6.7. Values only; called by `service`, `server` and
//! `client`.

use core::fmt;

/// A status, as element (0000,0900) carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u16);

/// What a status means for the operation, PS3.7 Annex C.1 to C.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// Done.
    Success,
    /// More responses follow.
    Pending,
    /// Ended by a C-CANCEL.
    Cancel,
    /// Done, with a remark: for C-STORE the object *is* stored.
    Warning,
    /// Not done.
    Failure,
}

/// The operation that a status belongs to: the same number has different texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the services of PS3.7 by name")]
pub enum Operation {
    Echo,
    Store,
    Find,
    Move,
    Get,
}

impl Status {
    /// 0000H
    pub const SUCCESS: Self = Self(0x0000);
    /// 0111H, duplicate SOP instance
    pub const DUPLICATE_SOP_INSTANCE: Self = Self(0x0111);
    /// 0122H, refused: SOP class not supported
    pub const SOP_CLASS_NOT_SUPPORTED: Self = Self(0x0122);
    /// 0211H, unrecognized operation
    pub const UNRECOGNIZED_OPERATION: Self = Self(0x0211);
    /// 0212H, mistyped argument
    pub const MISTYPED_ARGUMENT: Self = Self(0x0212);
    /// A700H, refused: out of resources
    pub const OUT_OF_RESOURCES: Self = Self(0xA700);
    /// A701H, refused: unable to calculate number of matches
    pub const TOO_MANY_MATCHES: Self = Self(0xA701);
    /// A702H, refused: unable to perform sub-operations
    pub const SUB_OPERATIONS_FAILED: Self = Self(0xA702);
    /// A801H, refused: move destination unknown
    pub const MOVE_DESTINATION_UNKNOWN: Self = Self(0xA801);
    /// A900H, error: data set does not match SOP class
    pub const DATA_SET_DOES_NOT_MATCH_SOP_CLASS: Self = Self(0xA900);
    /// C000H, error: cannot understand (C-STORE), unable to process (C-FIND, C-MOVE, C-GET)
    pub const CANNOT_UNDERSTAND: Self = Self(0xC000);
    /// FF00H, pending
    pub const PENDING: Self = Self(0xFF00);
    /// FF01H, pending; one or more optional keys are not supported
    pub const PENDING_WITH_WARNING: Self = Self(0xFF01);
    /// B000H, warning: sub-operations complete, one or more failures (C-MOVE, C-GET)
    pub const SUB_OPERATIONS_WARNING: Self = Self(0xB000);
    /// FE00H, cancel
    pub const CANCEL: Self = Self(0xFE00);

    /// The class of this status.
    pub const fn class(self) -> StatusClass {
        match self.0 {
            0x0000 => StatusClass::Success,
            0xFF00 | 0xFF01 => StatusClass::Pending,
            0xFE00 => StatusClass::Cancel,
            // PS3.7 Annex C.4: attribute list error and attribute value out of range are warnings.
            0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => StatusClass::Warning,
            _ => StatusClass::Failure,
        }
    }

    /// The short text of DCMTK's tools for this status of `operation`.
    pub const fn text(self, operation: Operation) -> impl fmt::Display {
        Text { status: self, operation, is_long: false }
    }

    /// DCMTK's long text, of message blocks.
    pub const fn long_text(self, operation: Operation) -> impl fmt::Display {
        Text { status: self, operation, is_long: true }
    }
}

struct Text {
    status: Status,
    operation: Operation,
    is_long: bool,
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.status.0;
        let known = match self.operation {
            Operation::Echo => general_text(code),
            Operation::Store => store_text(code),
            Operation::Find => find_text(code),
            Operation::Move | Operation::Get => {
                retrieve_text(code, self.operation == Operation::Move)
            }
        };
        match known {
            Some((short, long)) => formatter.write_str(if self.is_long { long } else { short }),
            None => write!(formatter, "Unknown Status: {code:#x}"),
        }
    }
}

/// The short text of DCMTK's lines, and the long one of its message blocks.
type Texts = Option<(&'static str, &'static str)>;

const fn general_text(code: u16) -> Texts {
    Some(match code {
        0x0000 => ("Success", "Success"),
        0x0122 => ("Refused: SOPClassNotSupported", "Refused: SOP Class not supported"),
        _ => return None,
    })
}

const fn store_text(code: u16) -> Texts {
    Some(match code {
        0xB000 => ("Warning: CoercionOfDataElements", "Warning: Coercion of Data Elements"),
        0xB006 => ("Warning: ElementsDiscarded", "Warning: Elements discarded"),
        0xB007 => {
            ("Warning: DataSetDoesNotMatchSOPClass", "Warning: Data Set does not match SOP Class")
        }
        0xA700..=0xA7FF => ("Refused: OutOfResources", "Refused: Out of resources"),
        0xA900..=0xA9FF => {
            ("Error: DataSetDoesNotMatchSOPClass", "Error: Data Set does not match SOP Class")
        }
        0xC000..=0xCFFF => ("Error: CannotUnderstand", "Error: Cannot understand"),
        _ => return general_text(code),
    })
}

const fn find_text(code: u16) -> Texts {
    Some(match code {
        0x0000 => ("Success", "Success: Matching is complete"),
        0xFF00 => ("Pending", "Pending: Matches are continuing"),
        0xFF01 => (
            "Pending: WarningUnsupportedOptionalKeys",
            "Pending: Matches are continuing - Warning: Unsupported optional keys",
        ),
        0xFE00 => (
            "Cancel: MatchingTerminatedDueToCancelRequest",
            "Cancel: Matching terminated due to Cancel Request",
        ),
        0xA700 => ("Refused: OutOfResources", "Refused: Out of resources"),
        0xA900 => {
            ("Error: DataSetDoesNotMatchSOPClass", "Error: Data Set does not match SOP Class")
        }
        0xC000..=0xCFFF => ("Failed: UnableToProcess", "Failed: Unable to process"),
        _ => return general_text(code),
    })
}

const fn retrieve_text(code: u16, is_move: bool) -> Texts {
    Some(match code {
        0x0000 => ("Success", "Success: Sub-operations complete - No failures or warnings"),
        0xFF00 => ("Pending", "Pending: Sub-operations are continuing"),
        0xFE00 => (
            "Cancel: SubOperationsTerminatedDueToCancelIndication",
            "Cancel: Sub-operations terminated due to Cancel Indication",
        ),
        0xA701 => (
            "Refused: OutOfResourcesNumberOfMatches",
            "Refused: Out of resources - Unable to calculate number of matches",
        ),
        0xA702 => (
            "Refused: OutOfResourcesSubOperations",
            "Refused: Out of resources - Unable to perform sub-operations",
        ),
        0xA801 if is_move => {
            ("Refused: MoveDestinationUnknown", "Refused: Move Destination unknown")
        }
        0xA900 => {
            ("Error: DataSetDoesNotMatchSOPClass", "Error: Data Set does not match SOP Class")
        }
        0xB000 => (
            "Warning: SubOperationsCompleteOneOrMoreFailures",
            "Warning: Sub-operations complete - One or more failures or warnings",
        ),
        0xC000..=0xCFFF => ("Failed: UnableToProcess", "Failed: Unable to process"),
        _ => return general_text(code),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(code: u16, operation: Operation) -> String {
        Status(code).text(operation).to_string()
    }

    /// DCMTK 3.6.7, one of each row.
    #[test]
    fn texts() {
        use Operation::{Echo, Find, Get, Move, Store};
        for (code, operation, expected) in [
            (0x0000, Echo, "Success"),
            (0x0000, Store, "Success"),
            (0x0122, Store, "Refused: SOPClassNotSupported"),
            (0xA7FF, Store, "Refused: OutOfResources"),
            (0xA900, Store, "Error: DataSetDoesNotMatchSOPClass"),
            (0xC123, Store, "Error: CannotUnderstand"),
            (0xB000, Store, "Warning: CoercionOfDataElements"),
            (0xB006, Store, "Warning: ElementsDiscarded"),
            (0xB007, Store, "Warning: DataSetDoesNotMatchSOPClass"),
            (0x0110, Store, "Unknown Status: 0x110"),
            (0xFF00, Find, "Pending"),
            (0xA801, Move, "Refused: MoveDestinationUnknown"),
            (0xA801, Get, "Unknown Status: 0xa801"),
            (0xFF00, Store, "Unknown Status: 0xff00"),
        ] {
            assert_eq!(text(code, operation), expected, "{code:04X}");
        }
    }

    /// PS3.7 Annex C: classes by number.
    #[test]
    fn long_texts() {
        for (code, operation, expected) in [
            (0xFF00, Operation::Find, "Pending: Matches are continuing"),
            (0x0000, Operation::Find, "Success: Matching is complete"),
            (0xFF00, Operation::Get, "Pending: Sub-operations are continuing"),
            (0xA700, Operation::Store, "Refused: Out of resources"),
            (0x0110, Operation::Store, "Unknown Status: 0x110"),
        ] {
            assert_eq!(Status(code).long_text(operation).to_string(), expected, "{code:04X}");
        }
    }

    #[test]
    fn classes() {
        for (code, class) in [
            (0x0000, StatusClass::Success),
            (0x0001, StatusClass::Warning),
            (0x0107, StatusClass::Warning),
            (0x0110, StatusClass::Failure),
            (0x0211, StatusClass::Failure),
            (0xA700, StatusClass::Failure),
            (0xB000, StatusClass::Warning),
            (0xBFFF, StatusClass::Warning),
            (0xC000, StatusClass::Failure),
            (0xFE00, StatusClass::Cancel),
            (0xFF00, StatusClass::Pending),
            (0xFF01, StatusClass::Pending),
            (0xFF02, StatusClass::Failure),
        ] {
            assert_eq!(Status(code).class(), class, "{code:04X}");
        }
    }
}
