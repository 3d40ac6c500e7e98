//! The tables of one generation: strings, stacks, samples and the clock, as indexes into the trace.

use super::index::{Directory, Entry, full};
use super::trace::{Generation, Trace};
use crate::error::{Error, ErrorKind, Table};
use crate::ids::{Experiment, GenerationId, GoId, Offset, ProcId, StackId, StringId, ThreadId};
use crate::input::{Input, Place, Span};
use crate::num;
use crate::sort;
use crate::storage::{List, Storage};
use crate::string::GoStr;
use crate::time::{ClockSnapshot, Frequency, Time, Timestamp, WallTime};
use crate::wire::{Batch, Batches, Chunk, Contents, EventType, Fields, RawFrames, Record, Version};
use core::fmt;

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

/// Where a CPU sample stands, and when it was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleEntry {
    pub(crate) time: Time,
    place: Place,
}

/// The tables of one generation, lifetime-free: positions in the input that they were read from.
pub(crate) struct Tables<S: Storage> {
    pub(crate) frequency: Option<Frequency>,
    snapshot: Option<Snapshot>,
    strings: Directory<S::Strings<Entry>>,
    stacks: Directory<S::Stacks<Entry>>,
    samples: S::Samples<SampleEntry>,
}

impl<S: Storage> Tables<S> {
    pub(crate) const fn new() -> Self {
        Tables {
            frequency: None,
            snapshot: None,
            strings: Directory::new(),
            stacks: Directory::new(),
            samples: List::EMPTY,
        }
    }

    /// Forgets everything, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.frequency = None;
        self.snapshot = None;
        self.strings.clear();
        self.stacks.clear();
        self.samples.clear();
    }

    /// Indexes a batch's payload, which stands at `place`; says whether it holds a table at all.
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
                return Err(Error::new(
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
                return Err(Error::new(ErrorKind::DuplicateClockSnapshot, number, at));
            }
            self.snapshot = Some(snapshot);
        }
        Ok(())
    }

    /// Checks that the tables are complete and agree with each other; `end` is where the
    /// generation ends.
    pub(crate) fn finish(
        &mut self,
        input: &Input<'_>,
        number: u64,
        version: Version,
        end: u64,
    ) -> Result<(), Error> {
        let Some(frequency) = self.frequency else {
            return Err(Error::new(ErrorKind::MissingFrequency, number, end));
        };
        if version.has_clock_snapshot() && self.snapshot.is_none() {
            return Err(Error::new(ErrorKind::MissingClockSnapshot, number, end));
        }
        let duplicate = |kind| move |entry: Entry| Error::new(kind, entry.id, entry.offset(input));
        self.strings
            .finish()
            .map_err(duplicate(ErrorKind::DuplicateString))?;
        self.stacks
            .finish()
            .map_err(duplicate(ErrorKind::DuplicateStack))?;
        self.check_frames(input)?;
        for sample in self.samples.iter_mut() {
            sample.time = frequency.time(Timestamp(sample.time.0.cast_unsigned()));
        }
        sort::sort(&mut self.samples, |sample| sample.time);
        Ok(())
    }

    /// Every frame must name strings that exist.
    ///
    /// Go keeps one frame a program counter, the first it meets, and checks only that one. So does
    /// this, without a table of them: only where a frame fails are those before it looked at, for
    /// at most 32 frames that fail.
    fn check_frames(&self, input: &Input<'_>) -> Result<(), Error> {
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
                    return Err(Error::new(ErrorKind::UnknownString, id, offset));
                }
            }
        }
        Ok(())
    }

    /// Whether a stack before the one at `before` has a sound frame for this program counter, and
    /// none that is unsound before that.
    #[cold]
    fn has_earlier(&self, input: &Input<'_>, before: Span, pc: u64) -> bool {
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

    pub(crate) fn samples(&self) -> &[SampleEntry] {
        &self.samples
    }
}

/// What events need of the tables to show their details, with the capacities erased.
pub(crate) trait Lookup {
    fn string(&self, id: u64) -> Option<Span>;
    fn stack(&self, id: u64) -> Option<Span>;
    fn clock(&self) -> Option<ClockSnapshot>;
}

impl<S: Storage> Lookup for Tables<S> {
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
    let expected = if version.has_clock_snapshot() {
        EventType::SYNC
    } else {
        EventType::FREQUENCY
    };
    batch.head.experiment.is_none() && batch.data.first() == Some(&expected.0)
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
                    return Err(Error::new(ErrorKind::DuplicateFrequency, hertz, at));
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
                    return Err(Error::new(ErrorKind::DuplicateClockSnapshot, number, at));
                }
            }
            other => {
                return Err(Error::new(ErrorKind::NotASync, u64::from(other.ty().0), at));
            }
        }
    }
    Ok((frequency, snapshot))
}

/// A call stack of a generation (`trace.Stack` in Go's API).
///
/// Two stacks of one generation are equal if they have the same id. Frames are decoded when asked
/// for; their names borrow from the trace.
#[derive(Clone, Copy)]
pub struct Stack<'a, 't> {
    pub(crate) id: u64,
    pub(crate) frames: &'t [u8],
    pub(crate) input: Input<'t>,
    pub(crate) tables: &'a dyn Lookup,
}

impl<'a, 't> Stack<'a, 't> {
    /// The id within the generation; `None` for an empty stack that the table does not hold.
    pub const fn id(&self) -> Option<StackId> {
        StackId::new(self.id)
    }

    /// The frames, the innermost first, at most 128.
    pub const fn frames(&self) -> Frames<'a, 't> {
        Frames {
            raw: RawFrames::new(self.frames),
            input: self.input,
            tables: self.tables,
        }
    }
}

impl PartialEq for Stack<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && core::ptr::eq(self.frames, other.frames)
    }
}

impl Eq for Stack<'_, '_> {}

impl fmt::Debug for Stack<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.frames()).finish()
    }
}

/// Two lines a frame, as Go's `Stack.String` prints it: function and program counter, then file and
/// line, indented. With `{:#}` indented by one more tab, as within an event. Control characters in
/// names are escaped.
impl fmt::Display for Stack<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tab = if f.alternate() { "\t" } else { "" };
        self.frames().try_for_each(|frame| {
            writeln!(f, "{tab}{} @ 0x{:x}", frame.func.printable(), frame.pc)?;
            writeln!(f, "{tab}\t{}:{}", frame.file.printable(), frame.line)
        })
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Stack<'_, '_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "stack {=u64}", self.id);
    }
}

/// A frame of a call stack (`trace.StackFrame`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Frame<'t> {
    /// The program counter: of the call, or in the innermost frame where the stack was taken.
    pub pc: u64,
    /// The function.
    pub func: GoStr<'t>,
    /// The source file.
    pub file: GoStr<'t>,
    /// The line within the file, from 1.
    pub line: u64,
}

/// The frames of a [`Stack`].
#[derive(Clone)]
pub struct Frames<'a, 't> {
    raw: RawFrames<'t>,
    input: Input<'t>,
    tables: &'a dyn Lookup,
}

impl<'t> Iterator for Frames<'_, 't> {
    type Item = Frame<'t>;

    fn next(&mut self) -> Option<Frame<'t>> {
        let raw = self.raw.next()?;
        let name = |id| {
            let span = self.tables.string(id).filter(|span| span.len > 0);
            span.map_or(GoStr::EMPTY, |span| GoStr::new(self.input.bytes(span)))
        };
        Some(Frame {
            pc: raw.pc,
            func: name(raw.func),
            file: name(raw.file),
            line: raw.line,
        })
    }
}

/// A sample of the CPU profiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a, 't> {
    /// When.
    pub time: Time,
    /// The thread sampled.
    pub thread: Option<ThreadId>,
    /// Its proc, if it had one.
    pub proc: Option<ProcId>,
    /// Its goroutine, if it ran one.
    pub goroutine: Option<GoId>,
    /// What it was doing; `None` also if the stack table does not have it.
    pub stack: Option<Stack<'a, 't>>,
}

/// The tables of one generation: strings by id, stacks by id, CPU samples, the clock.
///
/// `S` says where the index lives: [`Growing`](crate::Growing) on the heap, or
/// [`Fixed`](crate::Fixed), whose first three capacities count here. An entry takes 24 bytes.
pub struct GenerationTables<'t, S: Storage> {
    input: Input<'t>,
    number: GenerationId,
    batches: Batches<'t>,
    end: Offset,
    tables: Tables<S>,
}

impl<'t, S: Storage> GenerationTables<'t, S> {
    /// Indexes the tables of a generation.
    ///
    /// Errors: everything that can be wrong with a table or a batch header, and
    /// [`TableFull`](ErrorKind::TableFull).
    pub fn load(trace: &Trace<'t>, generation: &Generation) -> Result<Self, Error> {
        let mut tables = Tables::new();
        let mut batches = trace.batches_from(generation.start);
        while batches.offset() < generation.end {
            let Some(Chunk::Batch(batch)) = batches.next()? else {
                break;
            };
            let place = Place {
                at: batches.place().at.saturating_sub(batch.data.len()),
                ..batches.place()
            };
            tables.add(&batch, place, trace.version())?;
        }
        let number = generation.number;
        tables.finish(
            &trace.input,
            number.get(),
            trace.version(),
            generation.end.0,
        )?;
        Ok(GenerationTables {
            input: trace.input,
            number,
            batches: trace.batches_from(generation.start),
            end: generation.end,
            tables,
        })
    }

    /// The generation's number.
    pub const fn number(&self) -> GenerationId {
        self.number
    }

    /// The clock frequency.
    pub const fn frequency(&self) -> Option<Frequency> {
        self.tables.frequency
    }

    /// The clock snapshot, since Go 1.25.
    pub fn clock(&self) -> Option<ClockSnapshot> {
        Lookup::clock(&self.tables)
    }

    /// A string by id: empty for no id, `None` for one that the table does not have.
    pub fn string(&self, id: Option<StringId>) -> Option<GoStr<'t>> {
        let Some(id) = id else {
            return Some(GoStr::EMPTY);
        };
        self.tables
            .strings
            .get(id.get())
            .map(|span| GoStr::new(self.input.bytes(span)))
    }

    /// A stack by id; `None` if the table does not have it.
    pub fn stack(&self, id: StackId) -> Option<Stack<'_, 't>> {
        self.stack_at(id.get(), self.tables.stacks.get(id.get())?)
    }

    fn stack_at(&self, id: u64, span: Span) -> Option<Stack<'_, 't>> {
        Some(Stack {
            id,
            frames: self.input.bytes(span),
            input: self.input,
            tables: &self.tables,
        })
    }

    /// All strings, by rising id.
    pub fn strings(&self) -> impl Iterator<Item = (StringId, GoStr<'t>)> {
        self.tables
            .strings
            .entries()
            .iter()
            .filter_map(|e| Some((StringId::new(e.id)?, GoStr::new(self.input.bytes(e.span)))))
    }

    /// All stacks, by rising id.
    pub fn stacks(&self) -> impl Iterator<Item = Stack<'_, 't>> {
        self.tables
            .stacks
            .entries()
            .iter()
            .filter_map(|e| self.stack_at(e.id, e.span))
    }

    /// All CPU samples, by rising time.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'_, 't>> {
        self.tables.samples.iter().filter_map(|entry| {
            let sample = entry.record(&self.input)?;
            Some(Sample {
                time: entry.time,
                thread: sample.thread,
                proc: sample.proc,
                goroutine: sample.goroutine,
                stack: sample.stack.and_then(|id| self.stack(id)),
            })
        })
    }

    /// The batches of experiments, in the order in which they stand in the trace.
    pub fn experimental_batches(&self) -> ExperimentalBatches<'t> {
        ExperimentalBatches::new(self.batches.clone(), self.end)
    }
}

impl<S: Storage> fmt::Debug for GenerationTables<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerationTables")
            .field("number", &self.number)
            .field("strings", &self.tables.strings.entries().len())
            .field("stacks", &self.tables.stacks.entries().len())
            .field("samples", &self.tables.samples.len())
            .finish_non_exhaustive()
    }
}

impl SampleEntry {
    /// The record, decoded again; it was readable once.
    pub(crate) fn record(&self, input: &Input<'_>) -> Option<crate::wire::SampleRecord> {
        let bytes = input.piece(self.place.piece)?.get(self.place.at..)?;
        Fields::new(bytes, 0).sample().ok()
    }
}

/// A batch of an experiment: opaque data of one thread (`trace.ExperimentalBatch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExperimentalBatch<'t> {
    /// The experiment.
    pub experiment: Experiment,
    /// The thread that wrote the data.
    pub thread: Option<ThreadId>,
    /// The data.
    pub data: &'t [u8],
}

/// The experimental batches of a generation.
#[derive(Clone, Debug)]
pub struct ExperimentalBatches<'t> {
    batches: Batches<'t>,
    end: Offset,
}

impl<'t> ExperimentalBatches<'t> {
    pub(crate) const fn new(batches: Batches<'t>, end: Offset) -> Self {
        ExperimentalBatches { batches, end }
    }
}

impl<'t> Iterator for ExperimentalBatches<'t> {
    type Item = ExperimentalBatch<'t>;

    fn next(&mut self) -> Option<ExperimentalBatch<'t>> {
        while self.batches.offset() < self.end {
            if let Chunk::Batch(Batch { head, data, .. }) = self.batches.next().ok()??
                && let Some(experiment) = head.experiment
            {
                return Some(ExperimentalBatch {
                    experiment,
                    thread: head.thread,
                    data,
                });
            }
        }
        None
    }
}
