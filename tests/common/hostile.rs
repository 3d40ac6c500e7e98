//! Traces that mean harm: each makes one part of a reader work as hard as it can for its bytes.
//!
//! Every generator takes a size, and makes a trace whose length is about proportional to it. Go's
//! reader accepts them, but for those whose [`Case::accepted`] says otherwise.

use gotrace::wire::{EventType, MAX_BATCH_SIZE, Version, varint};
// Unit tests use this too, in a crate without these.
use std::prelude::v1::*;
use std::{format, vec};

/// A family of traces.
pub struct Case {
    pub name: &'static str,
    pub make: fn(usize) -> Vec<u8>,
    /// Whether the trace is read to its end.
    pub accepted: bool,
    /// Whether Go's reader takes time in the square of the size.
    pub go_is_quadratic: bool,
}

const fn case(name: &'static str, make: fn(usize) -> Vec<u8>) -> Case {
    Case {
        name,
        make,
        accepted: true,
        go_is_quadratic: false,
    }
}

const fn refused(name: &'static str, make: fn(usize) -> Vec<u8>) -> Case {
    Case {
        accepted: false,
        ..case(name, make)
    }
}

const fn waiting(name: &'static str, make: fn(usize) -> Vec<u8>) -> Case {
    Case {
        go_is_quadratic: true,
        ..case(name, make)
    }
}

pub const CASES: &[Case] = &[
    case("ids at the edge", edge_ids),
    case("threads", threads),
    case("goroutines", goroutines),
    case("colliding goroutine ids", colliding),
    case("colliding, seed by seed", colliding_adaptively),
    case("enormous string and stack ids", enormous_ids),
    refused("strings with one id", duplicates),
    refused("frames that name no string", missing_strings),
    case("empty batches", empty_batches),
    case("times that wrap", wrapping_times),
    case("open regions", open_regions),
    case("open tasks", open_tasks),
    case("stopped worlds", stopped_worlds),
    case("small generations, much open", small_generations),
    waiting("only the last thread advances", only_the_last),
    waiting("each event wakes the next", chain),
    waiting("all wait for one proc", one_proc),
    waiting("all wait for one goroutine", one_goroutine),
    waiting("all wait for the collector", collector),
    waiting("all wait to be stolen from", stolen),
    waiting("waiting, and CPU samples", samples),
];

/// A thread, proc or goroutine apart from those that are counted.
const MAIN: u64 = 1 << 40;
const HZ: u64 = 1_000_000_000;

/// Writes a trace, of the newest version unless it is [told](Writer::of) another.
pub struct Writer {
    version: Version,
    bytes: Vec<u8>,
    generation: u64,
}

/// Events of one thread, with absolute times.
pub struct Thread<'w> {
    writer: &'w mut Writer,
    id: u64,
    start: u64,
    now: u64,
    data: Vec<u8>,
}

pub fn put(out: &mut Vec<u8>, value: u64) {
    let (bytes, len) = varint::encode(value);
    out.extend_from_slice(&bytes[..len]);
}

impl Writer {
    pub fn new() -> Writer {
        Writer::of(Version::Go126)
    }

    /// Writes a trace of a version with generations.
    pub fn of(version: Version) -> Writer {
        let mut writer = Writer {
            version,
            bytes: version.header().to_vec(),
            generation: 0,
        };
        writer.next();
        writer
    }

    /// Begins a generation.
    pub fn next(&mut self) {
        if self.generation > 0 {
            self.end();
        }
        self.generation += 1;
        let mut sync = vec![EventType::FREQUENCY.0];
        put(&mut sync, HZ);
        if self.version >= Version::Go125 {
            sync.insert(0, EventType::SYNC.0);
            sync.extend([EventType::CLOCK_SNAPSHOT.0, 0, 1, 1, 1]);
        }
        self.batch(u64::MAX, 1, &sync);
    }

    pub fn batch(&mut self, thread: u64, time: u64, data: &[u8]) {
        self.bytes.push(EventType::EVENT_BATCH.0);
        for field in [self.generation, thread, time, data.len() as u64] {
            put(&mut self.bytes, field);
        }
        self.bytes.extend_from_slice(data);
    }

    /// A table, in as many batches as it takes.
    pub fn section(&mut self, ty: EventType, entries: impl Iterator<Item = Vec<u8>>) {
        let mut data = vec![ty.0];
        for entry in entries {
            if data.len() + entry.len() > MAX_BATCH_SIZE as usize {
                self.batch(u64::MAX, 1, &data);
                data.truncate(1);
            }
            data.extend(entry);
        }
        self.batch(u64::MAX, 1, &data);
    }

    pub fn strings<'s>(&mut self, strings: impl Iterator<Item = (u64, &'s str)>) {
        let entries = strings.map(|(id, text)| {
            let mut entry = vec![EventType::STRING.0];
            put(&mut entry, id);
            put(&mut entry, text.len() as u64);
            entry.extend_from_slice(text.as_bytes());
            entry
        });
        self.section(EventType::STRINGS, entries);
    }

    /// Stacks of one frame: id, program counter, function.
    pub fn stacks(&mut self, stacks: impl Iterator<Item = [u64; 3]>) {
        let entries = stacks.map(|[id, pc, func]| {
            let mut entry = vec![EventType::STACK.0];
            for field in [id, 1, pc, func, 0, 1] {
                put(&mut entry, field);
            }
            entry
        });
        self.section(EventType::STACKS, entries);
    }

    pub fn thread(&mut self, id: u64, start: u64) -> Thread<'_> {
        Thread {
            writer: self,
            id,
            start,
            now: start,
            data: Vec::new(),
        }
    }

    /// A thread with a proc and a goroutine of its own number, both running, from `start` on.
    pub fn running(&mut self, id: u64, start: u64) -> Thread<'_> {
        let mut thread = self.thread(id, start);
        thread.event(EventType::PROC_STATUS, start, &[id, 1]);
        thread.event(EventType::GO_STATUS, start, &[id, id, 2]);
        thread
    }

    fn end(&mut self) {
        if self.version >= Version::Go126 {
            self.bytes.push(EventType::END_OF_GENERATION.0);
        }
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.end();
        self.bytes
    }
}

impl Thread<'_> {
    pub fn event(&mut self, ty: EventType, time: u64, args: &[u64]) -> &mut Self {
        // The largest event takes less.
        if self.data.len() + 64 > MAX_BATCH_SIZE as usize {
            self.flush();
        }
        self.data.push(ty.0);
        put(&mut self.data, time.wrapping_sub(self.now));
        for arg in args {
            put(&mut self.data, *arg);
        }
        self.now = time;
        self
    }

    fn flush(&mut self) {
        self.writer.batch(self.id, self.start, &self.data);
        self.data.clear();
        self.start = self.now;
    }
}

impl Drop for Thread<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Xorshift: any sequence will do.
pub fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn edge_ids(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    let top = u64::MAX - 1;
    let mut thread = writer.running(top, 1);
    for i in 0..n as u64 {
        thread.event(EventType::GO_CREATE, i + 2, &[top - 1 - i, 0, 0]);
        thread.event(EventType::USER_TASK_BEGIN, i + 2, &[top - i, top, 0, 0]);
        thread.event(EventType::PROC_STATUS, i + 2, &[top - 1 - i, 2]);
    }
    drop(thread);
    writer.finish()
}

fn threads(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    for i in 0..n as u64 {
        let args = [i + 1, u64::MAX, 4];
        writer
            .thread(i, 1)
            .event(EventType::GO_STATUS, i + 2, &args);
    }
    writer.finish()
}

/// A running thread that creates goroutines.
fn creating(ids: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut writer = Writer::new();
    let mut thread = writer.running(MAIN, 1);
    for (id, time) in ids.zip(2..) {
        thread.event(EventType::GO_CREATE, time, &[id, 0, 0]);
    }
    drop(thread);
    writer.finish()
}

fn goroutines(n: usize) -> Vec<u8> {
    creating(1..=n as u64)
}

/// The inverse of the multiplier that hash functions like best.
const INVERSE: u64 = 0xf1de_83e1_9937_733d;

/// Ids that such a hash function throws into one bucket.
fn colliding(n: usize) -> Vec<u8> {
    creating((1..=n as u64).map(|i| i.wrapping_mul(INVERSE)))
}

/// Ids that fall into one bucket, under one seed after the other, as a table could choose them that
/// mixes the ids that it met.
fn colliding_adaptively(n: usize) -> Vec<u8> {
    let mut seed = 0u64;
    let mut ids = Vec::new();
    let mut left = 32;
    while ids.len() < n {
        for i in 1..=left {
            let id = (i as u64).wrapping_mul(INVERSE) ^ seed;
            ids.push(id);
            if i == 26 && left > 32 || ids.len() >= n {
                // The insertion that has enough.
                seed = (seed ^ id)
                    .wrapping_mul(0xd6e8_feb8_6659_fd93)
                    .rotate_left(32)
                    | 1;
                break;
            }
        }
        left = ids.len().max(33);
        // What the table lets pass, all in one bucket of the seed just chosen.
        for i in 1..=left.min(n - ids.len()) as u64 {
            ids.push((i << 20).wrapping_mul(INVERSE) ^ seed);
        }
    }
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| *id != 0 && *id != u64::MAX && *id != MAIN && seen.insert(*id));
    creating(ids.into_iter())
}

fn enormous_ids(n: usize) -> Vec<u8> {
    let n = n as u64;
    let id = |i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 63;
    let mut writer = Writer::new();
    writer.strings((0..n).map(|i| (id(i), "name")));
    writer.stacks((0..n).map(|i| [id(i), i, id(n - 1 - i)]));
    let mut thread = writer.running(MAIN, 1);
    for i in 0..n {
        let (key, value, stack) = (id(i), id(n - 1 - i), id(i / 2));
        thread.event(EventType::USER_LOG, i + 2, &[0, key, value, stack]);
    }
    drop(thread);
    writer.finish()
}

fn duplicates(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.strings((0..n).map(|_| (7, "seven")));
    writer.finish()
}

fn missing_strings(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.strings([(1, "one")].into_iter());
    // The last ones are wrong, and only a look at all others can excuse them.
    let func = |i| if i + 100 < n as u64 { 1 } else { 2 + i };
    writer.stacks((0..n as u64).map(|i| [n as u64 - i, i % (n as u64 - 100), func(i)]));
    writer.finish()
}

fn empty_batches(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.running(MAIN, 1);
    for _ in 0..n {
        writer.batch(MAIN, 2, &[]);
    }
    writer.thread(MAIN, 3).event(EventType::PROC_STOP, 4, &[]);
    writer.finish()
}

fn wrapping_times(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    let mut random = random(1);
    let mut id = 0;
    for thread in 0..16 {
        let mut thread = writer.thread(thread, random());
        for _ in 0..n / 16 {
            id += 1;
            thread.event(EventType::GO_STATUS, random(), &[id, u64::MAX, 4]);
        }
    }
    writer.finish()
}

fn open_regions(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.strings([(1, "region")].into_iter());
    let mut thread = writer.running(MAIN, 1);
    for ty in [EventType::USER_REGION_BEGIN, EventType::USER_REGION_END] {
        for _ in 0..n {
            thread.event(ty, 2, &[1, 1, 0]);
        }
    }
    drop(thread);
    writer.finish()
}

fn open_tasks(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.strings([(1, "task")].into_iter());
    let mut thread = writer.running(MAIN, 1);
    for i in 1..=n as u64 {
        thread.event(EventType::USER_TASK_BEGIN, 2, &[i, i - 1, 1, 0]);
    }
    for i in 1..=n as u64 {
        thread.event(EventType::USER_TASK_END, 2, &[i, 0]);
    }
    drop(thread);
    writer.finish()
}

/// Almost as many open at a time as may be, and ended in the order that Go's reader has for them.
fn stopped_worlds(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    let names: Vec<String> = (0..64).map(|i| i.to_string()).collect();
    writer.strings((1..).zip(names.iter().map(|n| &**n)));
    let mut thread = writer.running(MAIN, 1);
    let mut open: Vec<u64> = Vec::new();
    for i in 0..n as u64 {
        let mut next = i + 1;
        if open.len() == 60 {
            next = open.swap_remove(0);
            thread.event(EventType::STW_END, i + 2, &[]);
        }
        thread.event(EventType::STW_BEGIN, i + 2, &[next, 0]);
        open.push(next);
    }
    drop(thread);
    writer.finish()
}

/// Goroutines, tasks and regions that stay open while generations of a few bytes pass.
fn small_generations(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    let names: Vec<String> = (0..n / 16).map(|i| format!("name {i}")).collect();
    writer.strings((1..).zip(names.iter().map(|n| &**n)));
    let mut thread = writer.running(MAIN, 1);
    for i in 1..=n as u64 / 16 {
        thread.event(EventType::GO_CREATE, 2, &[i, 0, 0]);
        thread.event(EventType::USER_TASK_BEGIN, 2, &[i, 0, i, 0]);
        thread.event(EventType::USER_REGION_BEGIN, 2, &[i, i, 0]);
    }
    drop(thread);
    for _ in 0..n / 16 {
        writer.next();
    }
    writer.finish()
}

/// All threads but the last begin with an event that waits for the last one's last.
fn only_the_last(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    let n = n as u64;
    for i in 1..n {
        let mut thread = writer.thread(i, 1);
        thread.event(EventType::GO_UNBLOCK, 2 + i, &[i, 1, 0]);
    }
    let mut thread = writer.running(MAIN, 1);
    for i in 0..n {
        thread.event(EventType::HEAP_ALLOC, 2 * n + i, &[i]);
    }
    for i in 1..n {
        thread.event(EventType::GO_CREATE_BLOCKED, 4 * n + i, &[i, 0, 0]);
    }
    drop(thread);
    writer.finish()
}

/// Each thread creates what the one before it waits for.
fn chain(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    let n = n as u64;
    for i in 0..n {
        let mut thread = writer.running(i, 1);
        if i + 1 < n {
            thread.event(EventType::GO_UNBLOCK, 10 + i, &[MAIN + i + 1, 1, 0]);
        }
        thread.event(EventType::GO_CREATE_BLOCKED, 10 + i, &[MAIN + i, 0, 0]);
    }
    writer.finish()
}

/// All threads take one proc, the latest first.
fn one_proc(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    let n = n as u64;
    writer
        .thread(MAIN, 1)
        .event(EventType::PROC_STATUS, 1, &[0, 2]);
    for i in 0..n {
        let mut thread = writer.thread(i, 1);
        thread.event(EventType::PROC_START, 10 + i, &[0, n - i]);
        thread.event(EventType::PROC_STOP, 10 + i, &[]);
    }
    writer.finish()
}

/// All threads start one goroutine with the same number, which another thread tells again and
/// again.
fn one_goroutine(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    let n = n as u64;
    for i in 0..n {
        let mut thread = writer.thread(i, 1);
        thread.event(EventType::PROC_STATUS, 1, &[i, 1]);
        thread.event(EventType::GO_START, 10 + i, &[MAIN, 1]);
        thread.event(EventType::GO_STOP, 10 + i, &[0, 0]);
    }
    let mut thread = writer.thread(MAIN, 1);
    for i in 0..n {
        thread.event(EventType::GO_STATUS, 2 * n + i, &[MAIN, u64::MAX, 1]);
    }
    drop(thread);
    writer.finish()
}

/// Collections begin and end on other threads, the latest first.
fn collector(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    let n = n as u64 / 2 * 2;
    for i in 0..n {
        let mut thread = writer.running(i, 1);
        let number = n + 1 - i;
        match number % 2 {
            0 => thread.event(EventType::GC_BEGIN, 10 + i, &[number, 0]),
            _ => thread.event(EventType::GC_END, 10 + i, &[number]),
        };
    }
    // Before these, the collector's state is not known, and anything goes.
    let mut thread = writer.running(MAIN, 0);
    thread.event(EventType::GC_ACTIVE, 1, &[0]);
    thread.event(EventType::GC_END, 1, &[1]);
    drop(thread);
    writer.finish()
}

/// Threads that lose their procs in system calls, the latest first.
fn stolen(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    let n = n as u64;
    for i in 0..n {
        let mut thread = writer.running(i, 1);
        thread.event(EventType::GO_SYSCALL_BEGIN, 2, &[1, 0]);
        thread.event(EventType::GO_SYSCALL_END_BLOCKED, 10 + i, &[]);
    }
    let mut thread = writer.running(MAIN, 1);
    for i in (0..n).rev() {
        thread.event(EventType::PROC_STEAL, 3 * n, &[i, 2, i]);
    }
    drop(thread);
    writer.finish()
}

/// As [`chain`], with CPU samples between all of it.
fn samples(n: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    let n = n as u64;
    let samples = (0..n).map(|i| {
        let mut sample = vec![EventType::CPU_SAMPLE.0];
        for field in [10 + i, 0, 0, 0, 0] {
            put(&mut sample, field);
        }
        sample
    });
    writer.section(EventType::CPU_SAMPLES, samples);
    for i in 0..n {
        let mut thread = writer.running(i, 1);
        if i + 1 < n {
            thread.event(EventType::GO_UNBLOCK, 10 + i, &[MAIN + i + 1, 1, 0]);
        }
        thread.event(EventType::GO_CREATE_BLOCKED, 10 + i, &[MAIN + i, 0, 0]);
    }
    writer.finish()
}
