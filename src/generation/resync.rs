//! Batches of a damaged trace: where the next sound one is, once it is lost.
//!
//! A [`Finder`] follows a trace as a [`Splitter`](super::Splitter) does, and never fails. Where what comes
//! next is no batch, the one before it may be at fault, whose length led here: it is taken as far as its
//! records can be decoded. From there on, the next place is looked for that holds the header of another
//! trace, or a batch: a header whose generation and time fit those before, records that can be decoded,
//! and something sound behind them.
//!
//! On a sound trace it finds the same batches as a splitter. It looks one header ahead to know.

use crate::error::{Error, ErrorKind};
use crate::ids::{GenerationId, Offset};
use crate::num;
use crate::time::Timestamp;
use crate::wire::{BatchHead, Contents, HEADER_LEN, Head, Pieces, Place, Records, Version};
use alloc::vec::Vec;

/// Lost bytes are given in runs of at most so many, so that a stream need not hold more.
const LONGEST_GAP: u64 = 1 << 20;
/// How many records of a batch are decoded before it is believed to be one.
const SAMPLE: usize = 32;
/// How many generations may be missing between two.
const FAR: u64 = 64;
/// How far times may be from those before, in clock units: twenty minutes at 64 ns each.
const LONG: u64 = 1 << 34;

/// A part of a damaged trace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// A batch, whose header is at this offset.
    Batch {
        offset: u64,
        /// How much of its payload can be decoded, if not all of it.
        sound: Option<usize>,
    },
    /// Bytes that are lost.
    Gap { from: u64, to: u64, error: Error },
    /// The header of another trace, at this offset.
    NewTrace { offset: u64, version: Version },
}

/// How a generation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// As it should.
    Sound,
    /// Its marker is missing.
    Unended,
}

/// What was found of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    /// All of it; where `last` is set, the trace ends behind it.
    All { tail: Tail, last: bool },
    /// More bytes are needed to say.
    Need,
}

/// What comes next.
enum Next {
    Part(Part),
    /// The generation ends behind this marker, or before what comes next.
    Ends(Tail),
    End,
    Need,
}

/// What is behind a batch.
enum Behind {
    Sound,
    Doubtful,
    Need,
}

/// Follows a damaged trace.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    version: Version,
    /// Where what comes next is in the trace.
    pub(crate) offset: u64,
    /// The generation that has begun, and the one that ended last.
    open: Option<GenerationId>,
    last: Option<GenerationId>,
    /// The earliest and the latest time of a batch so far.
    times: Option<(u64, u64)>,
    /// Lost bytes that come next.
    pending: Option<(u64, u64, Error)>,
    /// Amid lost bytes, and what was wrong with the first of them.
    lost: Option<Error>,
    /// No batch begins before this offset.
    searched: u64,
}

impl Finder {
    pub(crate) const fn new(version: Version, offset: u64) -> Finder {
        Finder {
            version,
            offset,
            open: None,
            last: None,
            times: None,
            pending: None,
            lost: None,
            searched: 0,
        }
    }

    /// Adds the parts of the next generation to `plan`; what was found before it was asked for more
    /// bytes is in there. `ended` says whether nothing follows the input.
    pub(crate) fn gather(
        &mut self,
        input: &Pieces<'_>,
        ended: bool,
        plan: &mut Vec<Part>,
    ) -> Gathered {
        loop {
            match self.next(input, ended) {
                Next::Part(part) => {
                    plan.push(part);
                    // As much as is held at a time.
                    if self.lost.is_some() && self.open.is_none() {
                        let (tail, last) = (Tail::Sound, false);
                        return Gathered::All { tail, last };
                    }
                }
                Next::Ends(tail) => return Gathered::All { tail, last: false },
                Next::End => {
                    let unended = self.open.is_some() && self.version.has_end_marker();
                    self.close();
                    return Gathered::All {
                        tail: if unended { Tail::Unended } else { Tail::Sound },
                        last: true,
                    };
                }
                Next::Need => return Gathered::Need,
            }
        }
    }

    fn close(&mut self) {
        self.last = self.open.take().or(self.last);
    }

    fn next(&mut self, input: &Pieces<'_>, ended: bool) -> Next {
        if let Some((from, to, error)) = self.pending.take() {
            self.offset = to;
            return Next::Part(Part::Gap { from, to, error });
        }
        if let Some(error) = self.lost {
            // No generation is held together by what lies amid it.
            if self.open.is_some() {
                self.close();
                return Next::Ends(Tail::Unended);
            }
            return self.lose(input, ended, self.offset, error);
        }
        let rest = bytes_at(input, self.offset);
        if rest.is_empty() {
            return if ended { Next::End } else { Next::Need };
        }
        match trace_header(rest, ended) {
            Some(None) => return Next::Need,
            Some(Some(_)) if self.open.is_some() => {
                let tail = self.tail_without_marker();
                self.close();
                return Next::Ends(tail);
            }
            Some(Some(version)) => {
                let offset = self.offset;
                *self = Finder::new(version, offset.wrapping_add(num::wide(HEADER_LEN)));
                return Next::Part(Part::NewTrace { offset, version });
            }
            None => {}
        }
        let error = match Head::parse(rest) {
            Ok(Some(Head::Batch(head))) => return self.batch(input, ended, rest, &head),
            Ok(Some(Head::EndOfGeneration)) => {
                if self.version.has_end_marker() && self.open.is_some() {
                    self.offset = self.offset.wrapping_add(1);
                    self.close();
                    return Next::Ends(Tail::Sound);
                }
                super::split::stray_marker(0).after(self.offset)
            }
            Ok(None) if ended => {
                let end = self.offset.wrapping_add(num::wide(rest.len()));
                Error::at(ErrorKind::UnexpectedEnd, 1, end)
            }
            Ok(None) => return Next::Need,
            Err(error) => error.after(self.offset),
        };
        self.lose(input, ended, self.offset, error)
    }

    /// How a generation ends where another begins.
    const fn tail_without_marker(&self) -> Tail {
        if self.version.has_end_marker() {
            Tail::Unended
        } else {
            Tail::Sound
        }
    }

    /// A batch comes next, if what begins with this header is one.
    fn batch(&mut self, input: &Pieces<'_>, ended: bool, rest: &[u8], head: &BatchHead) -> Next {
        let (offset, total) = (self.offset, head.total_len());
        let here = Part::Batch {
            offset,
            sound: None,
        };
        let end = offset.wrapping_add(num::wide(total));
        if rest.len() < total {
            if !ended {
                return Next::Need;
            }
            let missing = num::wide(total.saturating_sub(rest.len()));
            let at = offset.wrapping_add(num::wide(rest.len()));
            return self.torn(
                input,
                ended,
                rest,
                head,
                Error::at(ErrorKind::UnexpectedEnd, missing, at),
            );
        }
        let number = head.generation;
        match self.behind(input, end, ended) {
            Behind::Need => return Next::Need,
            Behind::Sound => {}
            Behind::Doubtful => {
                let payload = Head::Batch(*head).payload(rest);
                if sound_len(head, payload, usize::MAX).0 < payload.len() {
                    let behind = bytes_at(input, end);
                    let error = Head::parse(behind).err();
                    let error = error.unwrap_or_else(|| super::split::stray_marker(0));
                    return self.torn(input, ended, rest, head, error.after(end));
                }
            }
        }
        // One batch of another generation amid those of this one is no generation.
        let expected = match (self.open, self.last) {
            (Some(open), _) if open != number => Some(open),
            (None, Some(last)) if last.next() != Some(number) => last.next(),
            _ => None,
        };
        if let Some(expected) = expected {
            if let Ok(Some(Head::Batch(next))) = Head::parse(bytes_at(input, end))
                && next.generation == expected
            {
                self.offset = end;
                let error = Error::at(ErrorKind::GenerationOrder, number.get(), offset);
                return Next::Part(Part::Gap {
                    from: offset,
                    to: end,
                    error,
                });
            }
            if self.open.is_some() {
                let tail = self.tail_without_marker();
                self.close();
                return Next::Ends(tail);
            }
        }
        self.open = Some(number);
        self.saw(head.time);
        self.offset = end;
        Next::Part(here)
    }

    fn saw(&mut self, time: Timestamp) {
        let (earliest, latest) = self.times.unwrap_or((time.0, time.0));
        self.times = Some((earliest.min(time.0), latest.max(time.0)));
    }

    /// A batch whose length is wrong, or that the trace's end or foreign bytes cut: takes its records up
    /// to the first that cannot be decoded, and finds what comes behind that.
    fn torn(
        &mut self,
        input: &Pieces<'_>,
        ended: bool,
        rest: &[u8],
        head: &BatchHead,
        error: Error,
    ) -> Next {
        let payload = Head::Batch(*head).payload(rest);
        let (sound, _) = sound_len(head, payload, usize::MAX);
        let follows = |open: GenerationId| open.next() == Some(head.generation);
        if sound == 0
            || self
                .open
                .is_some_and(|open| open != head.generation && !follows(open))
        {
            // Nothing speaks for it.
            return self.lose(input, ended, self.offset, error);
        }
        if self.open.is_some_and(follows) {
            let tail = self.tail_without_marker();
            self.close();
            return Next::Ends(tail);
        }
        let before = head.header_len.saturating_add(sound);
        let from = self.offset.wrapping_add(num::wide(before));
        let to = match self.search(input, ended, from) {
            Some(to) => to,
            None => return Next::Need,
        };
        let offset = self.offset;
        self.open = Some(head.generation);
        self.saw(head.time);
        if to.1 {
            self.lost = Some(error);
        }
        self.offset = from;
        if to.0 > from {
            self.pending = Some((from, to.0, error));
        }
        Next::Part(Part::Batch {
            offset,
            sound: Some(sound),
        })
    }

    /// The bytes from an offset on are lost, up to what can be read again.
    fn lose(&mut self, input: &Pieces<'_>, ended: bool, from: u64, error: Error) -> Next {
        // What begins here was looked at already, unless it is amid lost bytes.
        let start = from.wrapping_add(u64::from(self.lost.is_none()));
        let Some((to, more)) = self.search(input, ended, start) else {
            return Next::Need;
        };
        self.lost = more.then_some(error);
        self.offset = to;
        if to == from {
            // Behind a run of lost bytes that was given, a batch begins; or the trace ends.
            return self.next(input, ended);
        }
        Next::Part(Part::Gap { from, to, error })
    }

    /// Where reading can go on, at or behind an offset; and whether that is only as far as it is looked for
    /// at a time. `None` if more bytes are needed.
    fn search(&mut self, input: &Pieces<'_>, ended: bool, from: u64) -> Option<(u64, bool)> {
        let limit = from.wrapping_add(LONGEST_GAP);
        let mut at = from.max(self.searched);
        // The work that long batches take to decode is paid for by bytes.
        let mut credit = LONGEST_GAP;
        loop {
            if at >= limit {
                return Some((limit, true));
            }
            let rest = bytes_at(input, at);
            if rest.is_empty() {
                self.searched = at;
                return ended.then_some((at, false));
            }
            let Some(skip) = memchr::memchr3(1, 3, b'g', rest) else {
                at = at.wrapping_add(num::wide(rest.len()));
                continue;
            };
            at = at.wrapping_add(num::wide(skip));
            if at >= limit {
                continue;
            }
            let rest = rest.get(skip..).unwrap_or(&[]);
            let header = trace_header(rest, ended);
            let found = match header {
                Some(None) => None,
                Some(Some(_)) => Some(at > self.offset || self.lost.is_some()),
                None => self.is_sound(input, at, rest, ended, &mut credit),
            };
            match found {
                Some(true) => return Some((at, false)),
                Some(false) => at = at.wrapping_add(1),
                None => {
                    self.searched = at;
                    return None;
                }
            }
        }
    }

    /// Whether a batch begins here; `None` if more bytes are needed to say.
    fn is_sound(
        &self,
        input: &Pieces<'_>,
        at: u64,
        rest: &[u8],
        ended: bool,
        credit: &mut u64,
    ) -> Option<bool> {
        let head = match Head::parse(rest) {
            Ok(Some(Head::Batch(head))) => head,
            Ok(None) if !ended => return None,
            _ => return Some(false),
        };
        if !self.fits(&head) {
            return Some(false);
        }
        let payload = Head::Batch(head).payload(rest);
        let whole = payload.len() == head.data_len;
        if !whole && !ended {
            return None;
        }
        let (sound, count) = sound_len(&head, payload, SAMPLE);
        if count < SAMPLE && sound < payload.len() && (whole || count == 0) {
            return Some(false);
        }
        if payload.is_empty() && !whole {
            return Some(false);
        }
        let timely = self.is_timely(head.time.0);
        let end = at.wrapping_add(num::wide(head.total_len()));
        if !whole {
            // Cut by the end of the trace.
            return Some(timely && sound_len(&head, payload, usize::MAX).1 > 2);
        }
        let behind = bytes_at(input, end);
        if behind.is_empty() {
            return if ended { Some(timely) } else { None };
        }
        match trace_header(behind, ended) {
            None => {}
            Some(None) => return None,
            Some(Some(_)) => return Some(timely),
        }
        match Head::parse(behind) {
            Ok(Some(Head::Batch(next))) => {
                let near = next.generation == head.generation
                    || Some(next.generation) == head.generation.next();
                if near && next.time.0.abs_diff(head.time.0) < LONG {
                    return Some(true);
                }
            }
            Ok(Some(Head::EndOfGeneration)) if self.version.has_end_marker() && timely => {
                // One byte is little to go by.
                match Head::parse(behind.get(1..).unwrap_or(&[])) {
                    Ok(Some(Head::Batch(next))) if self.fits(&next) => return Some(true),
                    Ok(None) if !ended => return None,
                    Ok(None) => return Some(true),
                    _ => {}
                }
            }
            Ok(None) if !ended => return None,
            _ => {}
        }
        // Damage may follow. All its records are evidence enough, and more than two of them.
        let cost = num::wide(payload.len());
        if !timely || head.experiment.is_some() || cost > *credit {
            return Some(false);
        }
        *credit = credit.saturating_sub(cost);
        let (sound, count) = sound_len(&head, payload, usize::MAX);
        Some(sound == payload.len() && count > 2)
    }

    /// Whether a header's generation fits those before.
    fn fits(&self, head: &BatchHead) -> bool {
        match self.open.or(self.last) {
            Some(known) => known.get().abs_diff(head.generation.get()) <= FAR,
            None => head.generation.get() < 1 << 32,
        }
    }

    /// Whether a time fits those before.
    fn is_timely(&self, time: u64) -> bool {
        let Some((earliest, latest)) = self.times else {
            return true;
        };
        let slack = latest
            .saturating_sub(earliest)
            .saturating_mul(4)
            .saturating_add(LONG);
        time >= earliest.saturating_sub(slack) && time <= latest.saturating_add(slack)
    }

    /// What is behind a batch that ends here.
    fn behind(&self, input: &Pieces<'_>, end: u64, ended: bool) -> Behind {
        let rest = bytes_at(input, end);
        if rest.is_empty() {
            return if ended { Behind::Sound } else { Behind::Need };
        }
        match trace_header(rest, ended) {
            None => {}
            Some(None) => return Behind::Need,
            Some(Some(_)) => return Behind::Sound,
        }
        match Head::parse(rest) {
            Ok(Some(Head::Batch(head))) if self.fits(&head) && self.is_timely(head.time.0) => {
                Behind::Sound
            }
            Ok(None) if !ended => Behind::Need,
            // A marker too: it is but one byte.
            _ => Behind::Doubtful,
        }
    }
}

/// The bytes from an offset to the end of the piece it is in.
fn bytes_at<'t>(input: &Pieces<'t>, offset: u64) -> &'t [u8] {
    let Place { piece, at } = input.place(offset);
    input.piece(piece).and_then(|p| p.get(at..)).unwrap_or(&[])
}

/// The version of a trace that begins here; inside, `None` if that takes more bytes.
fn trace_header(rest: &[u8], ended: bool) -> Option<Option<Version>> {
    if rest.first() != Some(&b'g') {
        return None;
    }
    match Version::from_header(rest) {
        Ok(version) => version.has_generations().then_some(Some(version)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEnd && !ended => Some(None),
        Err(_) => None,
    }
}

/// How many bytes of a payload can be decoded, up to so many records, and how many records they are.
fn sound_len(head: &BatchHead, payload: &[u8], most: usize) -> (usize, usize) {
    if let Contents::Experiment(_) = Contents::of(head.experiment, payload) {
        return (payload.len(), 1);
    }
    let mut records = Records::new(payload, Offset(0));
    let (mut sound, mut count) = (0, 0usize);
    while count < most {
        match records.next() {
            Ok(Some(_)) => {
                count = count.saturating_add(1);
                sound = num::narrow(records.offset().0);
            }
            Ok(None) => break,
            Err(_) => break,
        }
    }
    (sound, count)
}
