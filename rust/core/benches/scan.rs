//! The scanner: bytes per second over headers, bulk values, nested sequences and a deflate stream.
//!
//! Unit: time per data set, bytes per second of what is fed. Not measured: sockets, files. Each
//! result is unwrapped, so a fast wrong answer is no result. Run: `cargo bench -p dcmfast-core
//! --bench scan`.

use dcmfast_core::dataset::encode;
use dcmfast_core::dataset::scan::Scanner;
use dcmfast_core::dataset::transfer_syntax::{
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, TransferSyntax,
};
use dcmfast_core::tag::{self, Tag};
use dcmfast_core::uid::Uid;
use dcmfast_core::vr::Vr;
use divan::Bencher;
use divan::counter::BytesCount;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::Write;

static WANTED: [Tag; 3] = [tag::SOP_CLASS_UID, tag::SOP_INSTANCE_UID, tag::SERIES_DATE];

fn main() {
    divan::main();
}

/// About 1 KB: two UIDs and sixty short text elements.
fn header() -> Vec<u8> {
    let mut out = Vec::new();
    encode::uid(&mut out, tag::SOP_CLASS_UID, b"1.2.840.10008.5.1.4.1.1.2");
    encode::uid(&mut out, tag::SOP_INSTANCE_UID, b"1.2.3.4.5.6.7.8");
    for element in 0..60 {
        encode::text(&mut out, Tag::new(0x0010, element), Vr(*b"LO"), b"A value ");
    }
    out
}

fn with_pixels(pixel_bytes: usize) -> Vec<u8> {
    let mut out = header();
    encode::element(&mut out, tag::PIXEL_DATA, Vr::OW, &vec![7; pixel_bytes], 0);
    out
}

fn scan(syntax: &str, data: &[u8], fragment_bytes: usize) -> u64 {
    let mut scanner = Scanner::new(TransferSyntax::of(&Uid::known(syntax)), &WANTED);
    for fragment in data.chunks(fragment_bytes) {
        scanner.feed(fragment).expect("a whole data set");
    }
    scanner.finish().expect("a whole data set");
    scanner.elements_seen()
}

fn bench(bencher: Bencher<'_, '_>, syntax: &str, data: &[u8], fragment_bytes: usize) {
    bencher.counter(BytesCount::of_slice(data)).bench(|| scan(syntax, data, fragment_bytes));
}

/// Headers only: what the scanner costs per element.
#[divan::bench]
fn header_at_once(bencher: Bencher<'_, '_>) {
    bench(bencher, EXPLICIT_VR_LITTLE_ENDIAN, &header(), usize::MAX);
}

/// The worst split there is.
#[divan::bench]
fn header_byte_by_byte(bencher: Bencher<'_, '_>) {
    bench(bencher, EXPLICIT_VR_LITTLE_ENDIAN, &header(), 1);
}

/// A CT slice in PDVs of the default maximum length: a subtraction per PDV.
#[divan::bench]
fn ct_in_pdvs(bencher: Bencher<'_, '_>) {
    bench(bencher, EXPLICIT_VR_LITTLE_ENDIAN, &with_pixels(524_288), 16_378);
}

/// Hundreds of thousands of empty items: linear, and no allocation each.
#[divan::bench]
fn empty_items(bencher: Bencher<'_, '_>) {
    let mut data = header();
    data.extend_from_slice(b"\x20\x00\x40\x99SQ\0\0\xff\xff\xff\xff");
    data.extend(b"\xfe\xff\x00\xe0\0\0\0\0".repeat(200_000));
    data.extend_from_slice(b"\xfe\xff\xdd\xe0\0\0\0\0");
    bench(bencher, EXPLICIT_VR_LITTLE_ENDIAN, &data, 16_378);
}

/// A deflated data set; bytes are those of the stream.
#[divan::bench]
fn deflated(bencher: Bencher<'_, '_>) {
    let mut data = header();
    let noise: Vec<u8> =
        (0..262_144_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 27) as u8).collect();
    encode::element(&mut data, tag::PIXEL_DATA, Vr::OW, &noise, 0);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&data).expect("memory");
    let stream = encoder.finish().expect("memory");
    bench(bencher, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, &stream, 16_378);
}
