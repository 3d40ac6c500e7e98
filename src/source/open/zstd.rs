//! Zstandard: one frame after the other, each block by block.
//!
//! The library that decompresses holds a frame's data back until they fill its window. Here it is
//! shown one block at a time, so that what comes before a cut is all given; and the first
//! block of all is decompressed once more by itself, so that it is there before the window is full.

use super::error::repeat;
use super::raw::Raw;
use super::{DEFAULT_WINDOW, InputErrorKind};
use crate::num;
use alloc::boxed::Box;
use alloc::vec::Vec;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, Read};

/// The length of a block's header.
const BLOCK_HEADER: usize = 3;

/// The most that a block holds, compressed or not.
const MOST_IN_BLOCK: usize = 128 << 10;

/// An empty block that is the last, and room for a checksum.
const LAST: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

/// The data of all frames.
pub(super) struct Frames<R> {
    raw: Raw<R>,
    window_limit: u64,
    /// The frame being read.
    frame: Option<Box<Frame>>,
    /// The first bytes of all, if they are to be given.
    first: io::Cursor<Vec<u8>>,
    /// Something was given.
    begun: bool,
    /// What ends the reading, once everything before is given.
    failed: Option<io::Error>,
    /// A block as it is.
    block: Vec<u8>,
}

/// A frame being read.
struct Frame {
    decoder: FrameDecoder,
    header: Vec<u8>,
    has_checksum: bool,
    /// How many bytes of it were given before the decoder gave them.
    ahead: usize,
}

impl<R> Frames<R> {
    pub(super) const fn new(raw: Raw<R>) -> Self {
        Frames {
            raw,
            window_limit: DEFAULT_WINDOW,
            frame: None,
            first: io::Cursor::new(Vec::new()),
            begun: false,
            failed: None,
            block: Vec::new(),
        }
    }

    pub(super) const fn limit_window(&mut self, bytes: u64) {
        self.window_limit = bytes;
    }
}

impl<R: Read> Frames<R> {
    /// Adds so many bytes of the source to `bytes`, which must be there.
    fn take(&mut self, n: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        let n = num::wide(n);
        let read = (&mut self.raw).take(n).read_to_end(bytes)?;
        if num::wide(read) < n {
            return Err(self.error(InputErrorKind::Cut, self.raw.offset()));
        }
        Ok(())
    }

    fn error(&self, kind: InputErrorKind, offset: u64) -> io::Error {
        self.raw.error(kind, offset).into()
    }

    /// Opens the next frame, or passes one that is to be skipped; says whether there was one.
    fn enter(&mut self) -> io::Result<bool> {
        let start = self.raw.offset();
        if self.raw.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut header = Vec::new();
        self.take(4, &mut header)?;
        match *header.as_slice() {
            [0x50..=0x5f, 0x2a, 0x4d, 0x18] => self.skip()?,
            [0x28, 0xb5, 0x2f, 0xfd] => self.open(start, header)?,
            _ => return Err(self.error(InputErrorKind::TrailingBytes, start)),
        }
        Ok(true)
    }

    fn skip(&mut self) -> io::Result<()> {
        let mut len = Vec::new();
        self.take(4, &mut len)?;
        let len = len.try_into().map_or(0, u32::from_le_bytes);
        let mut left = u64::from(len);
        while left > 0 {
            let there = num::wide(self.raw.fill_buf()?.len()).min(left);
            if there == 0 {
                return Err(self.error(InputErrorKind::Cut, self.raw.offset()));
            }
            self.raw.consume(num::narrow(there));
            left = left.wrapping_sub(there);
        }
        Ok(())
    }

    /// Opens the frame that begins at `start`, whose first bytes are these.
    fn open(&mut self, start: u64, mut header: Vec<u8>) -> io::Result<()> {
        self.take(1, &mut header)?;
        let descriptor = header.last().copied().unwrap_or(0);
        let single_segment = descriptor & 0x20 != 0;
        let window = usize::from(!single_segment);
        let dictionary = match descriptor & 3 {
            3 => 4,
            len => usize::from(len),
        };
        let content_size = match descriptor >> 6 {
            0 => usize::from(single_segment),
            1 => 2,
            2 => 4,
            _ => 8,
        };
        let rest = window
            .saturating_add(dictionary)
            .saturating_add(content_size);
        self.take(rest, &mut header)?;
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(self.window_limit);
        decoder.init(header.as_slice()).map_err(|error| {
            let kind = match error {
                FrameDecoderError::WindowSizeTooBig { requested, max } => {
                    InputErrorKind::WindowTooLarge {
                        window: requested,
                        limit: max,
                    }
                }
                FrameDecoderError::DictNotProvided { dict_id } => {
                    InputErrorKind::Dictionary(dict_id)
                }
                _ => InputErrorKind::Damaged,
            };
            self.error(kind, start)
        })?;
        let window = window_of(&header);
        if !has_room(window) {
            return Err(self.error(InputErrorKind::NoMemory(window), start));
        }
        self.frame = Some(Box::new(Frame {
            decoder,
            header,
            has_checksum: descriptor & 4 != 0,
            ahead: 0,
        }));
        Ok(())
    }

    /// Decompresses the next block of the frame.
    fn next_block(&mut self, frame: &mut Frame) -> io::Result<()> {
        let start = self.raw.offset();
        let mut block = core::mem::take(&mut self.block);
        block.clear();
        let read = self.take_block(&mut block, frame.has_checksum);
        if read.is_err() && shorten(&mut block) {
            // What there is of a block that is not compressed is sound.
            let _ = frame
                .decoder
                .decode_blocks(block.as_slice(), BlockDecodingStrategy::UptoBlocks(1));
        }
        let decoded = read.and_then(|()| {
            if !self.begun && block.first().is_some_and(|first| first & 1 == 0) {
                let first = frame.first_block(&block);
                frame.ahead = first.len();
                self.first = io::Cursor::new(first);
            }
            let decoded = frame
                .decoder
                .decode_blocks(block.as_slice(), BlockDecodingStrategy::UptoBlocks(1));
            decoded.map_err(|_| self.error(InputErrorKind::Damaged, start))
        });
        self.block = block;
        decoded.map(drop)
    }

    /// Reads a block as it is, and the checksum of the frame after the last.
    fn take_block(&mut self, block: &mut Vec<u8>, has_checksum: bool) -> io::Result<()> {
        let start = self.raw.offset();
        self.take(BLOCK_HEADER, block)?;
        let header = match *block.as_slice() {
            [a, b, c] => u32::from_le_bytes([a, b, c, 0]),
            _ => 0,
        };
        let len = num::index(header >> 3);
        let len = match (header >> 1) & 3 {
            // One byte, so many times.
            1 => 1,
            0 | 2 if len <= MOST_IN_BLOCK => len,
            _ => return Err(self.error(InputErrorKind::Damaged, start)),
        };
        let is_last = header & 1 == 1;
        let checksum = if is_last && has_checksum { 4 } else { 0 };
        self.take(len.saturating_add(checksum), block)
    }

    /// Reads on; 0 at the end.
    fn advance(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(mut frame) = self.frame.take() else {
                if let Some(error) = &mut self.failed {
                    return Err(repeat(error));
                }
                match self.enter()? {
                    true => continue,
                    false => return Ok(0),
                }
            };
            let given = frame.give(buffer)?;
            if given > 0 {
                self.frame = Some(frame);
                return Ok(given);
            }
            if frame.decoder.is_finished() {
                if self.failed.is_none() && !frame.is_as_compressed() {
                    return Err(self.error(InputErrorKind::Checksum, self.raw.offset()));
                }
                continue;
            }
            if let Err(error) = self.next_block(&mut frame) {
                // After all that came before it.
                self.failed = Some(error);
                frame.finish();
            }
            let first = self.first.read(buffer)?;
            self.frame = Some(frame);
            if first > 0 {
                return Ok(first);
            }
        }
    }
}

/// The window that a frame's header names, of a frame that has one: of a single segment, its length
/// is, which is in the last bytes.
fn window_of(header: &[u8]) -> u64 {
    let (Some(descriptor), Some(window)) = (header.get(4), header.get(5)) else {
        return 0;
    };
    if descriptor & 0x20 == 0 {
        let base = 1u64 << (u32::from(window >> 3).saturating_add(10));
        return base.saturating_add((base >> 3).saturating_mul(u64::from(window & 7)));
    }
    let mut len = [0; 8];
    let (at, size) = match descriptor >> 6 {
        0 => (header.len().saturating_sub(1), 1),
        1 => (header.len().saturating_sub(2), 2),
        2 => (header.len().saturating_sub(4), 4),
        _ => (header.len().saturating_sub(8), 8),
    };
    let bytes = header.get(at..).unwrap_or(&[]);
    if let Some(len) = len.get_mut(..size)
        && len.len() == bytes.len()
    {
        len.copy_from_slice(bytes);
    }
    u64::from_le_bytes(len)
}

/// Whether there is memory for a window. The decoder takes it bit by bit, and ends the process where
/// there is none.
fn has_room(window: u64) -> bool {
    const SMALL: u64 = 1 << 20;
    // Its buffer doubles, and the old one is there until then.
    let doubled = window.checked_next_power_of_two().unwrap_or(u64::MAX);
    let most = doubled.saturating_add(doubled >> 1).saturating_add(SMALL);
    window <= SMALL
        || Vec::<u8>::new()
            .try_reserve_exact(num::narrow(most))
            .is_ok()
}

/// Makes a whole block of one that is cut, if it is one that is not compressed; says whether it is.
fn shorten(block: &mut [u8]) -> bool {
    let len = num::slot(block.len().saturating_sub(BLOCK_HEADER));
    let Some(header) = block.first_chunk_mut::<BLOCK_HEADER>() else {
        return false;
    };
    let [kind, ..] = *header;
    let [a, b, c, _] = (len << 3).to_le_bytes();
    *header = [a, b, c];
    (kind >> 1) & 3 == 0 && len > 0
}

impl Frame {
    /// What this block holds, the first that holds anything; nothing if it is damaged.
    fn first_block(&self, block: &[u8]) -> Vec<u8> {
        let mut alone = self.header.clone();
        let at = alone.len();
        alone.extend_from_slice(block);
        if let Some(header) = alone.get_mut(at) {
            // As if it were the last one.
            *header |= 1;
        }
        alone.extend_from_slice(&[0; 4]);
        let (mut decoder, mut first) = (FrameDecoder::new(), Vec::new());
        decoder.set_max_window_size(self.decoder.max_window_size());
        let mut rest = alone.as_slice();
        let decoded = decoder
            .init(&mut rest)
            .and_then(|()| decoder.decode_blocks(rest, BlockDecodingStrategy::All));
        if decoded.is_ok() {
            first.extend(decoder.collect().unwrap_or_default());
        }
        first
    }

    /// Gives what the decoder has, without what was given before.
    fn give(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ahead > 0 {
            let mut known = [0; 4096];
            let room = known.get_mut(..self.ahead.min(4096)).unwrap_or(&mut []);
            match self.decoder.read(room)? {
                0 => return Ok(0),
                read => self.ahead = self.ahead.saturating_sub(read),
            }
        }
        self.decoder.read(buffer)
    }

    /// Ends the frame where it is, so that the decoder gives all that it has.
    fn finish(&mut self) {
        let last = self
            .decoder
            .decode_blocks(LAST.as_slice(), BlockDecodingStrategy::All);
        debug_assert!(last.is_ok(), "an empty block is sound");
    }

    /// Whether the checksum, if there is one, is that of what was given.
    fn is_as_compressed(&self) -> bool {
        let expected = self.decoder.get_checksum_from_data();
        expected.is_none() || expected == self.decoder.get_calculated_checksum()
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let given = match self.first.read(buffer)? {
            0 => self.advance(buffer),
            given => Ok(given),
        };
        match given {
            Ok(0) => Ok(0),
            Ok(given) => {
                self.begun = true;
                self.raw.held_something();
                Ok(given)
            }
            Err(error) => Err(repeat(self.failed.insert(error))),
        }
    }
}
