//! The head of a stored file: preamble, `DICM` and file meta information.
//!
//! Source: PS3.10 §7.1 (Table 7.1-1); which elements DCMTK's receivers write: DCMTK 3.6.7, as run.
//!
//! ```text
//! (0002,0000) UL  length of what follows       (0002,0010) UI  transfer syntax of the data set
//! (0002,0001) OB  00 01                        (0002,0012) UI  our implementation class
//! (0002,0002) UI  SOP class                    (0002,0013) SH  our version name
//! (0002,0003) UI  SOP instance                 (0002,0016) AE  calling AE title, where written
//! ```
//!
//! Makes bytes only. Called by `storage::writer`.

use crate::dataset::encode;
use crate::tag::Tag;
use crate::uid::IMPLEMENTATION_CLASS_UID;
use crate::vr::Vr;

/// Zero bytes before `DICM`, PS3.10 §7.1.
pub const PREAMBLE_BYTES: usize = 128;
/// Room that the head of every file fits into: three UIDs, a title, and the rest.
pub const FILE_META_BYTES_TYPICAL: usize = 512;

/// What the file meta information says.
#[derive(Clone, Copy, Debug)]
pub struct FileMeta<'a> {
    /// (0002,0002) Media Storage SOP Class UID.
    pub sop_class: &'a [u8],
    /// (0002,0003) Media Storage SOP Instance UID.
    pub sop_instance: &'a [u8],
    /// (0002,0010) Transfer Syntax UID.
    pub transfer_syntax: &'a [u8],
    /// (0002,0013) Implementation Version Name.
    pub version_name: &'a str,
    /// (0002,0016) Source Application Entity Title; absent when `None` or empty.
    pub source_ae_title: Option<&'a [u8]>,
}

impl FileMeta<'_> {
    /// Appends preamble, `DICM` and group 0002 to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.resize(out.len() + PREAMBLE_BYTES, 0);
        out.extend_from_slice(b"DICM");
        encode::unsigned_long(out, element(0x0000), 0);
        let start = out.len();
        encode::element(out, element(0x0001), Vr::OB, &[0, 1], 0);
        encode::uid(out, element(0x0002), self.sop_class);
        encode::uid(out, element(0x0003), self.sop_instance);
        encode::uid(out, element(0x0010), self.transfer_syntax);
        encode::uid(out, element(0x0012), IMPLEMENTATION_CLASS_UID.as_bytes());
        encode::text(out, element(0x0013), Vr(*b"SH"), self.version_name.as_bytes());
        if let Some(title) = self.source_ae_title.filter(|title| !title.is_empty()) {
            encode::text(out, element(0x0016), Vr(*b"AE"), title);
        }
        let group_length = (out.len() - start) as u32;
        out[start - 4..start].copy_from_slice(&group_length.to_le_bytes());
    }
}

fn element(number: u16) -> Tag {
    Tag::new(0x0002, number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uid::IMPLEMENTATION_VERSION_NAME;

    /// PS3.10 §7.1, byte by byte.
    #[test]
    fn whole_head() {
        let mut out = Vec::new();
        FileMeta {
            sop_class: b"1.2.840.10008.5.1.4.1.1.2",
            sop_instance: b"1.2.3.4",
            transfer_syntax: b"1.2.840.10008.1.2",
            version_name: IMPLEMENTATION_VERSION_NAME,
            source_ae_title: Some(b"STORESCU"),
        }
        .encode(&mut out);
        assert!(out[..128].iter().all(|&byte| byte == 0));
        let mut expected = b"DICM\x02\0\0\0UL\x04\0".to_vec();
        expected.extend_from_slice(&((out.len() - 144) as u32).to_le_bytes());
        expected.extend_from_slice(b"\x02\0\x01\0OB\0\0\x02\0\0\0\x00\x01");
        expected.extend_from_slice(b"\x02\0\x02\0UI\x1a\x001.2.840.10008.5.1.4.1.1.2\0");
        expected.extend_from_slice(b"\x02\0\x03\0UI\x08\x001.2.3.4\0");
        expected.extend_from_slice(b"\x02\0\x10\0UI\x12\x001.2.840.10008.1.2\0");
        expected.extend_from_slice(b"\x02\0\x12\0UI\x2c\0");
        expected.extend_from_slice(IMPLEMENTATION_CLASS_UID.as_bytes());
        expected.extend_from_slice(b"\x02\0\x13\0SH\x0e\0DCMFAST_0.1.0 ");
        expected.extend_from_slice(b"\x02\0\x16\0AE\x08\0STORESCU");
        assert_eq!(out[128..].escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    /// DCMTK 3.6.7: dcmrecv writes no source title; an empty one is not written either.
    #[test]
    fn title_is_optional() {
        let meta = FileMeta {
            sop_class: b"1.2",
            sop_instance: b"1.3",
            transfer_syntax: b"1.2.840.10008.1.2",
            version_name: "X",
            source_ae_title: None,
        };
        let (mut without, mut empty) = (Vec::new(), Vec::new());
        meta.encode(&mut without);
        FileMeta { source_ae_title: Some(b""), ..meta }.encode(&mut empty);
        assert_eq!(without, empty);
    }
}
