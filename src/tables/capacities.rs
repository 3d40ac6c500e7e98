//! How many entries each table of a reader has room for, or needs.

use crate::num;
use core::fmt;

/// The number of entries of each table of a [`Reader`](crate::Reader): what [`Fixed`](super::Fixed)
/// tables have room for, or what a trace [needs](crate::Reader::needs).
///
/// Displays as the text that [`tables!`](crate::tables!) takes, ready to be pasted.
///
/// Exhaustive by decision: another table is another capacity that firmware has to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Capacities {
    /// Strings of the generation that has most.
    pub strings: usize,
    /// Stacks of the generation that has most.
    pub stacks: usize,
    /// CPU samples of the generation that has most.
    pub samples: usize,
    /// Event batches of the generation that has most.
    pub batches: usize,
    /// Threads that the trace mentions. Batches that belong to no thread count as one more.
    pub threads: usize,
    /// Procs that the trace mentions.
    pub procs: usize,
    /// Goroutines that exist at a time.
    pub goroutines: usize,
    /// Regions and stop-the-world ranges that are open at a time.
    pub regions: usize,
    /// Tasks that are open at a time.
    pub tasks: usize,
}

/// A table's name, its number of entries, and how many bytes an entry takes in a reader.
type Row = (&'static str, usize, usize);

impl Capacities {
    /// No room at all: what a reader needs that has read nothing.
    pub const NONE: Capacities = Capacities {
        strings: 0,
        stacks: 0,
        samples: 0,
        batches: 0,
        threads: 0,
        procs: 0,
        goroutines: 0,
        regions: 0,
        tasks: 0,
    };

    /// Enough for a program of a few goroutines: a reader of 18 kilobytes.
    pub const SMALL: Capacities = Capacities {
        strings: 256,
        stacks: 128,
        samples: 16,
        batches: 32,
        threads: 8,
        procs: 8,
        goroutines: 48,
        regions: 16,
        tasks: 16,
    };

    const fn rows(&self) -> [Row; 9] {
        [
            ("strings", self.strings, 24),
            ("stacks", self.stacks, 24),
            ("samples", self.samples, 24),
            ("batches", self.batches, 32),
            ("threads", self.threads, 288),
            ("procs", self.procs, 44),
            ("goroutines", self.goroutines, 52),
            ("regions", self.regions, 32),
            ("tasks", self.tasks, 44),
        ]
    }

    /// The most bytes that a [`Reader`](crate::Reader) with tables of these capacities takes; on
    /// 64-bit targets the same but for padding, on 32-bit targets it takes less.
    ///
    /// ```text
    /// 1080 + 24 strings + 24 stacks + 24 samples + 32 batches + 288 threads
    ///     + 44 procs + 52 goroutines + 32 regions + 44 tasks
    /// ```
    pub const fn reader_size(&self) -> usize {
        let rows = self.rows();
        let mut rest: &[Row] = &rows;
        let mut sum = 1080usize;
        while let [(_, count, size), others @ ..] = rest {
            sum = sum.saturating_add(count.saturating_mul(*size));
            rest = others;
        }
        sum
    }

    /// The larger of two, table by table: what two traces need.
    #[must_use]
    pub fn max(self, other: Capacities) -> Capacities {
        let [a, b] = [self, other].map(|each| Counts::new(each.rows().map(|(_, count, _)| count)));
        a.max(b).capacities()
    }
}

impl fmt::Display for Capacities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gotrace::tables! {\n")?;
        for (name, count, _) in self.rows() {
            writeln!(f, "    {name}: {count},")?;
        }
        f.write_str("}")
    }
}

/// The number of entries of each table, as [`Capacities`] in little memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts([u32; 9]);

impl Counts {
    pub(crate) const NONE: Counts = Counts([0; 9]);

    /// In the order of the fields of [`Capacities`].
    pub(crate) fn new(entries: [usize; 9]) -> Counts {
        Counts(entries.map(num::slot))
    }

    /// The larger of two, table by table.
    #[must_use]
    pub(crate) fn max(mut self, other: Counts) -> Counts {
        for (count, other) in self.0.iter_mut().zip(other.0) {
            *count = other.max(*count);
        }
        self
    }

    pub(crate) fn capacities(self) -> Capacities {
        let [
            strings,
            stacks,
            samples,
            batches,
            threads,
            procs,
            goroutines,
            regions,
            tasks,
        ] = self.0.map(num::index);
        Capacities {
            strings,
            stacks,
            samples,
            batches,
            threads,
            procs,
            goroutines,
            regions,
            tasks,
        }
    }
}

/// [`Fixed`](crate::Fixed) tables, with capacities by name: all nine of
/// [`Capacities`](crate::tables::Capacities), or some and the rest of another.
///
/// ```
/// use gotrace::{Reader, tables::Capacities};
///
/// type Roomy = gotrace::tables! {
///     strings: 1024,
///     stacks: 512,
///     samples: 64,
///     batches: 64,
///     threads: 16,
///     procs: 16,
///     goroutines: 256,
///     regions: 64,
///     tasks: 64,
/// };
/// type NoSamples = gotrace::tables! { samples: 0, ..Capacities::SMALL };
/// assert!(size_of::<Reader<'_, NoSamples>>() < size_of::<Reader<'_, Roomy>>());
/// ```
#[macro_export]
macro_rules! tables {
    ($($capacities:tt)*) => {
        $crate::tables::Fixed<
            { $crate::tables::Capacities { $($capacities)* }.strings },
            { $crate::tables::Capacities { $($capacities)* }.stacks },
            { $crate::tables::Capacities { $($capacities)* }.samples },
            { $crate::tables::Capacities { $($capacities)* }.batches },
            { $crate::tables::Capacities { $($capacities)* }.threads },
            { $crate::tables::Capacities { $($capacities)* }.procs },
            { $crate::tables::Capacities { $($capacities)* }.goroutines },
            { $crate::tables::Capacities { $($capacities)* }.regions },
            { $crate::tables::Capacities { $($capacities)* }.tasks },
        >
    };
}
