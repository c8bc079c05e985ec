//! A data set in the place of one that a recording left out: of its length, with the UIDs that its
//! command names.
//!
//! Its bytes behind the first elements are Data Set Trailing Padding (FFFC,FFFC), PS3.10 §7.2. A length
//! that no elements have (below 8 bytes, or so) is filled with zeros; so is a deflated data set.
//! Called by `recording::replay`.

use crate::dataset::identifier::{Encoding, Writer};
use crate::dataset::transfer_syntax::{ByteOrder, TransferSyntax};
use crate::tag::{
    DATA_SET_TRAILING_PADDING, SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, Tag,
};
use crate::uid::UidText;
use crate::vr::Vr;

/// Bytes of a stand-in, given out piece by piece.
#[derive(Debug, Default)]
pub struct StandIn {
    head: Vec<u8>,
    given: u64,
}

const SERIES_INSTANCE_UID: Tag = Tag::new(0x0020, 0x000E);

impl StandIn {
    /// Of a data set of so many bytes.
    pub fn new(
        syntax: TransferSyntax,
        bytes: u64,
        class: Option<UidText>,
        instance: Option<UidText>,
    ) -> Self {
        if syntax.is_deflated {
            return Self::default();
        }
        let header = if syntax.is_explicit { 12 } else { 8 };
        // As many of the elements as fit.
        let elements = [
            (SOP_CLASS_UID, class.map(|uid| uid.as_bytes().to_vec())),
            (SOP_INSTANCE_UID, instance.map(|uid| uid.as_bytes().to_vec())),
            (STUDY_INSTANCE_UID, Some(b"2.25.1".to_vec())),
            (SERIES_INSTANCE_UID, Some(b"2.25.2".to_vec())),
        ];
        for count in (0..=elements.len()).rev() {
            let mut head = Vec::new();
            let mut writer = Writer::new(&mut head, Encoding::of(syntax));
            for (tag, value) in elements.iter().take(count) {
                if let Some(value) = value {
                    writer.text(*tag, Vr::UI, value);
                }
            }
            let left = bytes.checked_sub(head.len() as u64);
            if left == Some(0) {
                return Self { head, given: 0 };
            }
            let padding = left.and_then(|left| left.checked_sub(header));
            if let Some(padding) = padding.and_then(|padding| u32::try_from(padding).ok()) {
                put_padding(&mut head, syntax, padding);
                return Self { head, given: 0 };
            }
        }
        Self::default()
    }

    /// The next bytes; zeros once the elements are given.
    pub fn fill(&mut self, out: &mut Vec<u8>, count: usize) {
        let start = usize::try_from(self.given).unwrap_or(usize::MAX);
        let head = self.head.get(start..).unwrap_or_default();
        let head = head.get(..count.min(head.len())).unwrap_or_default();
        let end = out.len() + count;
        out.extend_from_slice(head);
        out.resize(end, 0);
        self.given += count as u64;
    }
}

fn put_padding(out: &mut Vec<u8>, syntax: TransferSyntax, length: u32) {
    let is_big = syntax.byte_order == ByteOrder::Big;
    let (group, element) = (DATA_SET_TRAILING_PADDING.group(), DATA_SET_TRAILING_PADDING.element());
    for number in [group, element] {
        out.extend(if is_big { number.to_be_bytes() } else { number.to_le_bytes() });
    }
    if syntax.is_explicit {
        out.extend(b"OB\0\0");
    }
    out.extend(if is_big { length.to_be_bytes() } else { length.to_le_bytes() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::scan::Scanner;
    use crate::uid::Uid;

    /// Of any length that elements can have, in each encoding, a data set that the scanner takes.
    #[test]
    fn any_length() {
        let class = UidText::new(b"1.2.840.10008.5.1.4.1.1.2");
        let instance = UidText::new(b"1.2.3");
        for syntax in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"] {
            let syntax = TransferSyntax::of(&Uid::known(syntax));
            for length in (12..400_u64).chain([100_000]) {
                let mut stand_in = StandIn::new(syntax, length, class, instance);
                let mut bytes = Vec::new();
                stand_in.fill(&mut bytes, 7);
                stand_in.fill(&mut bytes, length as usize - 7);
                assert_eq!(bytes.len() as u64, length);
                let mut scanner = Scanner::new(syntax, &[SOP_INSTANCE_UID]);
                scanner.feed(&bytes).unwrap();
                scanner.finish().unwrap();
                let found = scanner.value(SOP_INSTANCE_UID);
                assert!(length < 60 || found.is_some_and(|found| found.starts_with(b"1.2.3")));
            }
        }
    }
}
