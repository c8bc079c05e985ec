//! Properties of each transfer syntax: how a data set's bytes are to be read.
//!
//! Source: PS3.5 Annex A, PS3.6 Annex A (the UIDs). A UID that is not listed counts as Explicit VR
//! Little Endian that may hold encapsulated Pixel Data: every compressed transfer syntax, standard
//! (PS3.5 §A.4) or private, is of that shape. What "local" byte order means to an option is not
//! decided here but in `python/dcmfast/config/byte_order.py`; the engine is told UIDs. Called by
//! `dataset::scan` and `storage`.

use crate::uid::Uid;

/// Byte order of numbers in a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// Implicit VR Little Endian.
pub const IMPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian.
pub const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
/// Deflated Explicit VR Little Endian.
pub const DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1.99";
/// Explicit VR Big Endian (retired).
pub const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// How the bytes of a data set are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferSyntax {
    /// Each element names its VR.
    pub is_explicit: bool,
    /// Byte order of tags, lengths and values.
    pub byte_order: ByteOrder,
    /// The whole data set is one raw deflate stream (PS3.5 §A.5).
    pub is_deflated: bool,
    /// Pixel Data may be a sequence of fragments (PS3.5 §A.4).
    pub is_encapsulated: bool,
}

impl TransferSyntax {
    const NATIVE: Self = Self {
        is_explicit: true,
        byte_order: ByteOrder::Little,
        is_deflated: false,
        is_encapsulated: false,
    };

    /// The properties of `uid`.
    pub fn of(uid: &Uid) -> Self {
        match uid.as_str() {
            // Papyrus 3 (1.2.840.10008.1.20, retired) is implicit as well.
            IMPLICIT_VR_LITTLE_ENDIAN | "1.2.840.10008.1.20" => {
                Self { is_explicit: false, ..Self::NATIVE }
            }
            EXPLICIT_VR_LITTLE_ENDIAN => Self::NATIVE,
            EXPLICIT_VR_BIG_ENDIAN => Self { byte_order: ByteOrder::Big, ..Self::NATIVE },
            // Deflated, JPIP Referenced Deflate, HTJ2K JPIP Referenced Deflate (PS3.5 §A.5, §A.6).
            DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
            | "1.2.840.10008.1.2.4.95"
            | "1.2.840.10008.1.2.4.205" => Self { is_deflated: true, ..Self::NATIVE },
            _ => Self { is_encapsulated: true, ..Self::NATIVE },
        }
    }

    /// What DCMTK's dumps call it; of compressed ones the encoding around the pixels.
    pub const fn words(self) -> &'static str {
        match (self.is_deflated, self.is_explicit, self.byte_order) {
            (true, ..) => "Deflated Explicit VR Little Endian",
            (false, false, _) => "Little Endian Implicit",
            (false, true, ByteOrder::Little) => "Little Endian Explicit",
            (false, true, ByteOrder::Big) => "Big Endian Explicit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.5 Annex A: one of each shape.
    #[test]
    fn shapes() {
        let of = |text| TransferSyntax::of(&Uid::known(text));
        assert!(!of(IMPLICIT_VR_LITTLE_ENDIAN).is_explicit);
        assert_eq!(of(EXPLICIT_VR_LITTLE_ENDIAN), TransferSyntax::NATIVE);
        assert_eq!(of(EXPLICIT_VR_BIG_ENDIAN).byte_order, ByteOrder::Big);
        assert!(of(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN).is_deflated);
        for compressed in ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5", "1.2.3.4"] {
            let syntax = of(compressed);
            assert!(syntax.is_explicit && syntax.is_encapsulated && !syntax.is_deflated);
            assert_eq!(syntax.byte_order, ByteOrder::Little);
        }
    }
}
