//! Invariant: any bytes are an instance or an error, whatever format is let pass; the data set of an
//! instance lies inside the file and ends with it, and looking again gives the same answer.

#![no_main]

use std::io::Cursor;

use dcmfast_core::storage::reader::{InputFormat, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for format in [InputFormat::Either, InputFormat::File, InputFormat::DataSet] {
        let Ok(found) = inspect(&mut Cursor::new(input), format) else { continue };
        assert_eq!(found.data_set_offset + found.data_set_bytes, input.len() as u64);
        let again = inspect(&mut Cursor::new(input), format).expect("the same bytes");
        assert_eq!(again.sop_instance_uid, found.sop_instance_uid);
        assert_eq!(again.transfer_syntax, found.transfer_syntax);
        assert_eq!(again.data_set_offset, found.data_set_offset);
    }
});
