//! What the statistics are, row by row, with the names that the JSON form has.

use super::goroutines::{RegionStats, Stats};
use super::histogram::{Bucket, DecadeHistogram};
use super::{Mark, Summarizer};
use crate::analysis::names::{NameId, Names, StackRef};
use crate::num;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[cfg_attr(feature = "json", derive(serde::Serialize))]
        #[cfg_attr(feature = "json", serde(rename_all = "PascalCase"))]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $ty,)*
        }
    )*};
}

rows! {
    /// Times in nanoseconds (`trace.GoroutineExecStats`).
    StatsRow {
        /// Running.
        exec: i64,
        /// Waiting for a processor.
        sched_wait: i64,
        /// In system calls, with a processor.
        syscall: i64,
        /// In system calls, without one.
        syscall_block: i64,
        /// What of the total is none of these, and not blocked.
        unknown: i64,
        /// From creation to end, as far as the trace goes.
        total: i64,
        /// Blocked, by reason; those of 0 are left out.
        block: BTreeMap<String, i64>,
        /// Within ranges, by name; those of 0 are left out. They overlap all the rest.
        range: BTreeMap<String, i64>,
    }
    /// A goroutine (`trace.GoroutineSummary`).
    GoroutineRow {
        /// The id.
        #[cfg_attr(feature = "json", serde(rename = "ID"))]
        id: i64,
        /// The function it started with.
        name: String,
        /// When it was created, or the Sync event before its first mention.
        creation: i64,
        /// When it first ran; 0 for never.
        start: i64,
        /// When it ended; 0 if it did not.
        end: i64,
        /// How many regions it had.
        regions: u64,
        /// The times.
        #[cfg_attr(feature = "json", serde(flatten))]
        stats: StatsRow,
    }
    /// Goroutines of one start function, as Go's page `/goroutines` has them.
    GroupRow {
        /// The function.
        name: String,
        /// How many.
        n: u64,
        /// The sums of their times.
        #[cfg_attr(feature = "json", serde(flatten))]
        stats: StatsRow,
    }
    /// A region (`trace.UserRegionSummary`).
    RegionRow {
        /// Its goroutine.
        goroutine: i64,
        /// Its task.
        task: u64,
        /// Its type; empty for what a goroutine inherits of the region in which it was created.
        #[cfg_attr(feature = "json", serde(rename = "Type"))]
        ty: String,
        /// When it began, if the trace has that.
        start: Option<i64>,
        /// When it ended, if the trace has that.
        end: Option<i64>,
        /// From start to end, or those of the trace.
        duration: i64,
        /// The times of its goroutine within it.
        #[cfg_attr(feature = "json", serde(flatten))]
        stats: StatsRow,
    }
    /// Regions of one type and place, as Go's page `/userregions` has them.
    RegionTypeRow {
        /// The type.
        #[cfg_attr(feature = "json", serde(rename = "Type"))]
        ty: String,
        /// The outermost frame of the stack where they began.
        frame: FrameRow,
        /// How many.
        count: u64,
        /// Their durations.
        histogram: Vec<Bucket>,
    }
    /// A task (`trace.UserTaskSummary`).
    TaskRow {
        /// The id.
        #[cfg_attr(feature = "json", serde(rename = "ID"))]
        id: u64,
        /// Its type.
        #[cfg_attr(feature = "json", serde(rename = "Type"))]
        ty: String,
        /// The task that it is part of.
        parent: Option<u64>,
        /// When it began, if the trace has that.
        start: Option<i64>,
        /// When it ended, if the trace has that.
        end: Option<i64>,
        /// From start to end, or those of the trace.
        duration: i64,
        /// How many tasks are part of it.
        children: u64,
        /// How many messages were logged for it.
        logs: u64,
        /// How many regions are part of it.
        regions: u64,
        /// The goroutines that began or ended it, or logged or had regions for it.
        goroutines: BTreeSet<i64>,
    }
    /// Tasks of one type, as Go's page `/usertasks` has them.
    TaskTypeRow {
        /// The type.
        #[cfg_attr(feature = "json", serde(rename = "Type"))]
        ty: String,
        /// How many.
        count: u64,
        /// The durations of those that began and ended.
        histogram: Vec<Bucket>,
    }
    /// A frame of a stack.
    FrameRow {
        /// The program counter, in hexadecimal.
        #[cfg_attr(feature = "json", serde(rename = "PC"))]
        pc: String,
        /// The function.
        func: String,
        /// The file.
        file: String,
        /// The line.
        line: u64,
    }
}

fn text(names: &Names, id: NameId) -> String {
    names.text(id).to_string()
}

fn named(names: &Names, map: &BTreeMap<NameId, i64>) -> BTreeMap<String, i64> {
    let each = map.iter().filter(|(_, n)| **n != 0);
    each.map(|(id, n)| (text(names, *id), *n)).collect()
}

impl StatsRow {
    pub(super) fn of(names: &Names, stats: &Stats) -> StatsRow {
        let known = [stats.exec, stats.sched, stats.syscall, stats.sysblock];
        let known = known.iter().chain(stats.block.values());
        let known = known.fold(0i64, |sum, n| sum.saturating_add(*n));
        StatsRow {
            exec: stats.exec,
            sched_wait: stats.sched,
            syscall: stats.syscall,
            syscall_block: stats.sysblock,
            unknown: stats.total.saturating_sub(known).max(0),
            total: stats.total,
            block: named(names, &stats.block),
            range: named(names, &stats.range),
        }
    }

    fn add(&mut self, other: &StatsRow) {
        for (to, from) in [
            (&mut self.exec, other.exec),
            (&mut self.sched_wait, other.sched_wait),
            (&mut self.syscall, other.syscall),
            (&mut self.syscall_block, other.syscall_block),
            (&mut self.unknown, other.unknown),
            (&mut self.total, other.total),
        ] {
            *to = to.saturating_add(from);
        }
        for (to, from) in [
            (&mut self.block, &other.block),
            (&mut self.range, &other.range),
        ] {
            for (name, n) in from {
                let sum = to.entry(name.clone()).or_default();
                *sum = sum.saturating_add(*n);
            }
        }
    }
}

impl FrameRow {
    /// What there is of a stack without frames.
    fn none() -> FrameRow {
        FrameRow {
            pc: "0x0".to_string(),
            ..FrameRow::default()
        }
    }

    pub(super) fn of(frame: &crate::generation::Frame<'_>) -> FrameRow {
        FrameRow {
            pc: format!("{:#x}", frame.pc),
            func: frame.func.to_string(),
            file: frame.file.to_string(),
            line: frame.line,
        }
    }
}

impl Summarizer {
    /// Every goroutine, by id; of lives with one id the last, as Go has it.
    pub fn goroutines(&self) -> impl Iterator<Item = GoroutineRow> {
        self.goroutines.iter().map(|(id, goroutine)| GoroutineRow {
            id: *id,
            name: text(&self.names, goroutine.name),
            creation: goroutine.created,
            start: goroutine.started,
            end: goroutine.ended,
            regions: num::wide(goroutine.regions.len()),
            stats: StatsRow::of(&self.names, &goroutine.stats),
        })
    }

    /// Goroutines by the function that they started with, by name.
    pub fn groups(&self) -> Vec<GroupRow> {
        let mut groups: BTreeMap<String, GroupRow> = BTreeMap::new();
        for row in self.goroutines() {
            let group = groups.entry(row.name.clone()).or_default();
            group.name = row.name;
            group.n = group.n.saturating_add(1);
            group.stats.add(&row.stats);
        }
        groups.into_values().collect()
    }

    /// Every region, by goroutine.
    pub fn regions(&self) -> impl Iterator<Item = RegionRow> {
        let each = self.goroutines.iter();
        each.flat_map(|(id, goroutine)| {
            goroutine
                .regions
                .iter()
                .map(|region| self.region(*id, region))
        })
    }

    fn region(&self, goroutine: i64, region: &RegionStats) -> RegionRow {
        RegionRow {
            goroutine,
            task: region.task,
            ty: text(&self.names, region.ty),
            start: region.start.map(|mark| mark.time),
            end: region.end.map(|mark| mark.time),
            duration: self.interval(region.start, region.end),
            stats: StatsRow::of(&self.names, &region.stats),
        }
    }

    /// Regions by type and outermost frame, sorted by type, program counter and line.
    pub fn region_types(&self) -> Vec<RegionTypeRow> {
        let mut types: BTreeMap<_, (FrameRow, DecadeHistogram)> = BTreeMap::new();
        for region in self.goroutines.values().flat_map(|g| &g.regions) {
            let stack = region.start.and_then(|mark: Mark| mark.stack);
            let frame = stack.and_then(|stack: StackRef| self.names.frames(stack).next_back());
            let key = (
                self.names.text(region.ty),
                frame.map_or(0, |f| f.pc),
                frame.map_or(0, |f| f.line),
                frame.map(|f| (f.func, f.file)),
            );
            let (_, histogram) = types.entry(key).or_insert_with(|| {
                let row = frame.map_or_else(FrameRow::none, |f| FrameRow::of(&f));
                (row, DecadeHistogram::default())
            });
            histogram.add(self.interval(region.start, region.end));
        }
        let rows = types.into_iter();
        rows.map(|((ty, ..), (frame, histogram))| RegionTypeRow {
            ty: ty.to_string(),
            frame,
            count: histogram.len(),
            histogram: histogram.buckets(),
        })
        .collect()
    }

    /// Every task, by id. Task 0 is the background task, and the largest number is no task.
    pub fn tasks(&self) -> impl Iterator<Item = TaskRow> {
        self.tasks.iter().map(|(id, task)| TaskRow {
            id: *id,
            ty: text(&self.names, task.ty),
            parent: task.parent,
            start: task.start.map(|mark| mark.time),
            end: task.end.map(|mark| mark.time),
            duration: self.interval(task.start, task.end),
            children: task.children,
            logs: task.logs,
            regions: task.regions,
            goroutines: task.goroutines.clone(),
        })
    }

    /// Tasks by type, by name.
    pub fn task_types(&self) -> Vec<TaskTypeRow> {
        let mut types: BTreeMap<_, (u64, DecadeHistogram)> = BTreeMap::new();
        for task in self.tasks.values() {
            let (count, histogram) = types.entry(self.names.text(task.ty)).or_default();
            *count = count.saturating_add(1);
            if task.start.is_some() && task.end.is_some() {
                histogram.add(self.interval(task.start, task.end));
            }
        }
        let rows = types.into_iter();
        rows.map(|(ty, (count, histogram))| TaskTypeRow {
            ty: ty.to_string(),
            count,
            histogram: histogram.buckets(),
        })
        .collect()
    }

    /// The start and the end of a goroutine, for profiles: 0 for none.
    pub(super) fn life(&self, id: i64) -> (i64, i64) {
        let goroutine = self.goroutines.get(&id);
        goroutine.map_or((0, 0), |g| (g.started, g.ended))
    }
}
