//! Repaired traces: valid for every reader, whatever was wrong with them, and the same when they are
//! repaired again.

use crate::common::damage::{Accident, Damage, generations};
use crate::common::go::TraceTool;
use crate::common::schedule::Schedule;
use crate::common::{fixture, fixtures_dir};
use crate::rewrite::{cases, events, judge, today};
use crate::validator::model::Trust;
use gotrace::Trace;
use gotrace::rewrite::{Change, Repaired};
use gotrace::wire::{Batch, Chunk, Contents, EventType, HEADER_LEN, Record, Version};
use std::hash::{BuildHasher as _, RandomState};

/// A made-up event can be told from others.
#[test]
fn what_is_made_up_says_so() {
    let bytes = fixture("http-go1.27").bytes();
    let repaired = repair(&bytes[..200_000]).unwrap();
    let trace = Trace::new(&repaired.0).unwrap();
    let mut reader = trace.reader();
    let mut signed = 0;
    while let Some(event) = reader.next().unwrap() {
        let frames = event.stack().map(|stack| stack.frames());
        signed += u64::from(frames.is_some_and(|mut f| {
            f.next()
                .is_some_and(|f| f.func.as_bytes() == b"made up by gotrace")
        }));
    }
    assert!(
        signed > 0 && signed <= repaired.1.written.made_up,
        "{signed}"
    );
}

fn repair(bytes: &[u8]) -> Result<(Vec<u8>, Repaired), String> {
    let trace = Trace::new(bytes).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    let repaired = gotrace::rewrite::repair(&trace, |piece| out.extend_from_slice(piece));
    Ok((out, repaired.map_err(|e| e.to_string())?))
}

/// Repairs a trace, and repairs the result.
fn check(bytes: &[u8], trust: Trust) -> Result<Repaired, String> {
    let (out, repaired) = repair(bytes)?;
    judge(&out, trust)?;
    if Trace::new(&out).map_err(|e| e.to_string())?.version() < Version::Go125 {
        // Go's readers of before end where there is none.
        for generation in generations(&out) {
            let whole = [&out[..HEADER_LEN], &out[generation.clone()]].concat();
            if records(&whole) == 0 {
                return Err(format!("no event in the generation at {generation:?}"));
            }
        }
    }
    let (again, report) = repair(&out)?;
    if !report.is_unchanged() || again != out {
        return Err(format!("repairing it again changes something: {report:?}"));
    }
    Ok(repaired)
}

/// How many events a trace has records for, up to a cut: those of whole records.
fn records(bytes: &[u8]) -> u64 {
    let trace = Trace::new(bytes).unwrap();
    let mut batches = trace.batches();
    let mut count = 0;
    let mut add = |batch: Batch<'_>| {
        for record in batch.records().map_while(Result::ok) {
            count += match record {
                Record::Event(event) if event.ty == EventType::CLOCK_SNAPSHOT => 0,
                Record::Event(_) | Record::Sample(_) => 1,
                _ => 0,
            };
        }
    };
    loop {
        match batches.next() {
            Ok(Some(Chunk::Batch(batch))) => add(batch),
            Ok(Some(Chunk::EndOfGeneration(_))) => {}
            _ => break,
        }
    }
    let at = batches.offset();
    if let Some(batch) = Batch::cut(&bytes[at.0 as usize..], at) {
        add(batch);
    }
    count
}

/// Traces that end anywhere keep what they have: as good as all events of the last generation.
#[test]
fn cut_traces_are_repaired() {
    let traces: Vec<(String, Vec<u8>)> = today().map(|f| (f.name.clone(), f.bytes())).collect();
    let mut random = Random::new();
    let (mut whole, mut kept, mut made_up) = (0, 0, 0);
    for n in 0..cases(60) {
        let (name, trace) = &traces[n as usize % traces.len()];
        let cut = 16 + (random.next() % (trace.len() as u64 - 15)) as usize;
        let bytes = &trace[..cut];
        let repaired =
            check(bytes, Trust::Program).unwrap_or_else(|e| panic!("{name} cut at {cut}: {e}"));
        whole += records(bytes);
        kept += repaired.written.events;
        made_up += repaired.written.made_up;
    }
    // A coroutine switch gives three events, and counts as one.
    assert!(kept * 1000 >= whole * 999, "{kept} of {whole}");
    assert!(made_up * 10 <= whole, "{made_up} of {whole}");
}

/// Where the end of a stop of the world is lost, the world has started before it is stopped again.
#[test]
fn a_world_that_is_stopped_again_was_started() {
    let bytes = &fixture("http-go1.27").bytes()[..315_579];
    let repaired = check(bytes, Trust::Program).unwrap();
    let started = repaired.changes.iter().filter(|change| {
        let Change::MadeUp(what) = change else {
            return false;
        };
        what.event == Some("STWEnd") && what.goroutine.map(|id| id.get()) == Some(45)
    });
    assert_eq!(started.count(), 1);
}

/// A generation of samples alone says nothing of goroutines and procs: the next one may.
#[test]
fn states_are_learned_behind_a_generation_of_samples() {
    let bytes = fixture("profile-go1.23").bytes();
    // Two batches change places.
    let damage =
        Damage::from_random([11, 8_652_984_342_583_378_952, 10_293_002_747_602_427_904, 0]);
    let damaged = damage.apply(&bytes);
    check(&damaged, Trust::Nothing).unwrap();
}

/// Numbers that follow from a first one (xorshift).
struct Random(u64);

impl Random {
    /// The same in every run, and with `GOTRACE_CASES` others in each.
    fn new() -> Random {
        Random(match std::env::var_os("GOTRACE_CASES") {
            Some(_) => RandomState::new().hash_one(()) | 1,
            None => 0x2545_f491_4f6c_dd1d,
        })
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// What happens to traces: cut, a byte changed, a kilobyte of zeros, a line of text, a batch removed, or
/// there twice, generations swapped, two traces joined; batches swapped and all else that the fuzz targets
/// do; or clocks that lie, with an event lost. Every fixture, every damage, in turn.
#[test]
fn damaged_traces_are_repaired() {
    let traces: Vec<(String, Vec<u8>)> = today().map(|f| (f.name.clone(), f.bytes())).collect();
    let mut random = Random::new();
    for n in 0..u64::from(cases(200)) {
        // Each fixture meets each kind in time: there are 11 of these.
        let (name, trace) = &traces[(n + n / 11) as usize % traces.len()];
        let numbers = [n % 11, random.next(), random.next(), random.next()];
        let (what, bytes) = match n % 11 {
            0..8 => {
                let accident = Accident::from_random(numbers);
                (format!("{accident:?}"), accident.apply(trace).bytes)
            }
            8 => {
                let steps = 1 + numbers[1] as usize % 600;
                let schedule = Schedule {
                    seed: numbers[2],
                    threads: 1 + numbers[3] as usize % 40,
                    steps,
                    lie: random.next() % 60,
                    lost: Some(random.next() as usize % steps),
                };
                (format!("{schedule:?}"), schedule.make())
            }
            9 => {
                // Two batches change places.
                let damage = Damage::from_random([11, numbers[1], numbers[2], 0]);
                (format!("{damage:?}"), damage.apply(trace))
            }
            _ => {
                let damage = Damage::from_random([(); 4].map(|()| random.next()));
                (format!("{damage:?}"), damage.apply(trace))
            }
        };
        check(&bytes, Trust::Nothing).unwrap_or_else(|e| panic!("{n}, {name}, {what}: {e}"));
    }
}

/// The reader of the toolchain that `GO` names, of whatever version from 1.22 on, accepts repaired traces of
/// the versions that it knows: its own `go tool trace` reads them. For an older one than the other tests take:
///
/// ```text
/// GO=.../go1.22.10/bin/go GOTRACE_CASES=80 cargo test --test reading -- repair::tools_of_any_version
/// ```
#[test]
fn tools_of_any_version_accept_what_is_repaired() {
    let Some(tool) = TraceTool::find() else {
        return;
    };
    let traces = today().filter(|fixture| fixture.go_version <= tool.minor);
    let traces: Vec<(String, Vec<u8>)> = traces.map(|f| (f.name.clone(), f.bytes())).collect();
    let mut random = Random::new();
    let mut judged = 0;
    for n in 0..u64::from(cases(traces.len() as u32)) {
        let (name, trace) = &traces[n as usize % traces.len()];
        // Cut, and each other accident in turn.
        let kind = (n / traces.len() as u64) % 9;
        let accident = Accident::from_random([kind, random.next(), random.next(), 0]);
        let (out, repaired) = repair(&accident.apply(trace).bytes).unwrap();
        if repaired.written.events == 0 {
            continue;
        }
        if let Err(why) = tool.read(&out) {
            panic!("{n}, {name}, {accident:?}: Go 1.{}: {why}", tool.minor);
        }
        judged += 1;
    }
    println!("Go 1.{} accepts {judged} repaired traces", tool.minor);
    assert!(judged > 0);
}

/// A generation of which nothing is left: Go's readers of before Go 1.25 would end there.
#[test]
fn no_generation_is_written_without_an_event() {
    let trace = fixture("cgo-go1.22").bytes();
    // 273 bytes are zeros.
    let accident = Accident::from_random([2, 89_631_753, 273, 0]);
    check(&accident.apply(&trace).bytes, Trust::Nothing).unwrap();
}

/// Traces in which something is wrong, and what is left of them.
#[test]
fn faults_are_repaired() {
    let dir = fixtures_dir().join("faults");
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if Trace::new(&bytes).is_ok() {
            check(&bytes, Trust::Nothing).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
    let killed = fixtures_dir().join("faults/f01-killed-1.27-panic.trace");
    let repaired = check(&std::fs::read(killed).unwrap(), Trust::Program).unwrap();
    assert_eq!(
        (repaired.written.events, repaired.written.left_out),
        (79, 0)
    );
}

/// Reasons for blocking have the same ids in every generation: they are known where the strings of the
/// last one are lost.
#[test]
fn reasons_are_known_from_earlier_generations() {
    let bytes = fixture("flight-go1.27").bytes();
    let trace = Trace::new(&bytes).unwrap();
    let generations: Vec<_> = trace.generations().map(Result::unwrap).collect();
    let last = generations.last().unwrap();
    // All but the strings, which come last.
    let mut batches = trace.batches_from(last.start);
    let mut end = last.start;
    while let Ok(Some(Chunk::Batch(batch))) = batches.next() {
        if batch.contents() == Contents::Events {
            end = batch.end();
        }
    }
    let (out, repaired) = repair(&bytes[..end.0 as usize]).unwrap();
    assert!(repaired.written.missing_names > 0);
    let text = events(&out).unwrap();
    let blocks = text
        .lines()
        .filter(|line| line.contains("Running->Waiting"));
    let reasons: Vec<&str> = blocks
        .filter_map(|line| line.split("Reason=").nth(1))
        .collect();
    assert!(!reasons.is_empty());
    assert!(
        reasons
            .iter()
            .all(|reason| !reason.contains("not recorded")),
        "{reasons:?}"
    );
    assert!(text.contains("(not recorded)"));
}

/// Of two traces in one file the first is repaired; where the second begins is said, however many changes
/// come before, and from there on it is repaired as a trace of its own.
#[test]
fn a_second_trace_is_told_of() {
    let (first, second) = (fixture("gc-go1.22").bytes(), fixture("http-go1.27").bytes());
    let joined = [&first[..], &second[..]].concat();
    let repaired = check(&joined, Trust::Nothing).unwrap();
    let other = repaired.another_trace.expect("another trace");
    assert_eq!(other.offset.0 as usize, first.len());
    assert!(!repaired.is_unchanged());
    let (out, _) = repair(&joined).unwrap();
    assert_eq!(events(&out).unwrap(), events(&first).unwrap());
    let (out, repaired) = repair(&joined[other.offset.0 as usize..]).unwrap();
    assert!(repaired.is_unchanged() && repaired.another_trace.is_none());
    assert_eq!(events(&out).unwrap(), events(&second).unwrap());
}

/// A trace that was repaired, damaged and repaired: what was made up before is no confusion.
#[test]
fn repaired_traces_may_be_damaged_again() {
    let bytes = fixture("http-go1.27").bytes();
    let (out, _) = repair(&bytes[..200_000]).unwrap();
    let last = generations(&out).last().unwrap().clone();
    for cut in (last.start + 1..out.len()).step_by(out.len() / 7) {
        check(&out[..cut], Trust::Nothing).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
    }
}

/// The bytes of hexadecimal text.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|b| (b as char).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[track_caller]
fn check_hex(text: &str) {
    check(&hex(text), Trust::Nothing).unwrap();
}

// What repairing again once changed, or a strict reader refused, found at random and made small.

/// The generation of the greatest number has none that follows.
#[test]
fn generation_numbers_do_not_run_out() {
    check_hex(
        "
        676f20312e323220747261636500000001ffffffffffffffffff01021c1d1f676f01020143850008a8d6b907",
    );
}

/// Batches come in the order of their events, not of threads of which an event was left out.
#[test]
fn what_is_left_out_leaves_no_thread_behind() {
    check_hex(
        "
        676f20312e32362074726163650000000101010180010d0020802080808080802002060201010201550a848080f6
        0302011082808001070114848080020000108380c00109010c82808001010305148980800500000b888080080a87
        80c00901070b818080040a8c80c02a00030b8b80c0240a8780c018050580",
    );
}

/// A coroutine switch is three events, each with a time of its own.
#[test]
fn records_of_several_events_take_several_times() {
    check_hex(
        "
        676f20312e323620747261636500000001010101da010a848080f7030002108380800203011d8380800402001381
        8080020000108180400302138180800200000b8280c0030a818080020003108380c0010303168580800a04001889
        8080080a8980c00702071081808001030413838080030000108580800305041683808002080018838080060a8b80
        c0180108108780c0080702168180400900178a8080091e8180800205148280800100001081804001040c86808007
        000e020e898080060a00000c818040020d002f8180400b000016878080050a00178580c00e16848080040b00188e
        80c0160aaf80c05102153401010301a6020a8580c0f7030110830205011603180d0a28020a104005051302000010
        0404041e030c80090107022d40020601010201b9020a8180c0f50301018004011600170b80040203031440000010
        02010180030700002f0208000016400105100103051601060018200a8e80800f000c800101031383030000100208
        16",
    );
}

/// A region that is closed has the name that it was opened with, be that missing.
#[test]
fn regions_without_names_are_closed() {
    check_hex(
        "
        676f20312e323520747261636500000001010146f3000d3a01011909011602160809280c0200180a2c180200190b
        28040302000c2a040345012c01031b1c0f2b05031a102b03132c04290104132c05022105132c060225260b280106
        02250c2a02060d250b012a27270e2c0e061b280f2b02062c05",
    );
}

/// Beyond 2^53 ns, some times cannot be told from others.
#[test]
fn late_times_are_exact() {
    check_hex(
        "
        676f20312e3236207472616365000000010101010c320801010120013e0d00808080808020011900808080808020
        808080808020021c01001e01010d010002190201ffffffffffffffffff0101190102ffffffffffffffffff010101
        0100016c0a808080f503000110090201",
    );
}

/// Stacks come in the order in which they are named, by samples too.
#[test]
fn samples_name_stacks_that_are_missing() {
    // All but the stacks of a trace with samples.
    let bytes = fixture("profile-go1.27").bytes();
    let trace = Trace::new(&bytes).unwrap();
    let mut out = bytes[..16].to_vec();
    let mut batches = trace.batches();
    while let Ok(Some(chunk)) = batches.next() {
        if let Chunk::Batch(batch) = chunk
            && batch.contents() == Contents::Stacks
        {
            continue;
        }
        let start = match chunk {
            Chunk::Batch(batch) => batch.offset,
            Chunk::EndOfGeneration(at) => at,
        };
        out.extend_from_slice(&bytes[start.0 as usize..batches.offset().0 as usize]);
    }
    assert!(out.len() < bytes.len());
    check(&out, Trust::Program).unwrap();
}
