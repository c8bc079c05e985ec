//! Invariant: any bytes that begin as a recording or a capture are shown, and treated, to an end: no
//! panic, no loop, in bounded memory.
#![no_main]

use dcmfast_core::recording::capture::Capture;
use dcmfast_core::recording::file::{Reader, Step};
use dcmfast_core::recording::format::{encode_file_header, is_recording};
use dcmfast_core::recording::show::{Options, Show};
use dcmfast_core::recording::treat::{DataSets, Treater, Treatment};
use dcmfast_core::recording::{About, Entry, What};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (choice, data) = data.split_first().unwrap_or((&0, &[]));
    let options =
        Options { is_json: choice & 1 == 1, has_data_sets: choice & 2 == 0, connection: None };
    let mut show = Show::new(options);
    let data_sets = if choice & 4 == 0 { DataSets::Replace } else { DataSets::LeaveOut };
    let mut treater = Treater::new(Treatment { data_sets, masks_names: choice & 8 == 0 });
    let mut out = String::new();
    let mut each = |entry: Entry| {
        out.clear();
        show.take(&entry, &mut out);
        treater.take(entry.connection, entry.what, &mut |_| {});
    };
    // The header's checksum is given, so that what is behind it is reached.
    let whole = [&encode_file_header(About::default())[..], data].concat();
    let recording = if is_recording(data) { data } else { &whole };
    if let Ok(Ok((mut reader, _))) = Reader::new(recording) {
        while let Ok(step) = reader.step() {
            match step {
                Step::Entry(entry) => each(entry),
                Step::Notice(_) => {}
                Step::End => break,
            }
        }
    }
    if let Ok(Ok(mut capture)) = Capture::new(data) {
        while let Ok(step) = capture.step() {
            match step {
                Step::Entry(entry) => each(entry),
                Step::Notice(_) => {}
                Step::End => break,
            }
        }
    }
    let bytes = What::Bytes(dcmfast_core::recording::Side::Requestor, data.to_vec());
    each(Entry { connection: u64::MAX, at: Default::default(), what: bytes });
});
