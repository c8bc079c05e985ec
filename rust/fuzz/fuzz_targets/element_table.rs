//! Invariant: any bytes, in any window, give a table whose rows are in order, whose values exist in
//! the source, and which is not larger than the bytes allow (an element has at least eight).

#![no_main]

use dcmfast_core::dataset::element_table::{
    KnownTags, Options, ROW_BYTES, Stop, Window, scan_data_set, scan_sequence, walk_fragments,
};
use libfuzzer_sys::fuzz_target;

fn number(row: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(row[at..at + 8].try_into().unwrap())
}

fn word(row: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(row[at..at + 4].try_into().unwrap())
}

fn check(table: &[u8], end: u64, input: usize) {
    let count = table.len() / ROW_BYTES;
    assert_eq!(table.len(), count * ROW_BYTES);
    assert_eq!(word(table, 12) as usize + 1, count);
    assert!(count <= input / 8 + 2);
    if word(table, 0) == 5 {
        return;
    }
    for (index, row) in table.chunks_exact(ROW_BYTES).enumerate().skip(1) {
        assert!((word(row, 12) as usize) > index && (word(row, 12) as usize) <= count);
        assert!(number(row, 16) + number(row, 24) <= end);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&[flags, beyond], data)) = input.split_first_chunk::<2>() else { return };
    let known = KnownTags::new(vec![0x0008_1140, 0x0040_A730], vec![0x0010_0010, 0x7FE0_0010]);
    let options = Options {
        is_implicit: flags & 1 != 0,
        is_big_endian: flags & 2 != 0,
        is_start: flags & 4 != 0,
        stop: match flags >> 6 {
            0 => Stop::OtherGroup(2),
            1 => Stop::PixelData,
            _ => Stop::Never,
        },
    };
    // The source may go on behind the window, and begin before it.
    let base = u64::from(flags) * 1000;
    let end = base + data.len() as u64 + if flags & 8 != 0 { u64::from(beyond) } else { 0 };
    let window = Window { data, base, end };
    check(&scan_data_set(window, 0, options, &known), end, data.len());
    let table = scan_sequence(data, options.is_implicit, options.is_big_endian, &known);
    check(&table, data.len() as u64, data.len());
    let _ = walk_fragments(window, options.is_big_endian);
});
