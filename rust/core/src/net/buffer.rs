//! The read buffer of an association: small between messages, large while a large one is under way.
//!
//! Bytes are read behind [`ReadBuffer::unread`] and consumed in front. An idle association holds
//! [`IDLE_READ_BUFFER_BYTES`]; when a read fills that, a block of [`MESSAGE_READ_BUFFER_BYTES`] is
//! taken from a [`BlockPool`] and given back once everything in it is consumed, so that memory
//! follows the number of large messages under way and not the number of peers. Called by `server`
//! and `client`.

use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{IDLE_READ_BUFFER_BYTES, MESSAGE_READ_BUFFER_BYTES};

/// Blocks kept for reuse; more are given back to the system.
const KEPT_BLOCKS_MAX: usize = 8;

/// Large blocks, shared by all associations of a server.
#[derive(Clone, Debug, Default)]
pub struct BlockPool(Arc<Mutex<Vec<Box<[u8]>>>>);

impl BlockPool {
    fn take(&self) -> Box<[u8]> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; MESSAGE_READ_BUFFER_BYTES].into())
    }

    fn give_back(&self, block: Box<[u8]>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_BLOCKS_MAX {
            kept.push(block);
        }
    }
}

/// Bytes received and not yet consumed.
#[derive(Debug)]
pub struct ReadBuffer {
    pool: BlockPool,
    small: Box<[u8]>,
    /// In use while a large message is under way.
    block: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// An empty buffer that takes its blocks from `pool`.
    pub fn new(pool: BlockPool) -> Self {
        let small = vec![0; IDLE_READ_BUFFER_BYTES].into();
        Self { pool, small, block: None, start: 0, end: 0 }
    }

    /// The bytes not yet consumed.
    pub fn unread(&self) -> &[u8] {
        let memory = self.block.as_deref().unwrap_or(&self.small);
        &memory[self.start..self.end]
    }

    /// Drops the first `count` unread bytes; gives a block back once nothing is left in it.
    pub fn consume(&mut self, count: usize) {
        self.start += count.min(self.end - self.start);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Gives the large block back when what is unread fits the small one; for the end of a message.
    pub fn shrink(&mut self) {
        let length = self.end - self.start;
        if length > self.small.len() / 2 {
            return;
        }
        if let Some(block) = self.block.take() {
            self.small[..length].copy_from_slice(&block[self.start..self.end]);
            (self.start, self.end) = (0, length);
            self.pool.give_back(block);
        }
    }

    /// Room for the next read, so large that `wanted_bytes` in all can be held (a whole PDU), and
    /// larger while a large message is under way.
    ///
    /// `wanted_bytes` is at most one PDU of the largest size, which a block always holds.
    pub fn space(&mut self, wanted_bytes: usize) -> &mut [u8] {
        let length = self.end - self.start;
        let filled_up = self.end == self.small.len();
        if self.block.is_none() && (wanted_bytes > self.small.len() || filled_up) {
            let mut block = self.pool.take();
            block[..length].copy_from_slice(&self.small[self.start..self.end]);
            (self.start, self.end) = (0, length);
            self.block = Some(block);
        }
        let memory = self.block.as_deref_mut().unwrap_or(&mut self.small);
        // Move what is unread to the front when the tail is too short for the PDU, or for a large
        // read.
        if self.start > 0 && (memory.len() - self.start < wanted_bytes || self.end == memory.len())
        {
            memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, length);
        }
        &mut memory[self.end..]
    }

    /// Says that `count` bytes were read into [`ReadBuffer::space`].
    pub fn filled(&mut self, count: usize) {
        let capacity = self.block.as_deref().unwrap_or(&self.small).len();
        self.end = (self.end + count).min(capacity);
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.pool.give_back(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_PDU_BYTES_MAX;

    fn fill(buffer: &mut ReadBuffer, bytes: &[u8], wanted: usize) -> usize {
        let space = buffer.space(wanted);
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        buffer.filled(count);
        count
    }

    /// However bytes arrive and are consumed, they come out as they went in.
    #[test]
    fn bytes_pass_unchanged() {
        let source: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
        let mut buffer = ReadBuffer::new(BlockPool::default());
        let (mut given, mut taken) = (0, 0);
        let mut step = 1;
        while taken < source.len() {
            given += fill(&mut buffer, &source[given..], 6 + step % 140_000);
            let count = buffer.unread().len().min(step);
            assert_eq!(&buffer.unread()[..count], &source[taken..taken + count]);
            buffer.consume(count);
            taken += count;
            step = step * 7 % 200_003 + 1;
            if step % 5 == 0 {
                buffer.shrink();
            }
        }
    }

    /// The largest PDU always fits, wherever the unread bytes lie.
    #[test]
    fn a_whole_pdu_fits() {
        let wanted = MAX_PDU_BYTES_MAX as usize + 6;
        let mut buffer = ReadBuffer::new(BlockPool::default());
        fill(&mut buffer, &[1; 10], 6);
        buffer.consume(7);
        let room = buffer.space(wanted).len();
        assert!(room + buffer.unread().len() >= wanted);
        assert_eq!(buffer.unread(), [1; 3]);
    }

    /// An idle association holds no block.
    #[test]
    fn a_block_is_given_back() {
        let pool = BlockPool::default();
        let mut buffer = ReadBuffer::new(pool.clone());
        fill(&mut buffer, &vec![0; 100_000], 131_078);
        buffer.consume(100_000);
        buffer.shrink();
        assert!(buffer.block.is_none());
        assert_eq!(pool.0.lock().unwrap().len(), 1);
    }
}
