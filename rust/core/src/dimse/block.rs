//! A DIMSE message as DCMTK 3.6.7 shows it, for acceptors and requestors alike.
//!
//! Used by `server::narration` and by the requestors' front ends.

use std::fmt;

use crate::dictionary::uids::name_of;
use crate::log::escaped;

/// A SOP class as a message block names it, without `=`.
pub fn class_name(uid: &[u8]) -> String {
    name_of(uid).map_or_else(|| escaped(uid).to_string(), str::to_owned)
}

/// Lines of `Name                          : value`.
#[derive(Debug, Default)]
pub struct MessageBlock(String);

impl MessageBlock {
    /// One line.
    pub fn field(&mut self, name: &str, value: fmt::Arguments<'_>) {
        use fmt::Write;
        let _ = writeln!(self.0, "{name:<30}: {value}");
    }

    /// The whole block of an `INCOMING` or `OUTGOING` message.
    pub fn closed(&self, direction: &str) -> String {
        format!(
            "===================== {direction} DIMSE MESSAGE ====================\n{}\
             ======================= END DIMSE MESSAGE =======================",
            self.0
        )
    }
}
