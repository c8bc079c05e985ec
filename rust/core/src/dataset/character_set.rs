//! Specific Character Set: text of a data set to UTF-8 and back.
//!
//! Source: PS3.3 §C.12.1.1.2 (the defined terms), PS3.5 §6.1 (ISO 2022 and its escape sequences)
//! and §6.2 (which delimiters switch back to the first set). Text is compared and answered through
//! UTF-8, so every query and every stored value may have a set of its own. Bytes that a set cannot
//! read are no text: the caller then uses them raw, and says so. An escape sequence says itself
//! what follows it, so sets that were used without being declared are read, too.
//!
//! Nothing is copied where the bytes are plain ASCII. What is made is at most three times as long
//! as what it is made of. Called by `index::{matching, query}` and `server::find`.

use std::borrow::Cow;
use std::fmt;

use encoding_rs::Encoding;

use crate::vr::trimmed;

/// Where the first character set is in force again (PS3.5 §6.1.2.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiters {
    /// LT, ST, UT: control characters only.
    None,
    /// LO, SH, UC: `\` as well.
    Values,
    /// PN: `\`, `^` and `=`.
    Components,
}

impl Delimiters {
    /// The delimiters of a value representation.
    pub const fn of(vr: crate::vr::Vr) -> Self {
        match &vr.0 {
            b"PN" => Self::Components,
            b"LO" | b"SH" | b"UC" => Self::Values,
            _ => Self::None,
        }
    }

    const fn contains(self, byte: u8) -> bool {
        match byte {
            b'\t' | b'\n' | 0x0C | b'\r' => true,
            b'\\' => !matches!(self, Self::None),
            b'^' | b'=' => matches!(self, Self::Components),
            _ => false,
        }
    }
}

/// True for the value representations whose text Specific Character Set governs (PS3.3
/// §C.12.1.1.2).
pub const fn is_affected(vr: crate::vr::Vr) -> bool {
    matches!(&vr.0, b"LO" | b"LT" | b"PN" | b"SH" | b"ST" | b"UC" | b"UT")
}

/// What cannot be encoded in the set asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Illegal {
    /// The whole text is refused.
    #[default]
    Abort,
    /// It becomes the nearest characters; what has none refuses the text.
    Transliterate,
    /// It is left out.
    Discard,
    /// It becomes the nearest characters; what has none is left out.
    TransliterateOrDiscard,
}

/// Why text could not be read or written in a character set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CharacterSetError {
    /// The term is not one of PS3.3 §C.12.1.1.2.
    UnknownTerm,
    /// The bytes are not of this set.
    Undecodable,
    /// A character has no place in this set.
    Unencodable(char),
    /// The set is for reading only: with code extensions, one text has many encodings.
    NoDestination,
}

impl fmt::Display for CharacterSetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTerm => formatter.write_str("the character set is not known"),
            Self::Undecodable => formatter.write_str("bytes that are not of the character set"),
            Self::Unencodable(_) => {
                formatter.write_str("a character that the character set does not have")
            }
            Self::NoDestination => {
                formatter.write_str("a character set with code extensions is not written")
            }
        }
    }
}

impl std::error::Error for CharacterSetError {}

/// One coded character set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coded {
    /// Below 80H only.
    Ascii,
    /// ISO 8859-1.
    Latin1,
    /// The upper half of an ISO 8859 part, or TIS 620, under the name that `encoding_rs` gives it.
    Upper(&'static Encoding),
    /// JIS X 0201: half-width katakana above A0H.
    Katakana,
    /// Two bytes below 80H, JIS X 0208.
    Kanji,
    /// Two bytes below 80H, JIS X 0212.
    SupplementaryKanji,
    /// One or two bytes in the form of EUC: KS X 1001, GB 2312.
    Euc(&'static Encoding),
    /// One to four bytes: GB 18030 and its predecessor.
    Gb(&'static Encoding),
    /// UTF-8.
    Utf8,
}

impl Coded {
    /// The set that a defined term stands for as the first (or only) value, and whether the term
    /// is one with code extensions.
    fn of_term(term: &[u8]) -> Option<(Self, bool)> {
        if let Some(rest) = term.strip_prefix(b"ISO 2022 IR ") {
            return Self::of_registration(rest, true).map(|coded| (coded, true));
        }
        let coded = match term {
            b"ISO_IR 192" => Self::Utf8,
            b"GB18030" => Self::Gb(encoding_rs::GB18030),
            b"GBK" => Self::Gb(encoding_rs::GBK),
            _ => Self::of_registration(term.strip_prefix(b"ISO_IR ")?, false)?,
        };
        Some((coded, false))
    }

    /// The set with an ISO registration number; those of several bytes exist as extensions only.
    fn of_registration(number: &[u8], is_extension: bool) -> Option<Self> {
        Some(match number {
            b"6" => Self::Ascii,
            b"13" => Self::Katakana,
            b"100" => Self::Latin1,
            b"101" => Self::Upper(encoding_rs::ISO_8859_2),
            b"109" => Self::Upper(encoding_rs::ISO_8859_3),
            b"110" => Self::Upper(encoding_rs::ISO_8859_4),
            b"126" => Self::Upper(encoding_rs::ISO_8859_7),
            b"127" => Self::Upper(encoding_rs::ISO_8859_6),
            b"138" => Self::Upper(encoding_rs::ISO_8859_8),
            b"144" => Self::Upper(encoding_rs::ISO_8859_5),
            // From A0H on the two below are ISO 8859-9 and TIS 620.
            b"148" => Self::Upper(encoding_rs::WINDOWS_1254),
            b"166" => Self::Upper(encoding_rs::WINDOWS_874),
            b"203" => Self::Upper(encoding_rs::ISO_8859_15),
            b"87" if is_extension => Self::Kanji,
            b"159" if is_extension => Self::SupplementaryKanji,
            b"149" if is_extension => Self::Euc(encoding_rs::EUC_KR),
            b"58" if is_extension => Self::Euc(encoding_rs::GBK),
            _ => return None,
        })
    }

    /// Reads bytes that all are of this set.
    fn read(self, bytes: &[u8], out: &mut String) -> Option<()> {
        match self {
            Self::Ascii => out.push_str(ascii(bytes)?),
            Self::Latin1 => out.extend(bytes.iter().map(|&byte| char::from(byte))),
            Self::Upper(encoding) => {
                for run in bytes.chunk_by(|a, b| (*a < 0xA0) == (*b < 0xA0)) {
                    // What encoding_rs has between 80H and 9FH is Microsoft's; here these are C1.
                    if run.first().is_some_and(|&byte| byte < 0xA0) {
                        out.extend(run.iter().map(|&byte| char::from(byte)));
                    } else {
                        out.push_str(&whole(encoding, run)?);
                    }
                }
            }
            Self::Katakana => {
                for &byte in bytes {
                    out.push(match byte {
                        0..0x80 => char::from(byte),
                        0xA1..=0xDF => char::from_u32(0xFF61 + u32::from(byte - 0xA1))?,
                        _ => return None,
                    });
                }
            }
            Self::Kanji => {
                let euc: Vec<u8> = bytes.iter().map(|byte| byte | 0x80).collect();
                out.push_str(&whole(encoding_rs::EUC_JP, &euc)?);
            }
            Self::SupplementaryKanji => {
                let mut euc = Vec::with_capacity(bytes.len() / 2 * 3);
                for pair in bytes.chunks(2) {
                    euc.push(0x8F);
                    euc.extend(pair.iter().map(|byte| byte | 0x80));
                }
                out.push_str(&whole(encoding_rs::EUC_JP, &euc)?);
            }
            Self::Euc(encoding) | Self::Gb(encoding) => out.push_str(&whole(encoding, bytes)?),
            Self::Utf8 => out.push_str(core::str::from_utf8(bytes).ok()?),
        }
        Some(())
    }

    /// The byte of `character`, or the bytes, appended to `out`; `None` when it has none.
    fn write(self, character: char, out: &mut Vec<u8>) -> Option<()> {
        if character.is_ascii() {
            out.push(character as u8);
            return Some(());
        }
        match self {
            Self::Ascii | Self::Kanji | Self::SupplementaryKanji | Self::Euc(_) => return None,
            Self::Latin1 => out.push(u8::try_from(u32::from(character)).ok()?),
            Self::Katakana => match u32::from(character) {
                code @ 0xFF61..=0xFF9F => out.push((code - 0xFF61) as u8 + 0xA1),
                _ => return None,
            },
            Self::Upper(encoding) => match u32::from(character) {
                code @ 0x80..0xA0 => out.push(code as u8),
                _ => match &encode_one(encoding, character)?[..] {
                    [byte] if *byte >= 0xA0 => out.push(*byte),
                    _ => return None,
                },
            },
            Self::Gb(encoding) => out.extend_from_slice(&encode_one(encoding, character)?),
            Self::Utf8 => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        Some(())
    }

    /// True where ESC and delimiters may stand inside a character.
    const fn hides_delimiters(self) -> bool {
        matches!(self, Self::Kanji | Self::SupplementaryKanji)
    }
}

fn ascii(bytes: &[u8]) -> Option<&str> {
    if bytes.is_ascii() { core::str::from_utf8(bytes).ok() } else { None }
}

fn whole<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
    encoding.decode_without_bom_handling_and_without_replacement(bytes)
}

fn encode_one(encoding: &'static Encoding, character: char) -> Option<Vec<u8>> {
    let mut utf8 = [0; 4];
    let (bytes, _, is_replaced) = encoding.encode(character.encode_utf8(&mut utf8));
    (!is_replaced).then(|| bytes.into_owned())
}

/// The character set of a data set: the value of (0008,0005), read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CharacterSet {
    /// The set in force at the start of each value; `None` when its term is unknown.
    first: Option<Coded>,
    /// Escape sequences may follow.
    has_extensions: bool,
}

/// What an absent or empty (0008,0005) means: ISO 646.
impl Default for CharacterSet {
    fn default() -> Self {
        Self::ASCII
    }
}

impl CharacterSet {
    /// ISO 646, without code extensions.
    pub const ASCII: Self = Self { first: Some(Coded::Ascii), has_extensions: false };
    /// Unicode in UTF-8, `ISO_IR 192`.
    pub const UTF_8: Self = Self { first: Some(Coded::Utf8), has_extensions: false };

    /// The set that `value` of (0008,0005) names; blanks around its terms do not count.
    pub fn parse(value: &[u8]) -> Self {
        let mut terms = value.split(|byte| *byte == b'\\').map(trimmed);
        let first = terms.next().unwrap_or_default();
        let is_multiple = value.contains(&b'\\');
        if first.is_empty() {
            return Self { first: Some(Coded::Ascii), has_extensions: is_multiple };
        }
        match Coded::of_term(first) {
            Some((coded, is_extension)) => {
                Self { first: Some(coded), has_extensions: is_extension || is_multiple }
            }
            None => Self { first: None, has_extensions: false },
        }
    }

    /// True when the first term is one of the standard.
    pub const fn is_known(self) -> bool {
        self.first.is_some()
    }

    /// True when text can be written in it: a known set without code extensions.
    pub const fn is_destination(self) -> bool {
        self.first.is_some() && !self.has_extensions
    }

    /// The text of `value`, a whole value with all that its delimiters separate.
    pub fn decode(
        self,
        value: &[u8],
        delimiters: Delimiters,
    ) -> Result<Cow<'_, str>, CharacterSetError> {
        // Every set has ASCII below 80H while no escape sequence says otherwise.
        if memchr::memchr(0x1B, value).is_none() {
            if let Some(text) = ascii(value) {
                return Ok(Cow::Borrowed(text));
            }
        }
        let first = self.first.ok_or(CharacterSetError::UnknownTerm)?;
        if first == Coded::Utf8 {
            let text = core::str::from_utf8(value).map_err(|_| CharacterSetError::Undecodable)?;
            return Ok(Cow::Borrowed(text));
        }
        let mut out = String::with_capacity(value.len() * 2);
        let read = if self.has_extensions && memchr::memchr(0x1B, value).is_some() {
            read_extended(first, value, delimiters, &mut out)
        } else {
            first.read(value, &mut out)
        };
        read.map(|()| Cow::Owned(out)).ok_or(CharacterSetError::Undecodable)
    }

    /// Writes `text` in this set.
    pub fn encode(self, text: &str, illegal: Illegal) -> Result<Vec<u8>, CharacterSetError> {
        let coded = self.first.ok_or(CharacterSetError::UnknownTerm)?;
        if self.has_extensions {
            return Err(CharacterSetError::NoDestination);
        }
        let mut out = Vec::with_capacity(text.len());
        for character in text.chars() {
            if coded.write(character, &mut out).is_some() {
                continue;
            }
            let discards = matches!(illegal, Illegal::Discard | Illegal::TransliterateOrDiscard);
            match illegal {
                Illegal::Transliterate | Illegal::TransliterateOrDiscard => {
                    match nearest(character) {
                        Some(near) => out.extend_from_slice(near.as_bytes()),
                        None if discards => {}
                        None => return Err(CharacterSetError::Unencodable(character)),
                    }
                }
                Illegal::Discard => {}
                Illegal::Abort => return Err(CharacterSetError::Unencodable(character)),
            }
        }
        Ok(out)
    }
}

/// Which of the two halves of the code table an escape sequence fills.
enum Half {
    /// Below 80H, G0.
    Lower(Coded),
    /// From 80H on, G1.
    Upper(Coded),
}

/// The escape sequences of PS3.3 Tables C.12-3 and C.12-4: what stands behind ESC, and its length.
fn escape(rest: &[u8]) -> Option<(Half, usize)> {
    use Half::{Lower, Upper};
    Some(match rest {
        // J is JIS X 0201 romaji: yen and overline for two signs of ASCII, which delimit here.
        [b'(', b'B' | b'J', ..] => (Lower(Coded::Ascii), 2),
        [b')', b'I', ..] => (Upper(Coded::Katakana), 2),
        [b'-', b'A', ..] => (Upper(Coded::Latin1), 2),
        [b'-', letter, ..] => {
            let number: &[u8] = match letter {
                b'B' => b"101",
                b'C' => b"109",
                b'D' => b"110",
                b'F' => b"126",
                b'G' => b"127",
                b'H' => b"138",
                b'L' => b"144",
                b'M' => b"148",
                b'T' => b"166",
                b'b' => b"203",
                _ => return None,
            };
            (Upper(Coded::of_registration(number, true)?), 2)
        }
        [b'$', b'B', ..] => (Lower(Coded::Kanji), 2),
        [b'$', b'(', b'D', ..] => (Lower(Coded::SupplementaryKanji), 3),
        [b'$', b')', b'C', ..] => (Upper(Coded::Euc(encoding_rs::EUC_KR)), 3),
        [b'$', b')', b'A', ..] => (Upper(Coded::Euc(encoding_rs::GBK)), 3),
        _ => return None,
    })
}

/// Reads a value with escape sequences: runs of bytes in one state of the code table.
fn read_extended(
    first: Coded,
    value: &[u8],
    delimiters: Delimiters,
    out: &mut String,
) -> Option<()> {
    let at_start =
        if first.hides_delimiters() { (first, Coded::Ascii) } else { (Coded::Ascii, first) };
    let (mut lower, mut upper) = at_start;
    let mut rest = value;
    while let [byte, after @ ..] = rest {
        if *byte == 0x1B {
            let (half, length) = escape(after)?;
            match half {
                Half::Lower(coded) => lower = coded,
                Half::Upper(coded) => upper = coded,
            }
            rest = after.get(length..)?;
            continue;
        }
        // PS3.5 §6.1.2.5.3: delimiters end what an escape sequence began. Where two bytes below
        // 80H make one character, only control characters can be told apart from its halves.
        if delimiters.contains(*byte) && (*byte < b' ' || !lower.hides_delimiters()) {
            out.push(char::from(*byte));
            (lower, upper) = at_start;
            rest = after;
            continue;
        }
        let is_lower = *byte < 0x80;
        let coded = if is_lower { lower } else { upper };
        let run = rest
            .iter()
            .take_while(|&&next| {
                (next < 0x80) == is_lower
                    && next != 0x1B
                    && next >= b' '
                    && (coded.hides_delimiters() || !delimiters.contains(next))
            })
            .count()
            // A control character that delimits nothing stands for itself.
            .max(1);
        let (run, after) = rest.split_at_checked(run)?;
        if *byte < b' ' {
            out.push(char::from(*byte));
        } else {
            coded.read(run, out)?;
        }
        rest = after;
    }
    Some(())
}

/// The nearest ASCII text of a character, for displays that have nothing else.
fn nearest(character: char) -> Option<&'static str> {
    NEAREST
        .binary_search_by_key(&character, |(from, _)| *from)
        .ok()
        .and_then(|at| NEAREST.get(at))
        .map(|(_, to)| *to)
}

/// Latin letters without their marks, and typographic signs; in ascending order.
#[rustfmt::skip]
static NEAREST: [(char, &str); 174] = [
    ('\u{A0}', " "), ('©', "(C)"), ('«', "<<"), ('\u{AD}', "-"), ('®', "(R)"), ('´', "'"), ('µ', "u"),
    ('»', ">>"), ('À', "A"), ('Á', "A"), ('Â', "A"), ('Ã', "A"), ('Ä', "A"), ('Å', "A"), ('Æ', "AE"),
    ('Ç', "C"), ('È', "E"), ('É', "E"), ('Ê', "E"), ('Ë', "E"), ('Ì', "I"), ('Í', "I"), ('Î', "I"),
    ('Ï', "I"), ('Ð', "D"), ('Ñ', "N"), ('Ò', "O"), ('Ó', "O"), ('Ô', "O"), ('Õ', "O"), ('Ö', "O"),
    ('×', "x"), ('Ø', "O"), ('Ù', "U"), ('Ú', "U"), ('Û', "U"), ('Ü', "U"), ('Ý', "Y"), ('Þ', "Th"),
    ('ß', "ss"), ('à', "a"), ('á', "a"), ('â', "a"), ('ã', "a"), ('ä', "a"), ('å', "a"), ('æ', "ae"),
    ('ç', "c"), ('è', "e"), ('é', "e"), ('ê', "e"), ('ë', "e"), ('ì', "i"), ('í', "i"), ('î', "i"),
    ('ï', "i"), ('ð', "d"), ('ñ', "n"), ('ò', "o"), ('ó', "o"), ('ô', "o"), ('õ', "o"), ('ö', "o"),
    ('÷', ":"), ('ø', "o"), ('ù', "u"), ('ú', "u"), ('û', "u"), ('ü', "u"), ('ý', "y"), ('þ', "th"),
    ('ÿ', "y"), ('Ā', "A"), ('ā', "a"), ('Ă', "A"), ('ă', "a"), ('Ą', "A"), ('ą', "a"), ('Ć', "C"),
    ('ć', "c"), ('Ĉ', "C"), ('ĉ', "c"), ('Ċ', "C"), ('ċ', "c"), ('Č', "C"), ('č', "c"), ('Ď', "D"),
    ('ď', "d"), ('Đ', "D"), ('đ', "d"), ('Ē', "E"), ('ē', "e"), ('Ė', "E"), ('ė', "e"), ('Ę', "E"),
    ('ę', "e"), ('Ě', "E"), ('ě', "e"), ('Ĝ', "G"), ('ĝ', "g"), ('Ğ', "G"), ('ğ', "g"), ('Ġ', "G"),
    ('ġ', "g"), ('Ģ', "G"), ('ģ', "g"), ('Ĥ', "H"), ('ĥ', "h"), ('Ħ', "H"), ('ħ', "h"), ('Ī', "I"),
    ('ī', "i"), ('İ', "I"), ('ı', "i"), ('Ĵ', "J"), ('ĵ', "j"), ('Ķ', "K"), ('ķ', "k"), ('Ĺ', "L"),
    ('ĺ', "l"), ('Ľ', "L"), ('ľ', "l"), ('Ł', "L"), ('ł', "l"), ('Ń', "N"), ('ń', "n"), ('Ņ', "N"),
    ('ņ', "n"), ('Ň', "N"), ('ň', "n"), ('Ő', "O"), ('ő', "o"), ('Œ', "OE"), ('œ', "oe"), ('Ŕ', "R"),
    ('ŕ', "r"), ('Ř', "R"), ('ř', "r"), ('Ś', "S"), ('ś', "s"), ('Ŝ', "S"), ('ŝ', "s"), ('Ş', "S"),
    ('ş', "s"), ('Š', "S"), ('š', "s"), ('Ţ', "T"), ('ţ', "t"), ('Ť', "T"), ('ť', "t"), ('Ŭ', "U"),
    ('ŭ', "u"), ('Ů', "U"), ('ů', "u"), ('Ű', "U"), ('ű', "u"), ('Ų', "U"), ('ų', "u"), ('Ÿ', "Y"),
    ('Ź', "Z"), ('ź', "z"), ('Ż', "Z"), ('ż', "z"), ('Ž', "Z"), ('ž', "z"), ('–', "-"), ('—', "-"),
    ('‘', "'"), ('’', "'"), ('“', "\""), ('”', "\""), ('„', "\""), ('…', "..."), ('€', "EUR"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(terms: &str, value: &[u8]) -> Result<String, CharacterSetError> {
        let set = CharacterSet::parse(terms.as_bytes());
        set.decode(value, Delimiters::Components).map(Cow::into_owned)
    }

    /// PS3.5 Annexes H to K and X: the standard's own examples, and one of each single-byte set.
    #[test]
    fn examples_of_the_standard() {
        for (terms, value, text) in [
            ("", &b"Adams^John"[..], "Adams^John"),
            ("ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
            ("ISO_IR 101", b"Wa\xb3\xeasa", "Wałęsa"),
            ("ISO_IR 109", b"\xd8", "Ĝ"),
            ("ISO_IR 110", b"\xe7", "į"),
            ("ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
            ("ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
            ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
            ("ISO_IR 144", b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),
            ("ISO_IR 148", b"\xc7avu\xfeo\xf0lu", "Çavuşoğlu"),
            ("ISO_IR 166", b"\xca\xc7\xd1\xca\xb4\xd5", "สวัสดี"),
            ("ISO_IR 203", b"\xa4", "€"),
            ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
            ("ISO_IR 192", "Wang^XiaoDong=王^小東".as_bytes(), "Wang^XiaoDong=王^小東"),
            ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
            ("GBK", b"Wang=\xcd\xf5", "Wang=王"),
            (
                "\\ISO 2022 IR 87",
                b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
                "Yamada^Tarou=山田^太郎=やまだ^たろう",
            ),
            (
                "ISO 2022 IR 13\\ISO 2022 IR 87",
                b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
                "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
            ),
            (
                "\\ISO 2022 IR 149",
                b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
                "Hong^Gildong=洪^吉洞=홍^길동",
            ),
            (
                "\\ISO 2022 IR 58",
                b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
                "Zhang^XiaoDong=张^小东=",
            ),
            ("\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x1b(B", "丂"),
            ("ISO 2022 IR 100\\ISO 2022 IR 144", b"\xe9\x1b-L\xbb^\xe9", "éЛ^é"),
        ] {
            assert_eq!(decode(terms, value).as_deref(), Ok(text), "{terms}");
        }
    }

    /// Blanks around terms do not count; an unknown term keeps ASCII readable and nothing else.
    #[test]
    fn terms() {
        assert_eq!(decode(" ISO_IR 100 ", b"\xfc").as_deref(), Ok("ü"));
        assert_eq!(decode("ISO_IR 999", b"ab").as_deref(), Ok("ab"));
        assert_eq!(decode("ISO_IR 999", b"\xfc"), Err(CharacterSetError::UnknownTerm));
        assert!(!CharacterSet::parse(b"nonsense").is_known());
        // Sets of several bytes are no first value by themselves (PS3.3 §C.12.1.1.2).
        assert!(!CharacterSet::parse(b"ISO_IR 87").is_known());
    }

    /// Hostile text: cut sequences, halves of characters, bytes outside the set.
    #[test]
    fn undecodable() {
        for (terms, value) in [
            ("", &b"M\xfcller"[..]),
            ("ISO_IR 192", b"\xff"),
            ("ISO_IR 192", b"\xc3"),
            ("GB18030", b"\x81"),
            ("\\ISO 2022 IR 87", b"\x1b"),
            ("\\ISO 2022 IR 87", b"\x1b$"),
            ("\\ISO 2022 IR 87", b"\x1b$B;"),
            ("\\ISO 2022 IR 149", b"\x1b$)C\xfb"),
            ("\\ISO 2022 IR 149", b"\x1b$)Z\xfb\xf3"),
            ("ISO_IR 13", b"\xfc"),
        ] {
            assert_eq!(decode(terms, value), Err(CharacterSetError::Undecodable), "{terms}");
        }
    }

    /// `+A7`, `-Ct`, `-Cd`: what the destination does not have.
    #[test]
    fn encode_illegal() {
        let latin1 = CharacterSet::parse(b"ISO_IR 100");
        assert_eq!(latin1.encode("Müller", Illegal::Abort).unwrap(), b"M\xfcller");
        let ascii = CharacterSet::ASCII;
        let refused = Err(CharacterSetError::Unencodable('ü'));
        assert_eq!(ascii.encode("Müller", Illegal::Abort), refused);
        assert_eq!(ascii.encode("Müller", Illegal::Transliterate).unwrap(), b"Muller");
        assert_eq!(ascii.encode("Müller王", Illegal::Discard).unwrap(), b"Mller");
        let both = Illegal::TransliterateOrDiscard;
        assert_eq!(ascii.encode("Müller王", both).unwrap(), b"Muller");
        let refused = Err(CharacterSetError::Unencodable('王'));
        assert_eq!(ascii.encode("王", Illegal::Transliterate), refused);
        let extended = CharacterSet::parse(b"\\ISO 2022 IR 87");
        let refused = Err(CharacterSetError::NoDestination);
        assert_eq!(extended.encode("a", Illegal::Abort), refused);
    }

    /// The table is searched by halves.
    #[test]
    fn nearest_is_ordered() {
        assert!(NEAREST.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(NEAREST.iter().all(|(from, to)| !from.is_ascii() && to.is_ascii()));
    }

    const DESTINATIONS: [&str; 17] = [
        "",
        "ISO_IR 13",
        "ISO_IR 100",
        "ISO_IR 101",
        "ISO_IR 109",
        "ISO_IR 110",
        "ISO_IR 126",
        "ISO_IR 127",
        "ISO_IR 138",
        "ISO_IR 144",
        "ISO_IR 148",
        "ISO_IR 166",
        "ISO_IR 192",
        "ISO_IR 203",
        "GB18030",
        "GBK",
        "ISO_IR 6",
    ];

    proptest! {
        /// Whatever a set can write it reads back.
        #[test]
        fn written_is_read(text in "\\PC{0,40}", at in 0..DESTINATIONS.len()) {
            let set = CharacterSet::parse(DESTINATIONS[at].as_bytes());
            let bytes = set.encode(&text, Illegal::Discard).unwrap();
            let back = set.decode(&bytes, Delimiters::None).unwrap().into_owned();
            let again = set.encode(&back, Illegal::Abort).unwrap();
            prop_assert_eq!(bytes, again);
            if set == CharacterSet::UTF_8 {
                prop_assert_eq!(back, text);
            }
        }

        /// Any bytes in any set: an answer, and not more than thrice the size.
        #[test]
        fn any_bytes(
            value in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0x1B), Just(b'$')], 0..60),
            terms in "(ISO_IR 13|ISO_IR 100|GB18030|ISO_IR 192)?\\\\?(ISO 2022 IR (87|149|58))?",
        ) {
            for delimiters in [Delimiters::None, Delimiters::Values, Delimiters::Components] {
                let set = CharacterSet::parse(terms.as_bytes());
                if let Ok(text) = set.decode(&value, delimiters) {
                    prop_assert!(text.len() <= 3 * value.len());
                }
            }
        }
    }
}
