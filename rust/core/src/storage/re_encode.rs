//! A received data set in the encoding that is asked for.
//!
//! While the bytes come a [`Way`] looks at them. At the end it knows whether they may stay as they are,
//! which they mostly may, and what the second pass needs where not. That pass reads them from where
//! they were put. Where it is certain early that they will not stay, it does not wait for the end: it
//! follows as soon as the lengths before what came are known, so that pixels are turned round on their
//! way to the file and not read back from one.
//!
//! Called by `storage::writer` and `archive::receiver`.

use std::io::{self, Cursor, Read, Seek};

use crate::dataset::breaks::Break;
use crate::dataset::oddities::Oddities;
use crate::dataset::rewrite::{
    OutputEncoding, Padding, PixelHints, RewriteError, Rewriter, Rewriting, SecondPass, Slots,
    Survey, Surveyor, Unknown, order, survey,
};
use crate::dataset::scan::Scanner;
use crate::limits::{REWRITE_BLOCK_BYTES, REWRITE_FOLLOWED_BYTES_MIN};
use crate::storage::durability::IoFailure;
use crate::storage::writer::StoreError;
use crate::uid::Uid;

/// From the encoding that comes to the one that is written.
pub(crate) struct Way {
    /// False for one that only looks.
    is_taken: bool,
    rewriting: Rewriting,
    to: Uid,
    surveyor: Surveyor,
    /// The second pass, once it follows the first.
    second: Option<Box<SecondPass>>,
}

/// Takes what has become of the bytes.
pub(crate) type Append<'a> = dyn FnMut(&[u8]) -> Result<(), StoreError> + 'a;

impl Way {
    /// The way of a data set that comes in `from`; an error when there is none.
    pub fn new(from: Uid, encoding: OutputEncoding) -> Result<Self, Uid> {
        let rewriting = Rewriting::of(&from, encoding, PixelHints::default()).ok_or(from)?;
        let to = encoding.target(&from).ok_or(from)?;
        let surveyor = Surveyor::new(&rewriting);
        Ok(Self { is_taken: true, surveyor, rewriting, to, second: None })
    }

    /// One that looks at a data set in `from`, for what is odd about it, and lets it stay as it is.
    pub fn watching(from: Uid) -> Option<Self> {
        let way = Self::new(from, OutputEncoding::STORESCP).ok()?;
        Some(Self { is_taken: false, ..way })
    }

    /// The transfer syntax that is written.
    pub fn target(&self) -> &Uid {
        &self.to
    }

    /// Looks at the next bytes, inflated where they are deflated.
    pub fn look(&mut self, bytes: &[u8]) {
        self.surveyor.feed(bytes);
    }

    /// Looks at fragments of an object that is refused already; false when nothing more can be read.
    pub fn look_on(&mut self, scanner: &mut Scanner, fragments: &[&[u8]]) -> bool {
        let mut fragments = fragments.iter();
        fragments.all(|fragment| scanner.feed_and_show(fragment, |bytes| self.look(bytes)).is_ok())
    }

    /// True once it is certain that the bytes will not stay.
    pub fn will_change(&self) -> bool {
        self.is_taken && self.surveyor.sees_change()
    }

    /// What was odd about them; it is told once.
    pub fn take_oddities(&mut self) -> Oddities {
        self.surveyor.take_oddities()
    }

    /// What breaks the data set, if it ends here.
    pub fn break_at_end(&self) -> Option<Break> {
        self.surveyor.break_at_end()
    }

    // ---- The second pass beside the first -----------------------------------------------------

    /// True when the second pass may follow from here on, with all that came so far, `held_bytes`, and
    /// it is worth it.
    ///
    /// What follows can no more be put in order but by reading the result again, which must then mean
    /// the same: a stream cannot be read from its middle, and VRs that are found out depend on the
    /// order in which elements come.
    pub fn may_follow(&self, held_bytes: usize) -> bool {
        let Rewriting { from, to, encoding, .. } = &self.rewriting;
        let is_readable_again = from.is_explicit
            && encoding.unknown == Unknown::Kept
            && !from.is_deflated
            && !to.is_deflated;
        let bytes = held_bytes as u64 + self.surveyor.value_bytes_ahead();
        is_readable_again
            && bytes >= REWRITE_FOLLOWED_BYTES_MIN
            && self.will_change()
            && !self.surveyor.sees_disorder()
            && self.surveyor.is_settled()
    }

    /// The second pass begins; `head_bytes` stand before the data set in the file.
    pub fn follow(&mut self, head_bytes: u64) {
        self.align_to(head_bytes);
        self.second = Some(Box::new(SecondPass::new(&self.rewriting)));
    }

    /// True once it has begun.
    pub fn follows(&self) -> bool {
        self.second.is_some()
    }

    /// Of the next `bytes` to come, those that the second pass may take before they are looked at. The
    /// others wait for [`Way::is_settled`].
    pub fn direct_bytes(&self, bytes: usize) -> usize {
        if self.second.is_none() || !self.surveyor.is_settled() {
            return 0;
        }
        usize::try_from(self.surveyor.value_bytes_ahead()).map_or(bytes, |ahead| ahead.min(bytes))
    }

    /// True when the second pass may take all that was looked at.
    pub fn is_settled(&self) -> bool {
        self.surveyor.is_settled()
    }

    /// The second pass takes `bytes`: all is settled.
    pub fn pass(&mut self, bytes: &[u8], append: &mut Append<'_>) -> Result<(), ReEncodeError> {
        let Some(second) = &mut self.second else { return Ok(()) };
        second.learn(&self.surveyor);
        pass(second, bytes, append)
    }

    /// The same for all that `source` has.
    pub fn pass_all<R: Read>(
        &mut self,
        source: R,
        append: &mut Append<'_>,
    ) -> Result<(), ReEncodeError> {
        let Some(second) = &mut self.second else { return Ok(()) };
        second.learn(&self.surveyor);
        pass_all(second, source, append)
    }

    /// Hands over what the second pass has ready.
    pub fn flush(&mut self, append: &mut Append<'_>) -> Result<(), ReEncodeError> {
        self.second.as_mut().map_or(Ok(()), |second| flush(second, append))
    }

    /// The bytes are complete: the second pass takes the rest that it has not seen, first what was
    /// `spilled`. What comes out is to be changed again where its elements are out of order.
    pub fn end<R: Read>(
        self,
        spilled: Option<R>,
        held: &[u8],
        append: &mut Append<'_>,
    ) -> Result<Option<Change>, ReEncodeError> {
        let Self { mut rewriting, surveyor, second, .. } = self;
        let Some(mut second) = second else { return Ok(None) };
        let found = surveyor.finish()?;
        let Survey { is_disordered, slots, .. } = found;
        second.learn_all(slots);
        if let Some(spilled) = spilled {
            pass_all(&mut second, spilled, append)?;
        }
        pass(&mut second, held, append)?;
        second.finish()?;
        flush(&mut second, append)?;
        rewriting.from = rewriting.to;
        Ok(is_disordered.then_some(Change { rewriting, slots: None }))
    }

    // ---- The second pass after the first ------------------------------------------------------

    fn align_to(&mut self, head_bytes: u64) {
        self.rewriting.head_bytes = head_bytes;
        self.surveyor.align_to(head_bytes);
    }

    /// The bytes are complete. `None` when they stay; `head_bytes` says what stands before them in the
    /// file where padding depends on it.
    pub fn decide(
        mut self,
        head_bytes: impl FnOnce() -> u64,
    ) -> Result<Option<Change>, ReEncodeError> {
        if !self.is_taken {
            return Ok(None);
        }
        if matches!(self.rewriting.encoding.padding, Padding::Aligned { .. }) {
            self.align_to(head_bytes());
        }
        let Survey { is_changed, is_disordered, slots, .. } = self.surveyor.finish()?;
        let slots = (!is_disordered).then_some(slots);
        Ok(is_changed.then_some(Change { rewriting: self.rewriting, slots }))
    }
}

/// What the second pass needs.
pub(crate) struct Change {
    rewriting: Rewriting,
    /// The lengths; `None` when they are to be found again, in the right order of the elements.
    slots: Option<Slots>,
}

impl Change {
    /// Reads the data set `source` again and hands over what becomes of it.
    pub fn apply<S: Read + Seek>(
        self,
        mut source: S,
        append: &mut Append<'_>,
    ) -> Result<(), ReEncodeError> {
        let Self { rewriting, slots } = self;
        if let Some(slots) = slots {
            return drain(Rewriter::second_pass(&mut source, &rewriting, slots), append);
        }
        let mut ordered = order(source, &rewriting)?;
        let rewriting = ordered.rewriting(&rewriting);
        let found = survey(&mut ordered, &rewriting)?;
        ordered.rewind();
        drain(Rewriter::second_pass(&mut ordered, &rewriting, found.slots), append)
    }

    /// The same for a data set in memory.
    pub fn apply_to(self, data_set: &[u8], append: &mut Append<'_>) -> Result<(), ReEncodeError> {
        let Rewriting { from, to, .. } = self.rewriting;
        match self.slots {
            Some(slots) if !from.is_deflated && !to.is_deflated => {
                let mut second = SecondPass::new(&self.rewriting);
                second.learn_all(slots);
                pass(&mut second, data_set, append)?;
                second.finish()?;
                flush(&mut second, append)
            }
            slots => Self { slots, ..self }.apply(Cursor::new(data_set), append),
        }
    }
}

fn pass(
    second: &mut SecondPass,
    bytes: &[u8],
    append: &mut Append<'_>,
) -> Result<(), ReEncodeError> {
    for mut block in bytes.chunks(REWRITE_BLOCK_BYTES) {
        loop {
            second.feed(&mut block)?;
            if block.is_empty() {
                break;
            }
            flush(second, append)?;
        }
    }
    Ok(())
}

fn pass_all<R: Read>(
    second: &mut SecondPass,
    mut source: R,
    append: &mut Append<'_>,
) -> Result<(), ReEncodeError> {
    let mut block = vec![0; REWRITE_BLOCK_BYTES];
    loop {
        let count = match source.read(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(RewriteError::Source)?,
        };
        if count == 0 {
            return Ok(());
        }
        pass(second, &block[..count], append)?;
    }
}

fn flush(second: &mut SecondPass, append: &mut Append<'_>) -> Result<(), ReEncodeError> {
    let ready = second.ready();
    let result = append(ready).map_err(ReEncodeError::Store);
    ready.clear();
    result
}

fn drain<R: Read>(mut rewriter: Rewriter<R>, append: &mut Append<'_>) -> Result<(), ReEncodeError> {
    while let Some(block) = rewriter.next_block()? {
        append(block).map_err(ReEncodeError::Store)?;
    }
    Ok(())
}

/// Why it did not come to that.
pub(crate) enum ReEncodeError {
    /// The data set cannot be re-encoded, or not be read back.
    Rewrite(RewriteError),
    /// The result cannot be written.
    Store(StoreError),
}

impl ReEncodeError {
    /// What the sender is told about an object that came in `from`; `unread` says of which file when
    /// what arrived cannot be read back.
    pub fn into_store_error(
        self,
        from: Uid,
        unread: impl FnOnce(io::Error) -> IoFailure,
    ) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Rewrite(RewriteError::NotWhole(error)) => error.into(),
            Self::Rewrite(RewriteError::Source(source)) => unread(source).into(),
            Self::Rewrite(_) => StoreError::Unconvertible(from),
        }
    }
}

impl From<RewriteError> for ReEncodeError {
    fn from(error: RewriteError) -> Self {
        Self::Rewrite(error)
    }
}
