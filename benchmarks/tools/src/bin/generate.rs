//! Writes instances as files, a thousand to a directory: what an archive is filled from in bulk.
//!
//! Usage: `generate INSTANCES --first F --objects M --directory DIR`. The files are
//! `DIR/<n / 1000>/<n>.dcm`, with file meta information.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use dcmfast_bench_tools as wire;
use wire::instances::{Instances, file_meta};

const FILES_PER_DIRECTORY: usize = 1000;

fn main() -> io::Result<()> {
    let mut instances = Instances::default();
    let (mut first, mut objects, mut directory) = (0, 0, PathBuf::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match name.as_str() {
            "--first" => first = value.parse().map_err(io::Error::other)?,
            "--objects" => objects = value.parse().map_err(io::Error::other)?,
            "--directory" => directory = PathBuf::from(value),
            _ if instances.take_argument(&name, &value).map_err(io::Error::other)? => {}
            _ => return Err(io::Error::other(format!("unknown argument {name}"))),
        }
    }
    instances.check().map_err(io::Error::other)?;
    let pixels: Vec<u8> =
        instances.pattern.iter().copied().cycle().take(instances.pixel_bytes).collect();
    let mut folder = PathBuf::new();
    for n in first..first + objects {
        if n == first || n % FILES_PER_DIRECTORY == 0 {
            folder = directory.join(format!("{:05}", n / FILES_PER_DIRECTORY));
            fs::create_dir_all(&folder)?;
        }
        let mut bytes = file_meta(
            instances.sop_class.as_bytes(),
            instances.uid(n).as_bytes(),
            wire::EXPLICIT_VR_LITTLE_ENDIAN.as_bytes(),
        );
        bytes.extend(instances.head(n));
        bytes.extend(&pixels);
        File::create_new(folder.join(format!("{n:09}.dcm")))?.write_all(&bytes)?;
    }
    Ok(())
}
