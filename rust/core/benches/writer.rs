//! The writer against the limit: objects made and published on disk, in each durability mode, by
//! one association and by four.
//!
//! Unit: time per object of 1 KB (and of a CT slice for `none`); with four threads divan shows the
//! time of one thread's object, so four are stored in it. The limit makes the same promise with the
//! fewest calls and checks nothing: create, write, rename; with syncs: fsync of file and directory.
//! Each mode is fair against its own limit only. Not measured: sockets. Files go to the build
//! directory's file system, or to `DCMFAST_BENCH_AREA`. Run: `cargo bench -p dcmfast-core --bench
//! writer`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::dataset::encode;
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::writer::{InstanceRequest, Store, StoreOptions};
use dcmfast_core::tag::{self, Tag};
use dcmfast_core::uid::{Uid, UidText};
use dcmfast_core::vr::Vr;
use divan::Bencher;
use divan::counter::ItemsCount;

const CT: &[u8] = b"1.2.840.10008.5.1.4.1.1.2";
const TINY: usize = 256;
const SLICE: usize = 524_288;

fn main() {
    divan::main();
}

/// An output directory that goes away with the benchmark.
struct Area(PathBuf);

impl Area {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let parent = std::env::var_os("DCMFAST_BENCH_AREA")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("bench-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("an area");
        Self(path)
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("removed");
    }
}

fn uid() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("1.2.3.{:012}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn data_set(uid: &str, pixel_bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixel_bytes + 2048);
    encode::uid(&mut out, tag::SOP_CLASS_UID, CT);
    encode::uid(&mut out, tag::SOP_INSTANCE_UID, uid.as_bytes());
    for element in 0..40 {
        encode::text(&mut out, Tag::new(0x0010, element), Vr(*b"LO"), b"A value ");
    }
    encode::element(&mut out, tag::PIXEL_DATA, Vr::OW, &vec![7; pixel_bytes], 0);
    out
}

fn store(bencher: Bencher<'_, '_>, durability: Durability, pixel_bytes: usize) {
    let area = Area::new();
    let mut options = StoreOptions::new(&area.0);
    options.durability = durability;
    let store: Arc<Store> = Store::open(options).expect("an area");
    bencher
        .counter(ItemsCount::new(1_usize))
        .with_inputs(|| {
            let uid = uid();
            let data = data_set(&uid, pixel_bytes);
            (uid, data)
        })
        .bench_refs(|(uid, data)| {
            let mut writer = store.begin(&InstanceRequest {
                sop_class: UidText::new(CT).expect("a UID"),
                sop_instance: UidText::new(uid.as_bytes()).expect("a UID"),
                transfer_syntax: Uid::known("1.2.840.10008.1.2.1"),
                calling_ae_title: AeTitle::new(b"BENCH"),
            });
            writer.append(&[data]).expect("appended");
            writer.finish().expect("stored")
        });
}

fn limit(bencher: Bencher<'_, '_>, is_synced: bool, pixel_bytes: usize) {
    let area = Area::new();
    let directory = fs::File::open(&area.0).expect("an area");
    bencher
        .counter(ItemsCount::new(1_usize))
        .with_inputs(|| {
            let uid = uid();
            let data = data_set(&uid, pixel_bytes);
            (uid, data)
        })
        .bench_refs(|(uid, data)| {
            let part = area.0.join(format!("part-{uid}"));
            let mut file = fs::File::create_new(&part).expect("created");
            file.write_all(data).expect("written");
            if is_synced {
                file.sync_all().expect("synced");
            }
            drop(file);
            fs::rename(&part, area.0.join(&*uid)).expect("published");
            if is_synced {
                directory.sync_all().expect("synced");
            }
        });
}

#[divan::bench(threads = [1, 4])]
fn tiny_none(bencher: Bencher<'_, '_>) {
    store(bencher, Durability::None, TINY);
}

#[divan::bench(threads = [1, 4])]
fn tiny_none_limit(bencher: Bencher<'_, '_>) {
    limit(bencher, false, TINY);
}

#[divan::bench(threads = [1, 4])]
fn ct_none(bencher: Bencher<'_, '_>) {
    store(bencher, Durability::None, SLICE);
}

#[divan::bench(threads = [1, 4])]
fn ct_none_limit(bencher: Bencher<'_, '_>) {
    limit(bencher, false, SLICE);
}

#[divan::bench(threads = [1, 4], sample_count = 200)]
fn tiny_group(bencher: Bencher<'_, '_>) {
    store(bencher, Durability::Group, TINY);
}

#[divan::bench(threads = [1, 4], sample_count = 200)]
fn tiny_each(bencher: Bencher<'_, '_>) {
    store(bencher, Durability::Each, TINY);
}

#[divan::bench(threads = [1, 4], sample_count = 200)]
fn tiny_synced_limit(bencher: Bencher<'_, '_>) {
    limit(bencher, true, TINY);
}
