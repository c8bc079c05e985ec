//! A storage area with its index: objects acknowledged, and objects that are in the index and have
//! their files.
//!
//! Unit: time per object of 1 KB out of studies of 25; `applied` counts all that an object costs
//! until a query finds it, by the association and by the area's own threads. Not measured: sockets.
//! Files go to the build directory's file system, or to `DCMFAST_BENCH_AREA`: on ext4 take a fresh one, as
//! numbers of deleted inodes slow the next files down for seconds. Run: `cargo bench -p
//! dcmfast-core --bench area`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::archive::area::AreaOptions;
use dcmfast_core::archive::indexed::OpenArea;
use dcmfast_core::dataset::encode;
use dcmfast_core::log::{Level, Logger, NoSink};
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::writer::{DuplicatePolicy, InstanceRequest, StoreMode};
use dcmfast_core::tag::{self, Tag};
use dcmfast_core::uid::{Uid, UidText};
use dcmfast_core::vr::Vr;
use divan::Bencher;
use divan::counter::ItemsCount;

const CLASS: &[u8] = b"1.2.840.10008.5.1.4.1.1.7";
const PIXEL_BYTES: usize = 256;
const INSTANCES_PER_STUDY: u64 = 25;
/// What one iteration of `applied` stores.
const BATCH: usize = 2_000;

fn main() {
    divan::main();
}

/// An open area that goes away with the benchmark.
struct Scratch {
    path: PathBuf,
    opened: Option<OpenArea>,
}

impl Scratch {
    fn new(durability: Durability) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let parent = std::env::var_os("DCMFAST_BENCH_AREA")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("bench-area-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        let options = AreaOptions {
            durability,
            duplicates: DuplicatePolicy::Replace,
            quota: None,
            mode: StoreMode::Normal,
            encoding: None,
            has_file_meta: true,
            logger: Arc::new(Logger::new(Level::Off, Arc::new(NoSink))),
        };
        let opened = Some(OpenArea::open(&path, options).expect("an area"));
        Self { path, opened }
    }

    fn opened(&self) -> &OpenArea {
        self.opened.as_ref().expect("open")
    }

    fn store_next(&self) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let instance = format!("2.25.287103519470318622371946803.1{number:011}");
        let request = InstanceRequest {
            sop_class: UidText::new(CLASS).expect("a UID"),
            sop_instance: UidText::new(instance.as_bytes()).expect("a UID"),
            transfer_syntax: Uid::known("1.2.840.10008.1.2.1"),
            calling_ae_title: AeTitle::new(b"BENCH"),
        };
        let mut receiver = self.opened().area.begin(&request);
        receiver.append(&[&data_set(&instance, number)]).expect("taken");
        receiver.finish().expect("stored");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(opened) = self.opened.take() {
            opened.area.close().expect("closed");
        }
        fs::remove_dir_all(&self.path).expect("removed");
    }
}

fn data_set(instance: &str, number: u64) -> Vec<u8> {
    let study = number / INSTANCES_PER_STUDY;
    let patient = study / 2;
    let mut out = Vec::with_capacity(1024);
    let mut text = |group, element, vr: &[u8; 2], value: String| {
        encode::text(&mut out, Tag::new(group, element), Vr(*vr), value.as_bytes());
    };
    text(0x0008, 0x0005, b"CS", "ISO_IR 100".to_owned());
    text(0x0008, 0x0016, b"UI", "1.2.840.10008.5.1.4.1.1.7\0".to_owned());
    text(0x0008, 0x0018, b"UI", format!("{instance}\0"));
    text(0x0008, 0x0020, b"DA", format!("20{:02}0228", study % 24));
    text(0x0008, 0x0030, b"TM", "101112.123456".to_owned());
    text(0x0008, 0x0050, b"SH", format!("ACC{study:07}"));
    text(0x0008, 0x0060, b"CS", "OT".to_owned());
    text(0x0008, 0x0090, b"PN", "Referent^Anne".to_owned());
    text(0x0008, 0x1030, b"LO", "Throughput study".to_owned());
    text(0x0008, 0x103E, b"LO", "tiny series".to_owned());
    text(0x0010, 0x0010, b"PN", format!("Bank{patient:07}^Benchmark"));
    text(0x0010, 0x0020, b"LO", format!("BENCH-{patient:07}"));
    text(0x0010, 0x0030, b"DA", "19700101".to_owned());
    text(0x0010, 0x0040, b"CS", "O".to_owned());
    text(0x0020, 0x000D, b"UI", format!("2.25.287103519470318622371946803.21{study:07}"));
    text(0x0020, 0x000E, b"UI", format!("2.25.287103519470318622371946803.31{study:07}"));
    text(0x0020, 0x0010, b"SH", format!("{study:07}"));
    text(0x0020, 0x0011, b"IS", "1".to_owned());
    text(0x0020, 0x0013, b"IS", (number % INSTANCES_PER_STUDY).to_string());
    encode::element(&mut out, tag::PIXEL_DATA, Vr::OW, &[7; PIXEL_BYTES], 0);
    out
}

const MODES: [Durability; 2] = [Durability::None, Durability::Group];

/// Until the response could go out.
#[divan::bench(args = MODES, threads = [1, 4, 16], sample_count = 20, sample_size = 100)]
fn acknowledged(bencher: Bencher, durability: Durability) {
    let scratch = Scratch::new(durability);
    bencher.counter(ItemsCount::new(1_usize)).bench(|| scratch.store_next());
}

/// Until a query finds all of them.
#[divan::bench(args = MODES, sample_count = 10, sample_size = 1)]
fn applied(bencher: Bencher, durability: Durability) {
    let scratch = Scratch::new(durability);
    bencher.counter(ItemsCount::new(BATCH)).bench(|| {
        for _ in 0..BATCH {
            scratch.store_next();
        }
        scratch.opened().area.barrier().expect("applied");
    });
}
