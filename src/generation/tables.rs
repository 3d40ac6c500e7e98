//! The tables of one generation: strings, stacks, samples and the clock, as indexes into the trace.

use super::index::{Directory, Entry, full};
use crate::error::{Error, ErrorKind, Table};
use crate::num;
#[cfg(feature = "alloc")]
use crate::tables::Full;
use crate::tables::sort;
use crate::tables::{List, Storage};
use crate::time::{ClockSnapshot, Frequency, Time, Timestamp, WallTime};
use crate::wire::{Batch, Contents, EventType, Fields, RawFrame, RawFrames, Record, Version};
use crate::wire::{Pieces, Place, Span};

/// A clock snapshot whose trace clock is not in nanoseconds yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    trace: Timestamp,
    mono: u64,
    wall: WallTime,
}

impl Snapshot {
    pub(crate) fn with(self, frequency: Frequency) -> ClockSnapshot {
        ClockSnapshot {
            trace: frequency.time(self.trace),
            mono: self.mono,
            wall: self.wall,
        }
    }
}

/// Where a CPU sample is, and when it was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleEntry {
    pub(crate) time: Time,
    pub(crate) place: Place,
}

/// The tables of one generation, lifetime-free: positions in the input that they were read from.
pub(crate) struct Tables<S: Storage> {
    /// The generation's number; 0 until they are complete.
    number: u64,
    pub(crate) frequency: Option<Frequency>,
    snapshot: Option<Snapshot>,
    strings: Directory<S::Strings<Entry>>,
    stacks: Directory<S::Stacks<Entry>>,
    samples: S::Samples<SampleEntry>,
}

impl<S: Storage> Tables<S> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Tables {
            number: 0,
            frequency: None,
            snapshot: None,
            strings: Directory::new(),
            stacks: Directory::new(),
            samples: List::EMPTY,
        }
    }

    /// Forgets everything, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.number = 0;
        self.frequency = None;
        self.snapshot = None;
        self.strings.clear();
        self.stacks.clear();
        self.samples.clear();
    }

    /// How many strings, stacks and samples there are.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let (strings, stacks) = (self.strings.entries().len(), self.stacks.entries().len());
        [strings, stacks, self.samples.len()]
    }

    /// Indexes a batch's payload, which is at `place`; says whether it holds a table at all.
    pub(crate) fn add(
        &mut self,
        batch: &Batch<'_>,
        place: Place,
        version: Version,
    ) -> Result<bool, Error> {
        match batch.contents() {
            Contents::Strings => self.add_strings(batch, place)?,
            Contents::Stacks => self.add_stacks(batch, place)?,
            Contents::Samples => self.add_samples(batch, place)?,
            Contents::Sync if is_sync(batch, version) => self.add_sync(batch, version)?,
            Contents::Experiment(_) => {}
            Contents::Sync | Contents::Events | Contents::EndOfGeneration => return Ok(false),
        }
        Ok(true)
    }

    fn add_strings(&mut self, batch: &Batch<'_>, place: Place) -> Result<(), Error> {
        let mut fields = section(batch)?;
        while !fields.is_empty() {
            let start = fields.offset();
            fields.expect(EventType::STRING, ErrorKind::NotAString)?;
            let string = fields.string()?;
            let bytes = string.data.as_bytes();
            let at = fields.position().saturating_sub(bytes.len());
            let entry = self.strings.add(string.id, span(place, at, bytes.len()));
            entry.map_err(|e| full(Table::Strings, e, start))?;
        }
        Ok(())
    }

    fn add_stacks(&mut self, batch: &Batch<'_>, place: Place) -> Result<(), Error> {
        let mut fields = section(batch)?;
        while !fields.is_empty() {
            let start = fields.offset();
            fields.expect(EventType::STACK, ErrorKind::NotAStack)?;
            let stack = fields.stack()?;
            let at = fields.position().saturating_sub(stack.frames.len());
            let entry = self
                .stacks
                .add(stack.id, span(place, at, stack.frames.len()));
            entry.map_err(|e| full(Table::Stacks, e, start))?;
        }
        Ok(())
    }

    fn add_samples(&mut self, batch: &Batch<'_>, place: Place) -> Result<(), Error> {
        let mut fields = section(batch)?;
        while !fields.is_empty() {
            let start = fields.offset();
            fields.expect(EventType::CPU_SAMPLE, ErrorKind::NotASample)?;
            let at = fields.position();
            // Until the frequency is known, the raw reading.
            let time = Time(num::signed(fields.sample()?.time.0));
            let entry = self.samples.push(SampleEntry {
                time,
                place: place.plus(at),
            });
            entry.map_err(|e| full(Table::Samples, e, start))?;
        }
        Ok(())
    }

    fn add_sync(&mut self, batch: &Batch<'_>, version: Version) -> Result<(), Error> {
        let (frequency, snapshot) = sync_of(batch, version)?;
        let at = batch.data_offset().0;
        if let Some(frequency) = frequency {
            // Go takes an infinite frequency, of 0 Hz, for a frequency as well.
            if self.frequency.is_some() {
                return Err(Error::at(
                    ErrorKind::DuplicateFrequency,
                    frequency.hertz(),
                    at,
                ));
            }
            self.frequency = Some(frequency);
        }
        if let Some(snapshot) = snapshot {
            if self.snapshot.is_some() {
                let number = batch.head.generation.get();
                return Err(Error::at(ErrorKind::DuplicateClockSnapshot, number, at));
            }
            self.snapshot = Some(snapshot);
        }
        Ok(())
    }

    /// Checks that the tables are complete and agree with each other; `end` is where the
    /// generation ends.
    pub(crate) fn finish(
        &mut self,
        input: &Pieces<'_>,
        number: u64,
        version: Version,
        end: u64,
    ) -> Result<(), Error> {
        let Some(frequency) = self.frequency else {
            return Err(Error::at(ErrorKind::MissingFrequency, number, end));
        };
        if version.has_clock_snapshot() && self.snapshot.is_none() {
            return Err(Error::at(ErrorKind::MissingClockSnapshot, number, end));
        }
        self.sort(input)?;
        self.check_frames(input)?;
        self.finish_samples(frequency);
        self.number = number;
        Ok(())
    }

    fn finish_samples(&mut self, frequency: Frequency) {
        for sample in self.samples.iter_mut() {
            sample.time = frequency.time(Timestamp(sample.time.0.cast_unsigned()));
        }
        sort::sort(&mut self.samples, |sample| sample.time);
    }

    /// Sorts strings and stacks by id, and checks that no two share one.
    pub(crate) fn sort(&mut self, input: &Pieces<'_>) -> Result<(), Error> {
        let duplicate = |kind| move |entry: Entry| Error::at(kind, entry.id, entry.offset(input));
        self.strings
            .finish()
            .map_err(duplicate(ErrorKind::DuplicateString))?;
        self.stacks
            .finish()
            .map_err(duplicate(ErrorKind::DuplicateStack))
    }

    /// Completes the tables with what there is; gives whether something is wrong with them.
    #[cfg(feature = "alloc")]
    pub(crate) fn finish_leniently(
        &mut self,
        input: &Pieces<'_>,
        number: u64,
        otherwise: Frequency,
    ) -> bool {
        let frequency = *self.frequency.get_or_insert(otherwise);
        let strings = self.strings.finish_leniently();
        let stacks = self.stacks.finish_leniently();
        self.finish_samples(frequency);
        self.number = number;
        strings > 0 || stacks > 0 || self.check_frames(input).is_err()
    }

    /// Adds names for strings and stacks that are named and missing, `ids` sorted, with no id twice; their
    /// texts are added to `names`, which is the piece [`Span::NAMES`]. Gives how many of each.
    #[cfg(feature = "alloc")]
    pub(crate) fn add_missing(
        &mut self,
        input: &Pieces<'_>,
        strings: &[u64],
        stacks: &[u64],
        names: &mut alloc::vec::Vec<u8>,
    ) -> Result<(u64, u64), Full> {
        let (mut some_strings, mut some_stacks) = (0u64, 0u64);
        let mut wanted: alloc::vec::Vec<u64> = strings.to_vec();
        let mut limit = 1usize << 16;
        for entry in self.stacks.entries() {
            for frame in RawFrames::new(input.bytes(entry.span)) {
                wanted.extend([frame.func, frame.file]);
            }
            if wanted.len() >= limit {
                wanted.retain(|id| !self.has_string(*id));
                wanted.sort_unstable();
                wanted.dedup();
                limit = limit.max(wanted.len().saturating_mul(2));
            }
        }
        wanted.retain(|id| !self.has_string(*id));
        wanted.sort_unstable();
        wanted.dedup();
        for id in wanted {
            self.strings.add(id, missing("string", id, names))?;
            some_strings = some_strings.saturating_add(1);
        }
        let unknown = stacks.iter().filter(|id| !self.has_stack(**id));
        let unknown: alloc::vec::Vec<u64> = unknown.copied().collect();
        for id in unknown {
            // The function of its one frame is a string that no real one has the id of.
            let name = id | FUNCTIONS;
            if !self.strings.contains(name) {
                self.strings.add(name, missing("stack", id, names))?;
            }
            let at = names.len();
            for number in [id, name, 0, 0] {
                let (bytes, len) = crate::varint::encode(number);
                names.extend(bytes.iter().take(len));
            }
            let span = name_span(at, names);
            self.stacks.add(id, span)?;
            some_stacks = some_stacks.saturating_add(1);
        }
        self.strings.finish_leniently();
        self.stacks.finish_leniently();
        Ok((some_strings, some_stacks))
    }

    /// Adds a string after the table was finished, and gives its id, which is higher than those of all
    /// others.
    #[cfg(feature = "alloc")]
    pub(crate) fn add_string_after(&mut self, span: Span) -> Result<u64, Full> {
        let id = self.strings.highest().saturating_add(1).max(NAMES);
        self.strings.add_last(id, span)?;
        Ok(id)
    }

    /// Every frame must name strings that exist.
    ///
    /// Go keeps one frame a program counter, the first it meets, and checks only that one. So does
    /// this, without a table of them: only where a frame fails are those before it looked at, for
    /// at most 32 frames that fail (see `src/docs/differences.md`).
    fn check_frames(&self, input: &Pieces<'_>) -> Result<(), Error> {
        let mut failed = 0usize;
        for entry in self.stacks.entries() {
            for frame in RawFrames::new(input.bytes(entry.span)) {
                let bad = [frame.func, frame.file]
                    .into_iter()
                    .find(|id| !self.has_string(*id));
                let Some(id) = bad else { continue };
                failed = failed.saturating_add(1);
                if failed > 32 || !self.has_earlier(input, entry.span, frame.pc) {
                    let offset = entry.offset(input);
                    return Err(Error::at(ErrorKind::UnknownString, id, offset));
                }
            }
        }
        Ok(())
    }

    /// Whether a stack before the one at `before` has a sound frame for this program counter, and
    /// none that is unsound before that.
    #[cold]
    fn has_earlier(&self, input: &Pieces<'_>, before: Span, pc: u64) -> bool {
        let first = self
            .stacks
            .entries()
            .iter()
            .filter(|entry| entry.span <= before)
            .filter_map(|entry| {
                let frame = RawFrames::new(input.bytes(entry.span)).find(|f| f.pc == pc)?;
                Some((entry.span, frame))
            })
            .min_by_key(|(span, _)| *span);
        first.is_some_and(|(_, f)| self.has_string(f.func) && self.has_string(f.file))
    }

    /// Whether the id names a string; 0 names the empty one.
    #[inline(always)]
    pub(crate) fn has_string(&self, id: u64) -> bool {
        id == 0 || self.strings.contains(id)
    }

    /// Whether the id names a stack; 0 names none.
    #[inline(always)]
    pub(crate) fn has_stack(&self, id: u64) -> bool {
        id == 0 || self.stacks.contains(id)
    }

    /// The strings, by id.
    pub(super) fn strings(&self) -> &[Entry] {
        self.strings.entries()
    }

    /// The stacks, by id.
    pub(super) fn stacks(&self) -> &[Entry] {
        self.stacks.entries()
    }

    /// The samples, by time.
    #[inline]
    pub(crate) fn samples(&self) -> &[SampleEntry] {
        &self.samples
    }
}

/// What events need of the tables to show their details, with the capacities erased.
///
/// Shared between threads, so that events and stacks may be.
pub(crate) trait Lookup: Send + Sync {
    /// The number of the generation that they are of, or 0.
    fn generation(&self) -> u64;
    fn string(&self, id: u64) -> Option<Span>;
    fn stack(&self, id: u64) -> Option<Span>;
    fn clock(&self) -> Option<ClockSnapshot>;
    /// Whether events with a string id of 0 have a text of their own: in traces of before Go 1.22.
    fn has_texts(&self) -> bool {
        false
    }
    /// What is known of a stack's frame.
    fn frame(&self, frame: RawFrame) -> RawFrame {
        frame
    }
}

impl<S: Storage> Lookup for Tables<S> {
    fn generation(&self) -> u64 {
        self.number
    }

    fn string(&self, id: u64) -> Option<Span> {
        if id == 0 {
            Some(Span::default())
        } else {
            self.strings.get(id)
        }
    }

    fn stack(&self, id: u64) -> Option<Span> {
        self.stacks.get(id)
    }

    fn clock(&self) -> Option<ClockSnapshot> {
        Some(self.snapshot?.with(self.frequency?))
    }
}

/// What the ids of strings begin at that stand for the functions of missing stacks, and those that name
/// regions of earlier generations.
#[cfg(feature = "alloc")]
const FUNCTIONS: u64 = 1 << 62;
#[cfg(feature = "alloc")]
const NAMES: u64 = 1 << 63;

/// Adds the name of something that is missing to `names`.
#[cfg(feature = "alloc")]
fn missing(what: &str, id: u64, names: &mut alloc::vec::Vec<u8>) -> Span {
    let at = names.len();
    names.extend(alloc::format!("{what} {id} (not recorded)").bytes());
    name_span(at, names)
}

/// The names from `at` on.
#[cfg(feature = "alloc")]
fn name_span(at: usize, names: &[u8]) -> Span {
    Span {
        piece: Span::NAMES,
        at,
        len: num::slot(names.len().saturating_sub(at)),
    }
}

fn span(place: Place, at: usize, len: usize) -> Span {
    Span {
        piece: place.piece,
        at: place.at.saturating_add(at),
        len: num::slot(len),
    }
}

/// The fields of a section after the byte that names it.
fn section<'t>(batch: &Batch<'t>) -> Result<Fields<'t>, Error> {
    let mut fields = Fields::new(batch.data, batch.data_offset().0);
    fields.byte()?;
    Ok(fields)
}

/// Whether a batch is what this version calls a sync batch.
pub(crate) fn is_sync(batch: &Batch<'_>, version: Version) -> bool {
    batch.head.experiment.is_none() && batch.data.first() == Some(&sync_type(version).0)
}

/// The type that a sync batch begins with.
pub(crate) fn sync_type(version: Version) -> EventType {
    if version.has_clock_snapshot() {
        EventType::SYNC
    } else {
        EventType::FREQUENCY
    }
}

/// The clocks that a sync batch is about: their frequency and, since Go 1.25, a snapshot of them.
/// Neither is in a batch of another kind.
///
/// Errors: all that can be wrong with its records.
pub fn clocks_of(
    batch: &Batch<'_>,
    version: Version,
) -> Result<(Option<Frequency>, Option<ClockSnapshot>), Error> {
    let (frequency, snapshot) = sync_of(batch, version)?;
    let snapshot = snapshot.zip(frequency).map(|(s, f)| s.with(f));
    Ok((frequency, snapshot))
}

/// What a sync batch says.
pub(crate) fn sync_of(
    batch: &Batch<'_>,
    version: Version,
) -> Result<(Option<Frequency>, Option<Snapshot>), Error> {
    let mut fields = Fields::new(batch.data, batch.data_offset().0);
    if !is_sync(batch, version) {
        return Ok((None, None));
    }
    if version.has_clock_snapshot() {
        fields.byte()?;
    }
    let (mut frequency, mut snapshot) = (None, None);
    let mut clock = batch.head.time.0;
    while !fields.is_empty() {
        let at = fields.offset();
        match fields.record()? {
            Record::Frequency(hertz) => {
                if frequency.replace(Frequency::from_hertz(hertz)).is_some() {
                    return Err(Error::at(ErrorKind::DuplicateFrequency, hertz, at));
                }
            }
            Record::Event(e)
                if e.ty == EventType::CLOCK_SNAPSHOT && version.has_clock_snapshot() =>
            {
                clock = clock.wrapping_add(e.dt);
                let [mono, seconds, nanoseconds, _] = e.args;
                let wall = WallTime::new(seconds, nanoseconds);
                let new = Snapshot {
                    trace: Timestamp(clock),
                    mono,
                    wall,
                };
                if snapshot.replace(new).is_some() {
                    let number = batch.head.generation.get();
                    return Err(Error::at(ErrorKind::DuplicateClockSnapshot, number, at));
                }
            }
            other => {
                return Err(Error::at(ErrorKind::NotASync, u64::from(other.ty().0), at));
            }
        }
    }
    Ok((frequency, snapshot))
}

impl SampleEntry {
    /// The record, decoded again; it was readable once.
    pub(crate) fn record(&self, input: &Pieces<'_>) -> Option<crate::wire::SampleRecord> {
        let bytes = input.piece(self.place.piece)?.get(self.place.at..)?;
        Fields::new(bytes, 0).sample().ok()
    }
}
