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

/// Below `1.2.840.10008.1.2.4.`: names of compressed transfer syntaxes, as DCMTK 3.6.7 lists them.
static COMPRESSED: &[(&str, &str)] = &[
    ("50", "JPEG Baseline"),
    ("51", "JPEG Extended, Process 2+4"),
    ("52", "JPEG Extended, Process 3+5"),
    ("53", "JPEG Spectral Selection, Non-hierarchical, Process 6+8"),
    ("54", "JPEG Spectral Selection, Non-hierarchical, Process 7+9"),
    ("55", "JPEG Full Progression, Non-hierarchical, Process 10+12"),
    ("56", "JPEG Full Progression, Non-hierarchical, Process 11+13"),
    ("57", "JPEG Lossless, Non-hierarchical, Process 14"),
    ("58", "JPEG Lossless, Non-hierarchical, Process 15"),
    ("59", "JPEG Extended, Hierarchical, Process 16+18"),
    ("60", "JPEG Extended, Hierarchical, Process 17+19"),
    ("61", "JPEG Spectral Selection, Hierarchical, Process 20+22"),
    ("62", "JPEG Spectral Selection, Hierarchical, Process 21+23"),
    ("63", "JPEG Full Progression, Hierarchical, Process 24+26"),
    ("64", "JPEG Full Progression, Hierarchical, Process 25+27"),
    ("65", "JPEG Lossless, Hierarchical, Process 28"),
    ("66", "JPEG Lossless, Hierarchical, Process 29"),
    ("70", "JPEG Lossless, Non-hierarchical, 1st Order Prediction"),
    ("80", "JPEG-LS Lossless"),
    ("81", "JPEG-LS Lossy (Near-lossless)"),
    ("90", "JPEG 2000 (Lossless only)"),
    ("91", "JPEG 2000 (Lossless or Lossy)"),
    ("92", "JPEG 2000 Part 2 Multicomponent Image Compression (Lossless only)"),
    ("93", "JPEG 2000 Part 2 Multicomponent Image Compression (Lossless or Lossy)"),
    ("94", "JPIP Referenced"),
    ("95", "JPIP Referenced Deflate"),
    ("100", "MPEG2 Main Profile @ Main Level"),
    ("101", "MPEG2 Main Profile @ High Level"),
    ("102", "MPEG-4 AVC/H.264 High Profile / Level 4.1"),
    ("103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1"),
    ("104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video"),
    ("105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video"),
    ("106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2"),
    ("107", "HEVC/H.265 Main Profile / Level 5.1"),
    ("108", "HEVC/H.265 Main 10 Profile / Level 5.1"),
];

/// DCMTK's long name of a transfer syntax, of its log lines and reports; `None` for one that it
/// does not know.
pub fn long_name(uid: &Uid) -> Option<&'static str> {
    let text = uid.as_str();
    match text {
        IMPLICIT_VR_LITTLE_ENDIAN
        | EXPLICIT_VR_LITTLE_ENDIAN
        | EXPLICIT_VR_BIG_ENDIAN
        | DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => Some(TransferSyntax::of(uid).words()),
        "1.2.840.10008.1.2.5" => Some("RLE Lossless"),
        "1.2.840.113619.5.2" => {
            Some("Private GE Little Endian Implicit with big endian pixel data")
        }
        _ => {
            let tail = text.strip_prefix("1.2.840.10008.1.2.4.")?;
            COMPRESSED.iter().find(|(one, _)| *one == tail).map(|(_, name)| *name)
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
