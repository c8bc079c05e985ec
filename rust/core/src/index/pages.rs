//! Looking at the pages of an index before LMDB maps them.
//!
//! LMDB keeps no checksums and believes what its pages say: a page full of garbage makes it read
//! beyond its map, which ends the process. So the pages that everything else hangs on are read here
//! with plain reads first, and judged by their structure: the two meta pages, the list of free
//! pages, the root of every table, and, as far as [`Reach`] says, all that is below them. What no
//! structure can show is a value that was changed within itself: records have a version byte and
//! are decoded with checks (`index::record`), and the files are the truth (`dcmfast index verify`).
//!
//! The layout is LMDB 0.9's, in the order of bytes and the word size of this machine (`mdb.c`,
//! `MDB_page`, `MDB_node`, `MDB_meta`); a file of another kind is left to LMDB, which refuses it.
//! While a writer commits, pages of the newest state stay as they are until the commit after the
//! next begins: who looks without a transaction of its own looks again when the state has changed.
//!
//! Called by `index::env`. Knows no file: it is given a function that reads.

use std::io;

use crate::limits::INDEX_UNWRITTEN_BYTES_MAX;

/// Reads bytes at an offset into the whole buffer; fewer at the end of the file.
pub(crate) type ReadAt<'r> = &'r dyn Fn(u64, &mut [u8]) -> io::Result<usize>;

/// What is wrong with the pages.
#[derive(Debug)]
pub(crate) enum PageFault {
    /// They cannot be read.
    Io(io::Error),
    /// One of them is not what it should be.
    Damaged(&'static str),
}

impl From<io::Error> for PageFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

type Checked<T> = Result<T, PageFault>;

fn damaged<T>(what: &'static str) -> Checked<T> {
    Err(PageFault::Damaged(what))
}

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Meta pages, free pages, the list of tables and their roots: a dozen pages.
    Roots,
    /// All branch pages, too: one in some hundred.
    Branches,
    /// All pages, down to the last value.
    All,
}

/// One tree of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    depth: u16,
    root: u64,
}

/// One state of the index as its meta page has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Number of the transaction that made it.
    pub transaction: u64,
    page_bytes: usize,
    last_page: u64,
    free: Tree,
    main: Tree,
}

const WORD: usize = size_of::<usize>();
/// `MDB_page` up to its list of nodes: number, padding, flags, and where nodes end and begin.
const HEADER: usize = WORD + 8;
/// `MDB_node` up to its key.
const NODE: usize = 8;
/// `MDB_db`.
const DB_BYTES: usize = 8 + 5 * WORD;
const META_BYTES: usize = 8 + 2 * WORD + 2 * DB_BYTES + 2 * WORD;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
const META: u16 = 0x08;
/// Of a page's flags, those that say what it is; the others belong to transactions under way.
const KINDS: u16 = 0x6F;

const BIG_DATA: u16 = 0x01;
const SUB_DATA: u16 = 0x02;

const MAGIC: u32 = 0xBEEF_C0DE;
const DATA_VERSION: u32 = 1;
const PAGE_BYTES_MIN: usize = 512;
const PAGE_BYTES_MAX: usize = 0x8000;
/// LMDB's own bound on the pages from root to leaf.
const DEPTH_MAX: u16 = 32;
/// Bytes that LMDB may reserve in a list of free pages beyond those that it fills.
const UNUSED_LIST_BYTES: u64 = 1 << 20;
/// The root of an empty tree.
const NO_PAGE: u64 = usize::MAX as u64;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn word_at(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..at + WORD).and_then(|word| word.try_into().ok());
    word.map_or(0, usize::from_ne_bytes) as u64
}

impl Tree {
    fn of(db: &[u8]) -> Self {
        Self { depth: u16_at(db, 6), root: word_at(db, 8 + 4 * WORD) }
    }

    fn is_empty(self) -> bool {
        self.root == NO_PAGE
    }
}

/// Reads one page whole.
fn read_page(read: ReadAt<'_>, page_bytes: usize, number: u64, page: &mut Vec<u8>) -> Checked<()> {
    page.resize(page_bytes, 0);
    fill(read, number.saturating_mul(page_bytes as u64), page)
}

/// Reads all of `buffer`; what is beyond the end of the file reads as zeros.
fn fill(read: ReadAt<'_>, at: u64, buffer: &mut [u8]) -> Checked<()> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read(at.saturating_add(filled as u64), rest) {
            Ok(0) => {
                rest.fill(0);
                break;
            }
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Snapshot {
    /// The newest state in a file of `file_bytes`; `None` where there is none, or none of a kind that
    /// LMDB 0.9 reads on this machine.
    pub fn newest(read: ReadAt<'_>, file_bytes: u64) -> Checked<Option<Self>> {
        let mut block = vec![0; HEADER + META_BYTES];
        let mut newest: Option<Self> = None;
        let mut at = 0;
        for _ in 0..2 {
            block.fill(0);
            fill(read, at, &mut block)?;
            let Some(meta) = block.get(HEADER..) else { return Ok(None) };
            let is_known = u32_at(meta, 0) == MAGIC && u32_at(meta, 4) == DATA_VERSION;
            if u16_at(&block, WORD + 2) & KINDS != META || !is_known {
                return Ok(None);
            }
            let databases = 8 + 2 * WORD;
            let page_bytes = u32_at(meta, databases) as usize;
            if !page_bytes.is_power_of_two()
                || !(PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&page_bytes)
                || newest.is_some_and(|first| first.page_bytes != page_bytes)
            {
                return damaged("a meta page has no size of pages");
            }
            let rest = databases + 2 * DB_BYTES;
            let found = Self {
                transaction: word_at(meta, rest + WORD),
                page_bytes,
                last_page: word_at(meta, rest),
                free: Tree::of(meta.get(databases..).unwrap_or_default()),
                main: Tree::of(meta.get(databases + DB_BYTES..).unwrap_or_default()),
            };
            if newest.is_none_or(|first| first.transaction < found.transaction) {
                newest = Some(found);
            }
            at = page_bytes as u64;
        }
        // LMDB may leave a little at the end unwritten that one transaction took and gave back.
        if let Some(found) = newest {
            let end = found.last_page.saturating_add(1).saturating_mul(found.page_bytes as u64);
            if found.last_page == 0 || end > file_bytes.saturating_add(INDEX_UNWRITTEN_BYTES_MAX) {
                return damaged("it ends before its last page");
            }
        }
        Ok(newest)
    }

    /// Looks at the pages of this state, as far as `reach` says.
    pub fn check(&self, read: ReadAt<'_>, reach: Reach) -> Checked<()> {
        let free = self.check_free(read)?;
        let walk = Walk { snapshot: self, read, free: &free, reach, kind: Kind::Rows };
        for (_, tree) in self.tables(read)? {
            walk.part(tree, None, usize::MAX)?;
        }
        Ok(())
    }

    /// Looks at all pages of one table, `pages` of them and a few more at a time, from the key `from`
    /// on. Returns the key to go on from; `None` at the end.
    pub fn check_part(
        &self,
        read: ReadAt<'_>,
        table: &[u8],
        from: Option<&[u8]>,
        pages: usize,
    ) -> Checked<Option<Vec<u8>>> {
        let tables = self.tables(read)?;
        let Some((_, tree)) = tables.iter().find(|(name, _)| name == table) else {
            return damaged("a table is missing");
        };
        let free = self.check_free(read)?;
        let walk = Walk { snapshot: self, read, free: &free, reach: Reach::All, kind: Kind::Rows };
        walk.part(*tree, from, pages)
    }

    /// The named tables.
    fn tables(&self, read: ReadAt<'_>) -> Checked<Vec<(Vec<u8>, Tree)>> {
        let mut tables = Vec::new();
        let none = Bits::default();
        let walk =
            Walk { snapshot: self, read, free: &none, reach: Reach::All, kind: Kind::Tables };
        walk.leaves(self.main, None, usize::MAX, &mut |node| {
            if node.flags != SUB_DATA || node.data.len() != DB_BYTES {
                return damaged("a table is none");
            }
            tables.push((node.key.to_vec(), Tree::of(node.data)));
            Ok(())
        })?;
        Ok(tables)
    }

    /// The pages that the next transactions may use, each once and none of them out of range.
    fn check_free(&self, read: ReadAt<'_>) -> Checked<Bits> {
        let mut free = Bits::default();
        let none = Bits::default();
        let walk = Walk { snapshot: self, read, free: &none, reach: Reach::All, kind: Kind::Free };
        let mut lists = Vec::new();
        walk.leaves(self.free, None, usize::MAX, &mut |node| {
            if node.key.len() != WORD {
                return damaged("the list of free pages is none");
            }
            if node.flags & BIG_DATA == 0 {
                return self.add_free(node.data, &mut free);
            }
            // A list has room for no more pages than there are, and a little that is not used.
            let bytes_max = (self.last_page + 2).saturating_mul(WORD as u64) + UNUSED_LIST_BYTES;
            if node.data_bytes > bytes_max {
                return damaged("the list of free pages is none");
            }
            lists.push((word_at(node.data, 0), node.data_bytes));
            Ok(())
        })?;
        let mut list = Vec::new();
        for (page, bytes) in lists {
            // Within the file: the walk has seen to that.
            list.resize(bytes as usize, 0);
            fill(read, page * self.page_bytes as u64 + HEADER as u64, &mut list)?;
            self.add_free(&list, &mut free)?;
        }
        Ok(free)
    }

    fn add_free(&self, list: &[u8], free: &mut Bits) -> Checked<()> {
        const WHAT: &str = "the list of free pages is none";
        let count = word_at(list, 0);
        let mut words = list.chunks_exact(WORD);
        if words.next().is_none() || count > words.len() as u64 {
            return damaged(WHAT);
        }
        for word in words.take(count as usize) {
            let page = word_at(word, 0);
            if page < 2 || page > self.last_page || !free.add(page) {
                return damaged(WHAT);
            }
        }
        Ok(())
    }
}

/// Page numbers.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// False when it is there already.
    fn add(&mut self, page: u64) -> bool {
        let Ok(at) = usize::try_from(page / 64) else { return false };
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        let bit = 1 << (page % 64);
        let is_new = self.0.get(at).is_some_and(|bits| bits & bit == 0);
        if let Some(bits) = self.0.get_mut(at) {
            *bits |= bit;
        }
        is_new
    }

    fn has(&self, page: u64) -> bool {
        let at = usize::try_from(page / 64).unwrap_or(usize::MAX);
        self.0.get(at).is_some_and(|bits| bits >> (page % 64) & 1 == 1)
    }
}

/// A node of a leaf page.
struct Leaf<'p> {
    key: &'p [u8],
    flags: u16,
    /// What stands in the page: the value, or where it is.
    data: &'p [u8],
    /// Length of the value.
    data_bytes: u64,
}

/// A walk through one tree.
struct Walk<'w> {
    snapshot: &'w Snapshot,
    read: ReadAt<'w>,
    /// Pages that no tree may have.
    free: &'w Bits,
    reach: Reach,
    kind: Kind,
}

/// What a tree holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Lists of free pages, by transaction: their keys are numbers in the order of this machine.
    Free,
    /// Tables by name.
    Tables,
    /// Rows of a table.
    Rows,
}

/// A branch page on the way down.
struct Step {
    page: Vec<u8>,
    next: usize,
}

impl Walk<'_> {
    fn part(&self, tree: Tree, from: Option<&[u8]>, pages: usize) -> Checked<Option<Vec<u8>>> {
        self.leaves(tree, from, pages, &mut |_| Ok(()))
    }

    /// Shows the nodes of the leaf pages in the order of their keys, of those that hold `from` and
    /// what follows. Ends after `pages` pages, and says with which key to go on.
    fn leaves(
        &self,
        tree: Tree,
        from: Option<&[u8]>,
        pages: usize,
        visit: &mut dyn FnMut(Leaf<'_>) -> Checked<()>,
    ) -> Checked<Option<Vec<u8>>> {
        if tree.is_empty() {
            return if tree.depth == 0 { Ok(None) } else { damaged("a table has no root") };
        }
        if tree.depth == 0 || tree.depth > DEPTH_MAX {
            return damaged("a table is too deep");
        }
        let mut steps: Vec<Step> = Vec::new();
        let mut page = Vec::new();
        let mut number = tree.root;
        let mut seen = 0_u64;
        let mut last = Vec::new();
        loop {
            // Down to a leaf.
            let is_leaf = steps.len() + 1 == usize::from(tree.depth);
            self.is_in_range(number)?;
            seen += 1;
            // No tree has more pages than there are: two branches that lead to one page, or a circle.
            if seen > self.snapshot.last_page {
                return damaged("a page is in two places");
            }
            if is_leaf && self.reach != Reach::All && !steps.is_empty() {
                // Only its number is looked at.
            } else {
                read_page(self.read, self.snapshot.page_bytes, number, &mut page)?;
                check_page(&page, number, if is_leaf { LEAF } else { BRANCH })?;
                if is_leaf {
                    self.check_leaf(&page, &mut last, visit)?;
                } else if self.reach == Reach::Roots {
                    return self.check_children(&page).map(|()| None);
                } else {
                    let next = from.map_or(0, |from| child_of(&page, from));
                    steps.push(Step { page: core::mem::take(&mut page), next });
                }
            }
            // To the next child; from here on every key is of interest.
            number = loop {
                let Some(step) = steps.last_mut() else { return Ok(None) };
                let child = step.next;
                if child < nodes_of(&step.page) {
                    step.next += 1;
                    if is_leaf && seen >= pages as u64 && self.reach == Reach::All {
                        let key = node_key(&step.page, child).to_vec();
                        if from.is_some_and(|from| *key <= *from) {
                            return damaged("keys are out of order");
                        }
                        return Ok(Some(key));
                    }
                    break child_page(&step.page, child);
                }
                steps.pop();
            };
        }
    }

    fn is_in_range(&self, number: u64) -> Checked<()> {
        if number < 2 || number > self.snapshot.last_page {
            return damaged("a page number leads nowhere");
        }
        if self.free.has(number) {
            return damaged("a page is free and in use");
        }
        Ok(())
    }

    fn check_children(&self, page: &[u8]) -> Checked<()> {
        (0..nodes_of(page)).try_for_each(|at| self.is_in_range(child_page(page, at)))
    }

    fn check_leaf(
        &self,
        page: &[u8],
        last: &mut Vec<u8>,
        visit: &mut dyn FnMut(Leaf<'_>) -> Checked<()>,
    ) -> Checked<()> {
        for at in 0..nodes_of(page) {
            let node = node_at(page, at);
            let flags = u16_at(page, node + 4);
            let begin = node + NODE + key_bytes(page, node);
            let data_bytes = u64::from(u32_at(page, node));
            let allowed = if self.kind == Kind::Tables { SUB_DATA } else { BIG_DATA };
            if flags & !allowed != 0 {
                return damaged("a value is of another kind");
            }
            let is_big = flags & BIG_DATA != 0;
            let here = if is_big { WORD } else { data_bytes as usize };
            let Some(data) = page.get(begin..begin.saturating_add(here)) else {
                return damaged("a value is longer than its page");
            };
            if is_big {
                self.check_overflow(word_at(data, 0), data_bytes)?;
            }
            let key = page.get(node + NODE..begin).unwrap_or_default();
            if self.kind != Kind::Free && key <= last.as_slice() {
                return damaged("keys are out of order");
            }
            visit(Leaf { key, flags, data, data_bytes })?;
            last.clear();
            last.extend_from_slice(key);
        }
        Ok(())
    }

    /// A value on pages of its own.
    fn check_overflow(&self, number: u64, data_bytes: u64) -> Checked<()> {
        let page_bytes = self.snapshot.page_bytes as u64;
        let pages = (HEADER as u64 - 1 + data_bytes) / page_bytes + 1;
        self.is_in_range(number)?;
        self.is_in_range(number.saturating_add(pages - 1))?;
        let mut head = [0; HEADER];
        fill(self.read, number * page_bytes, &mut head)?;
        if word_at(&head, 0) != number
            || u16_at(&head, WORD + 2) & KINDS != OVERFLOW
            || u64::from(u32_at(&head, WORD + 4)) < pages
        {
            return damaged("a long value is not where it should be");
        }
        Ok(())
    }
}

/// That the page is what it should be, and all of its nodes lie within it.
fn check_page(page: &[u8], number: u64, kind: u16) -> Checked<()> {
    const WHAT: &str = "a page is not what it should be";
    let (lower, upper) = ends(page);
    if word_at(page, 0) != number
        || u16_at(page, WORD + 2) & KINDS != kind
        || lower <= HEADER
        || lower % 2 != 0
        || upper < lower
        || upper > page.len()
    {
        return damaged(WHAT);
    }
    for at in 0..nodes_of(page) {
        let node = node_at(page, at);
        if node < upper || node % 2 != 0 || node + NODE > page.len() {
            return damaged(WHAT);
        }
        if node + NODE + key_bytes(page, node) > page.len() {
            return damaged("a key is longer than its page");
        }
    }
    Ok(())
}

/// Where the list of nodes ends and the nodes begin.
fn ends(page: &[u8]) -> (usize, usize) {
    (usize::from(u16_at(page, WORD + 4)), usize::from(u16_at(page, WORD + 6)))
}

fn nodes_of(page: &[u8]) -> usize {
    ends(page).0.saturating_sub(HEADER) / 2
}

fn node_at(page: &[u8], at: usize) -> usize {
    usize::from(u16_at(page, HEADER + 2 * at))
}

fn key_bytes(page: &[u8], node: usize) -> usize {
    usize::from(u16_at(page, node + 6))
}

fn node_key(page: &[u8], at: usize) -> &[u8] {
    let key = node_at(page, at) + NODE;
    page.get(key..key + key_bytes(page, key - NODE)).unwrap_or_default()
}

/// The page that the `at`-th node of a branch leads to.
fn child_page(page: &[u8], at: usize) -> u64 {
    let node = node_at(page, at);
    let low = u64::from(u32_at(page, node));
    if WORD > 4 { low | u64::from(u16_at(page, node + 4)) << 32 } else { low }
}

/// The child of a branch below which `key` would stand. The first one has no key.
fn child_of(page: &[u8], key: &[u8]) -> usize {
    (1..nodes_of(page)).take_while(|at| node_key(page, *at) <= key).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    /// Two meta pages, the second of them newer, of an index without tables.
    fn metas(last_page: u64) -> Vec<u8> {
        let mut file = vec![0; 2 * PAGE];
        for (number, page) in file.chunks_mut(PAGE).enumerate() {
            let mut put =
                |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
            put(0, &number.to_ne_bytes());
            put(WORD + 2, &META.to_ne_bytes());
            put(HEADER, &MAGIC.to_ne_bytes());
            put(HEADER + 4, &DATA_VERSION.to_ne_bytes());
            let databases = HEADER + 8 + 2 * WORD;
            put(databases, &(PAGE as u32).to_ne_bytes());
            for tree in [databases, databases + DB_BYTES] {
                put(tree + 8 + 4 * WORD, &usize::MAX.to_ne_bytes());
            }
            put(databases + 2 * DB_BYTES, &(last_page as usize).to_ne_bytes());
            put(databases + 2 * DB_BYTES + WORD, &number.to_ne_bytes());
        }
        file
    }

    fn newest(file: &[u8], file_bytes: u64) -> Checked<Option<Snapshot>> {
        let read = |at: u64, buffer: &mut [u8]| {
            let rest = file.get(at as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        };
        let found = Snapshot::newest(&read, file_bytes)?;
        if let Some(found) = &found {
            found.check(&read, Reach::All)?;
        }
        Ok(found)
    }

    /// limits::INDEX_UNWRITTEN_BYTES_MAX may be missing at the end, and no byte more.
    #[test]
    fn edge_of_what_is_not_written() {
        let last_page = 2 * INDEX_UNWRITTEN_BYTES_MAX / PAGE as u64;
        let end = (last_page + 1) * PAGE as u64;
        let file = metas(last_page);
        for bytes in [end, end - INDEX_UNWRITTEN_BYTES_MAX] {
            assert_eq!(newest(&file, bytes).unwrap().unwrap().transaction, 1);
        }
        assert!(newest(&file, end - INDEX_UNWRITTEN_BYTES_MAX - 1).is_err());
    }

    /// What LMDB 0.9 would not read is left to it; a meta page without sense is damage.
    #[test]
    fn other_files() {
        assert!(newest(b"", 0).unwrap().is_none());
        assert!(newest(&vec![7; 20_000], 20_000).unwrap().is_none());
        let mut file = metas(2);
        file[HEADER + 4] = 2;
        assert!(newest(&file, 3 * PAGE as u64).unwrap().is_none());
        for at in [0_u64, u64::MAX / 4096 - 1, u64::MAX] {
            assert!(newest(&metas(at), 3 * PAGE as u64).is_err(), "{at}");
        }
    }
}
