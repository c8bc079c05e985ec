//! How many objects a second can be made durable, by way and by how many wait together.
//!
//! Four ways without anything of ours, and a storage area in its three modes. The first way is what
//! a journal can at best be: each object is appended to a file that is allocated and written before,
//! with one fdatasync for all that wait. `storage::journal` quotes the figures.
//!
//! `cargo bench --bench durable [-- DIRECTORY]`; the directory decides about the file system.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::archive::area::{AreaOptions, StorageArea};
use dcmfast_core::archive::listing::MemoryListing;
use dcmfast_core::log::{Level, Logger, NoSink};
use dcmfast_core::storage::backend::tree::{DiskTree, Tree};
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::writer::{DuplicatePolicy, InstanceRequest, StoreMode};
use dcmfast_core::uid::{Uid, UidText};

const SIZES: [usize; 2] = [1024, 525 * 1024];
const PEERS: [usize; 3] = [1, 4, 16];
const DURATION: Duration = Duration::from_millis(1500);

type Store<'a> = Box<dyn Fn(u64, &[u8]) + Send + Sync + 'a>;
type Make = fn(&Path, usize) -> Store<'static>;

/// Waiters share what the first of them does: `write` for each, then one `sync`.
struct Sharing<'a> {
    state: Mutex<(u64, u64, bool)>,
    done: Condvar,
    sync: Box<dyn Fn() + Send + Sync + 'a>,
}

impl<'a> Sharing<'a> {
    fn new(sync: impl Fn() + Send + Sync + 'a) -> Self {
        Self { state: Mutex::default(), done: Condvar::new(), sync: Box::new(sync) }
    }

    /// Returns when a sync that began after now has ended.
    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        let (started, _, _) = *state;
        let target = started + 1;
        loop {
            let (started, ended, is_busy) = *state;
            if ended >= target {
                return;
            }
            if is_busy {
                state = self.done.wait(state).unwrap();
                continue;
            }
            *state = (started + 1, ended, true);
            drop(state);
            (self.sync)();
            state = self.state.lock().unwrap();
            *state = (started + 1, started + 1, false);
            self.done.notify_all();
        }
    }
}

fn preallocated(path: &Path, bytes: usize) -> File {
    let mut file =
        File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..bytes >> 20 {
        file.write_all(&zeros).unwrap();
    }
    file.sync_all().unwrap();
    file
}

fn append<'a>(directory: &Path, size: usize) -> Store<'a> {
    let bytes: u64 = 512 << 20;
    let file = Arc::new(preallocated(&directory.join("append"), bytes as usize));
    let offset = AtomicU64::new(0);
    let synced = Arc::clone(&file);
    let sharing = Sharing::new(move || synced.sync_data().unwrap());
    Box::new(move |_, object| {
        let at = offset.fetch_add(size as u64, Ordering::Relaxed) % (bytes - size as u64);
        file.write_all_at(object, at).unwrap();
        sharing.wait();
    })
}

fn file_each<'a>(directory: &Path, has_directory_sync: bool) -> Store<'a> {
    let directory = directory.to_owned();
    Box::new(move |number, object| {
        let leaf = directory.join(format!("{:x}", number >> 10));
        let part = leaf.join(format!("{number}.part"));
        let mut file = File::create(&part).or_else(|_| {
            let _ = fs::create_dir(&leaf);
            File::create(&part)
        });
        let file = file.as_mut().unwrap();
        file.write_all(object).unwrap();
        file.sync_data().unwrap();
        if has_directory_sync {
            fs::rename(&part, leaf.join(number.to_string())).unwrap();
            File::open(&leaf).unwrap().sync_all().unwrap();
        }
    })
}

fn syncfs<'a>(directory: &Path) -> Store<'a> {
    let tree = DiskTree::open(directory).unwrap();
    let sharing = Sharing::new(move || tree.sync_everything().unwrap());
    let directory = directory.to_owned();
    Box::new(move |number, object| {
        let leaf = directory.join(format!("{:x}", number >> 10));
        let _ = fs::create_dir(&leaf);
        fs::write(leaf.join(number.to_string()), object).unwrap();
        sharing.wait();
    })
}

fn element(tag: [u8; 4], vr: [u8; 2], value: &[u8]) -> Vec<u8> {
    let mut out = tag.to_vec();
    out.extend_from_slice(&vr);
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    out
}

fn area<'a>(directory: &Path, durability: Durability) -> Store<'a> {
    let options = AreaOptions {
        durability,
        duplicates: DuplicatePolicy::Replace,
        quota: None,
        mode: StoreMode::Normal,
        encoding: None,
        has_file_meta: true,
        logger: Arc::new(Logger::new(Level::Info, Arc::new(NoSink))),
    };
    let listing = Arc::new(MemoryListing::default());
    let area = StorageArea::open_with(directory, listing, options).unwrap();
    Box::new(move |number, object| {
        let class = b"1.2.840.10008.5.1.4.1.1.2\0";
        let instance = format!("1.2.3.{number:010}");
        let mut receiver = area.begin(&InstanceRequest {
            sop_class: UidText::new(class).unwrap(),
            sop_instance: UidText::new(instance.as_bytes()).unwrap(),
            transfer_syntax: Uid::known("1.2.840.10008.1.2.1"),
            calling_ae_title: AeTitle::new(b"BENCH"),
        });
        let mut head = element([8, 0, 0x16, 0], *b"UI", class);
        head.extend(element([8, 0, 0x18, 0], *b"UI", instance.as_bytes()));
        head.extend_from_slice(b"\xe0\x7f\x10\x00OB\0\0");
        head.extend_from_slice(&(object.len() as u32).to_le_bytes());
        receiver.append(&[&head]).unwrap();
        for block in object.chunks(256 * 1024) {
            receiver.append(&[block]).unwrap();
        }
        receiver.finish().unwrap();
    })
}

/// Objects stored in a second, and microseconds of processor time for each.
fn measure(store: &Store<'_>, peers: usize, size: usize) -> (f64, f64) {
    let object = vec![7; size];
    let count = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let cpu = cpu_time();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..peers {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    store(count.fetch_add(1, Ordering::Relaxed), &object);
                }
            });
        }
        std::thread::sleep(DURATION);
        is_over.store(true, Ordering::Relaxed);
    });
    // Few enough for one measurement that every number is exact.
    let stored = f64::from(u32::try_from(count.load(Ordering::Relaxed)).unwrap());
    (stored / started.elapsed().as_secs_f64(), (cpu_time() - cpu) / stored * 1e6)
}

/// User and system time of the process, in seconds; ticks of 10 ms are fine enough.
fn cpu_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let base = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let only = arguments.next();
    let ways: [(&str, Make); 7] = [
        ("append, shared fdatasync", append),
        ("file: write, fdatasync", |path, _| file_each(path, false)),
        ("file: and rename, fsync directory", |path, _| file_each(path, true)),
        ("file: write, shared syncfs", |path, _| syncfs(path)),
        ("area none", |path, _| area(path, Durability::None)),
        ("area group", |path, _| area(path, Durability::Group)),
        ("area each", |path, _| area(path, Durability::Each)),
    ];
    for size in SIZES {
        for (name, make) in ways {
            if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            print!("{size:>7} bytes  {name:<34}");
            for peers in PEERS {
                let directory = base.join(format!("dcmfast-durable-{}", std::process::id()));
                fs::create_dir_all(&directory).unwrap();
                let store = make(&directory, size);
                let (rate, cpu_us) = measure(&store, peers, size);
                drop(store);
                fs::remove_dir_all(&directory).unwrap();
                print!("  {peers:>2}: {rate:>7.0}/s {cpu_us:>5.0} us");
                std::io::stdout().flush().unwrap();
            }
            println!();
        }
    }
}
