//! The scanner over directories of real files: good ones must pass.
//!
//! `DCMFAST_CORPUS` names directories (separated by `:`), `DCMFAST_CORPUS_REFUSED` the file names
//! in them that are known to be broken (separated by `,`). Exactly these must be refused. Without
//! the first variable the test says that it was skipped. Each file is scanned whole and in pieces
//! of seven bytes, with the same answer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dcmfast_core::dataset::scan::{ScanError, Scanner};
use dcmfast_core::dataset::transfer_syntax::TransferSyntax;
use dcmfast_core::tag;
use dcmfast_core::uid::Uid;

fn files(directory: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

/// Transfer syntax and data set of a file with preamble and file meta information.
fn data_set(file: &[u8]) -> Option<(Uid, &[u8])> {
    let meta = file.get(128..)?.strip_prefix(b"DICM\x02\0\0\0UL\x04\0")?;
    let (length, meta) = meta.split_first_chunk::<4>()?;
    let (mut group, data_set) = meta.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    while let Some((head, rest)) = group.split_first_chunk::<8>() {
        let is_long = matches!(&head[4..6], b"OB" | b"UN" | b"OW");
        let (length, rest) = if is_long {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            (u32::from_le_bytes(*length) as usize, rest)
        } else {
            (usize::from(u16::from_le_bytes([head[6], head[7]])), rest)
        };
        let (value, rest) = rest.split_at_checked(length)?;
        if head[..4] == [2, 0, 0x10, 0] {
            return Some((Uid::new(value)?, data_set));
        }
        group = rest;
    }
    None
}

fn scan(syntax: &Uid, data: &[u8], piece_bytes: usize) -> (Result<(), ScanError>, u64) {
    let mut scanner = Scanner::new(TransferSyntax::of(syntax), &[tag::SOP_CLASS_UID]);
    let fed = data.chunks(piece_bytes).try_for_each(|piece| scanner.feed(piece));
    let result = fed.and_then(|()| scanner.finish());
    (result, scanner.elements_seen())
}

#[test]
fn good_files_pass() {
    let Ok(corpus) = std::env::var("DCMFAST_CORPUS") else {
        println!("skipped: DCMFAST_CORPUS names no directory");
        return;
    };
    let refused_names = std::env::var("DCMFAST_CORPUS_REFUSED").unwrap_or_default();
    let expected: BTreeSet<String> =
        refused_names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let mut paths = Vec::new();
    for directory in corpus.split(':') {
        files(Path::new(directory), &mut paths);
    }
    paths.sort();
    let (mut count, mut refused) = (0, BTreeSet::new());
    for path in paths {
        let file = fs::read(&path).expect("a file");
        let Some((syntax, data)) = data_set(&file) else { continue };
        count += 1;
        let whole = scan(&syntax, data, data.len().max(1));
        assert_eq!(scan(&syntax, data, 7), whole, "{}", path.display());
        if let (Err(error), _) = whole {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            println!("refused {name} ({syntax}): {error}");
            refused.insert(name);
        }
    }
    println!("{count} files, {} refused", refused.len());
    assert!(count > 0, "no file with file meta information under {corpus}");
    assert_eq!(refused, expected);
}
