//! What is stored: objects of a recipe, or files.
//!
//! Both are asked by number. Objects of a recipe have any number; files are taken in turn, so that
//! the number of an object and that of its file differ when there are more stores than files. Called
//! by `worker` and `audit`.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use xxhash_rust::xxh3::Xxh3;

use super::recipe::{Entity, Recipe};
use crate::client::{NegotiatedContext, Requestor};
use crate::dataset::scan::Scanner;
use crate::dataset::transfer_syntax::{
    EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, TransferSyntax,
};
use crate::limits::{FILE_META_BYTES_MAX, PRESENTATION_CONTEXTS_MAX};
use crate::storage::backend::open_for_reading;
use crate::storage::reader::{InputFormat, ReadError, StoredInstance, inspect};
use crate::tag::Tag;
use crate::uid::{Uid, UidText};

const STUDY_INSTANCE_UID: Tag = Tag::new(0x0020, 0x000D);
const SERIES_INSTANCE_UID: Tag = Tag::new(0x0020, 0x000E);
static PLACE: &[Tag] = &[STUDY_INSTANCE_UID, SERIES_INSTANCE_UID];

/// A file to be stored.
#[derive(Clone, Debug)]
pub struct FileObject {
    path: PathBuf,
    instance: StoredInstance,
    study: UidText,
    series: UidText,
}

/// A file that cannot be stored.
#[derive(Debug)]
pub enum FileError {
    /// The head cannot be read.
    Read(PathBuf, ReadError),
    /// Study or series is not named.
    NoPlace(PathBuf),
    /// The files need more presentation contexts than an association has.
    TooManyContexts,
    /// None at all.
    None,
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::NoPlace(path) => write!(
                formatter,
                "{}: Study or Series Instance UID is missing in the file",
                path.display()
            ),
            Self::TooManyContexts => write!(
                formatter,
                "the files have more than {PRESENTATION_CONTEXTS_MAX} pairs of SOP class and \
                 transfer syntax, which is more than an association can carry"
            ),
            Self::None => formatter.write_str("no file to store"),
        }
    }
}

impl std::error::Error for FileError {}

impl FileObject {
    fn open(path: PathBuf) -> Result<Self, FileError> {
        let look = || -> Result<(StoredInstance, UidText, UidText), ReadError> {
            let mut file = open_for_reading(&path)?;
            let instance = inspect(&mut file, InputFormat::Either)?;
            file.seek(SeekFrom::Start(instance.data_set_offset))?;
            let mut head = Vec::new();
            file.take(FILE_META_BYTES_MAX as u64).read_to_end(&mut head)?;
            let mut scanner = Scanner::new(TransferSyntax::of(&instance.transfer_syntax), PLACE);
            // The head is cut anywhere, and a fault behind it is the receiver's to find.
            let _ = scanner.feed(&head);
            let value = |tag| scanner.value(tag).and_then(UidText::new).unwrap_or_else(no_uid);
            Ok((instance, value(STUDY_INSTANCE_UID), value(SERIES_INSTANCE_UID)))
        };
        match look() {
            Ok((_, study, series)) if study.is_empty() || series.is_empty() => {
                Err(FileError::NoPlace(path))
            }
            Ok((instance, study, series)) => Ok(Self { path, instance, study, series }),
            Err(error) => Err(FileError::Read(path, error)),
        }
    }
}

fn no_uid() -> UidText {
    UidText::new(b"").unwrap_or_else(|| Uid::known("0").text())
}

/// Where objects come from.
#[derive(Debug)]
pub enum Source {
    /// Made.
    Recipe(Recipe),
    /// Read.
    Files {
        /// In the order given.
        files: Vec<FileObject>,
        /// The first file of each SOP Instance UID.
        by_uid: HashMap<UidText, u32>,
    },
}

/// What is said of an object.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// SOP class.
    pub class: UidText,
    /// SOP instance.
    pub instance: UidText,
    /// Study.
    pub study: UidText,
    /// Series.
    pub series: UidText,
}

impl Source {
    /// The files at `paths`, each looked at now.
    ///
    /// # Errors
    ///
    /// The first that cannot be stored.
    pub fn of_files(paths: Vec<PathBuf>) -> Result<Self, FileError> {
        if paths.is_empty() {
            return Err(FileError::None);
        }
        let files = paths.into_iter().map(FileObject::open).collect::<Result<Vec<_>, _>>()?;
        let mut by_uid = HashMap::new();
        for (number, file) in (0..).zip(&files) {
            by_uid.entry(file.instance.sop_instance_uid).or_insert(number);
        }
        let source = Self::Files { files, by_uid };
        // Query contexts and verification travel with them.
        if source.contexts().len() + OTHER_CONTEXTS > PRESENTATION_CONTEXTS_MAX {
            return Err(FileError::TooManyContexts);
        }
        Ok(source)
    }

    /// Abstract and transfer syntax of each presentation context that storing needs.
    pub fn contexts(&self) -> Vec<(Uid, Uid)> {
        match self {
            Self::Recipe(recipe) => [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN]
                .map(|syntax| (recipe.kind.sop_class(), Uid::known(syntax)))
                .into(),
            Self::Files { files, .. } => {
                let mut pairs = Vec::new();
                let mut seen = std::collections::HashSet::new();
                for file in files {
                    let syntax = file.instance.transfer_syntax;
                    if let Some(class) = file.instance.sop_class_uid.to_uid() {
                        if seen.insert((class, syntax)) {
                            pairs.push((class, syntax));
                        }
                    }
                }
                pairs
            }
        }
    }

    /// The object that the `number`-th store sends: itself, or its file.
    pub fn object_of(&self, number: u32) -> u32 {
        match self {
            Self::Recipe(_) => number,
            Self::Files { files, by_uid } => {
                let at = number as usize % files.len().max(1);
                // Two files may be the same object.
                let uid = files.get(at).map(|file| file.instance.sop_instance_uid);
                uid.and_then(|uid| by_uid.get(&uid)).copied().unwrap_or_default()
            }
        }
    }

    /// How many objects `stores` stores make.
    pub fn objects(&self, stores: u32) -> u32 {
        match self {
            Self::Recipe(_) => stores,
            Self::Files { files, .. } => stores.min(u32::try_from(files.len()).unwrap_or(u32::MAX)),
        }
    }

    /// What is said of an object.
    pub fn names(&self, object: u32) -> Names {
        match self {
            Self::Recipe(recipe) => Names {
                class: recipe.kind.sop_class().text(),
                instance: recipe.uid(Entity::Instance, object).text(),
                study: recipe.uid(Entity::Study, recipe.study_of(object)).text(),
                series: recipe.uid(Entity::Series, recipe.series_of(object)).text(),
            },
            Self::Files { files, .. } => match files.get(object as usize) {
                Some(file) => Names {
                    class: file.instance.sop_class_uid,
                    instance: file.instance.sop_instance_uid,
                    study: file.study,
                    series: file.series,
                },
                None => {
                    Names { class: no_uid(), instance: no_uid(), study: no_uid(), series: no_uid() }
                }
            },
        }
    }

    /// The object with this SOP Instance UID.
    pub fn object_named(&self, instance: &UidText) -> Option<u32> {
        match self {
            Self::Recipe(recipe) => recipe.number_of(Entity::Instance, instance.as_bytes()),
            Self::Files { by_uid, .. } => by_uid.get(instance).copied(),
        }
    }

    /// The context over which an object goes, of those that the peer accepted.
    pub fn context_of<'r>(
        &self,
        object: u32,
        requestor: &'r Requestor,
    ) -> Option<&'r NegotiatedContext> {
        let mut contexts = requestor.contexts().iter();
        match self {
            Self::Recipe(recipe) => {
                let class = recipe.kind.sop_class();
                contexts.find(|c| c.abstract_syntax == class && c.transfer_syntax.is_some())
            }
            Self::Files { files, .. } => {
                let instance = &files.get(object as usize)?.instance;
                contexts.find(|context| {
                    context.abstract_syntax.text() == instance.sop_class_uid
                        && context.transfer_syntax == Some(instance.transfer_syntax)
                })
            }
        }
    }

    /// The data set of an object in a transfer syntax: its length, and its bytes.
    ///
    /// # Errors
    ///
    /// The system's; and a transfer syntax in which the object cannot be had.
    pub fn data_set(&self, object: u32, syntax: &Uid) -> io::Result<(u64, Box<dyn Read>)> {
        match self {
            Self::Recipe(recipe) => {
                let is_explicit = match syntax.as_str() {
                    EXPLICIT_VR_LITTLE_ENDIAN => true,
                    IMPLICIT_VR_LITTLE_ENDIAN => false,
                    _ => return Err(io::ErrorKind::Unsupported.into()),
                };
                let stream = recipe.stream(object, is_explicit);
                let bytes = stream.get_ref().0.get_ref().len() as u64 + recipe.pixel_length(object);
                Ok((bytes, Box::new(stream)))
            }
            Self::Files { files, .. } => {
                let file = files.get(object as usize).ok_or(io::ErrorKind::NotFound)?;
                let instance = &file.instance;
                if instance.transfer_syntax != *syntax {
                    return Err(io::ErrorKind::Unsupported.into());
                }
                let mut opened = open_for_reading(&file.path)?;
                opened.seek(SeekFrom::Start(instance.data_set_offset))?;
                // A fragment has an even length (PS3.8 §9.3.5.1): what a deflated data set lacks of
                // its padding (PS3.5 §A.5) is put behind it.
                let padding: &'static [u8] =
                    if instance.data_set_bytes % 2 == 1 { &[0] } else { &[] };
                let bytes = instance.data_set_bytes + padding.len() as u64;
                Ok((bytes, Box::new(opened.take(instance.data_set_bytes).chain(padding))))
            }
        }
    }

    /// The data set of an object as it is without being asked for another, and its transfer syntax.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn stored(&self, object: u32) -> io::Result<(Box<dyn Read>, Uid)> {
        let syntax = match self {
            Self::Recipe(_) => Uid::known(EXPLICIT_VR_LITTLE_ENDIAN),
            Self::Files { files, .. } => {
                files.get(object as usize).ok_or(io::ErrorKind::NotFound)?.instance.transfer_syntax
            }
        };
        let (_, stream) = self.data_set(object, &syntax)?;
        Ok((stream, syntax))
    }

    /// The digest of an object's data set in a transfer syntax.
    ///
    /// # Errors
    ///
    /// As [`Source::data_set`].
    pub fn digest(&self, object: u32, syntax: &Uid) -> io::Result<u64> {
        let (_, mut stream) = self.data_set(object, syntax)?;
        let mut digest = Xxh3::new();
        let mut block = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut block)? {
                0 => return Ok(digest.digest()),
                count => digest.update(block.get(..count).unwrap_or_default()),
            }
        }
    }
}

/// Contexts beside those of storage: verification, and three of query/retrieve.
pub const OTHER_CONTEXTS: usize = 4;
