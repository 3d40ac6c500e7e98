//! A real process that records a real trace at full speed into a file, killed at random moments.

use super::synth::{self, Batches};
use crate::common;
use gotrace::mmap::MappedArena;
use gotrace::recorder::{Damage, FlightRecorder, FlightRecorderConfig};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Kills; `GOTRACE_KILLS` sets another number, `.ci/run` a thousand.
const KILLS: u64 = 200;
/// Holds one to a few of the larger generations, and some of the smaller ones beside them.
const ARENA: usize = 700 << 10;
const CONFIG: FlightRecorderConfig = FlightRecorderConfig {
    min_age: Duration::from_secs(1 << 20),
    max_bytes: 500 << 10,
};
/// How many generations a recorder has at hand, when it begins.
const AHEAD: u64 = 300;
/// Tells a test process that it is the one to be killed, and where it finds its files.
const DIR: &str = "GOTRACE_KILL_DIR";

/// Generations of real programs, which are recorded over and over under rising numbers.
fn sources() -> Vec<Batches> {
    let names = ["annotate", "flight", "http", "annotate", "syscalls", "gc"];
    let all = names.map(|name| {
        let bytes = common::fixture(&format!("{name}-go1.27")).bytes();
        synth::split(&bytes).1
    });
    all.into_iter().flatten().map(|(_, g)| g).collect()
}

fn generation(sources: &[Batches], number: u64) -> Vec<u8> {
    let source = &sources[(number % sources.len() as u64) as usize];
    source
        .renumbered(number)
        .wire(gotrace::wire::Version::Go126)
}

/// The process that is killed: records until then, and says after each generation that it is
/// complete.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else {
        return;
    };
    let told = File::options()
        .write(true)
        .open(dir.join("told"))
        .expect("the file to tell");
    let arena = unsafe { MappedArena::open(dir.join("arena"), ARENA) }.expect("the arena");
    let mut recorder = if dir.join("resume").exists() {
        FlightRecorder::resume(arena, CONFIG).expect("a sound arena")
    } else {
        FlightRecorder::new(arena, CONFIG).expect("a large arena")
    };
    let mut number = recorder.status().newest.map_or(7, |n| n.get() + 1);
    let sources = sources();
    // Made before, so that until it dies it does little but record.
    let ready: Vec<Vec<u8>> = (number..number + AHEAD)
        .map(|number| generation(&sources, number))
        .collect();
    let mut ready = ready.into_iter();
    // Pieces of a few sizes, so that batches come whole and in parts.
    let mut sizes = [65_536, 3_000, 200_000, 41].into_iter().cycle();
    recorder
        .write(gotrace::wire::Version::Go126.header())
        .expect("a header");
    loop {
        let made = ready.next();
        let bytes = made.unwrap_or_else(|| generation(&sources, number));
        let mut rest = &bytes[..];
        while let Some(size) = sizes.next().filter(|_| !rest.is_empty()) {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            recorder.write(piece).expect("a batch");
            rest = after;
        }
        assert_eq!(recorder.status().newest.map(|n| n.get()), Some(number));
        told.write_all_at(&number.to_le_bytes(), 0)
            .expect("telling");
        number += 1;
    }
}

#[test]
fn a_killed_recorder_leaves_every_complete_generation() {
    let kills = std::env::var("GOTRACE_KILLS").map_or(KILLS, |n| n.parse().expect("a number"));
    let name = format!("kill-{}", std::process::id());
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let told = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(dir.join("told"))
        .unwrap();
    let sources = sources();
    let mut random = u64::from(std::process::id()) << 20 | 1;
    let (mut bytes, mut before) = (0, 0);
    let (mut torn, mut wrapped, mut most) = (0, 0, 0);
    for kill in 0..kills {
        // One in four begins anew, the others go on in the arena of the one before.
        if kill % 4 == 0 {
            std::fs::remove_file(dir.join("resume")).ok();
        } else {
            File::create(dir.join("resume")).unwrap();
        }
        told.write_all_at(&[0; 8], 0).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "recorder::kill::child", "--quiet"])
            .env(DIR, &dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let read = || {
            let mut bytes = [0; 8];
            told.read_exact_at(&mut bytes, 0).unwrap();
            u64::from_le_bytes(bytes)
        };
        let begun = Instant::now();
        while read() == 0 {
            assert_eq!(child.try_wait().unwrap(), None, "the child gave up");
            assert!(begun.elapsed() < Duration::from_secs(60), "the child hangs");
            std::thread::sleep(Duration::from_micros(100));
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(random % 5000));
        child.kill().unwrap();
        child.wait().unwrap();
        let complete = read();

        let arena = std::fs::read(dir.join("arena")).unwrap();
        let recovered = FlightRecorder::recover(&arena).unwrap();
        for damage in recovered.damage() {
            assert_eq!(damage, Damage::State, "{damage}");
            torn += 1;
        }
        let snapshot = recovered.snapshot();
        let numbers = synth::read(snapshot.pieces());
        let newest = *numbers.last().expect("a generation");
        // It may have died between completing one and telling.
        assert!(
            newest == complete || newest == complete + 1,
            "{complete} was complete, there is {numbers:?}"
        );
        for (number, found) in numbers.iter().zip(snapshot.generations()) {
            assert!(found.pieces.concat() == generation(&sources, *number));
        }
        if let Some(incomplete) = recovered.in_progress() {
            assert_eq!(incomplete.number.get(), newest + 1);
            let whole = generation(&sources, newest + 1);
            assert!(whole.starts_with(&incomplete.pieces.concat()));
        }
        let recorded = recovered.status().recorded.bytes;
        bytes += recorded - if kill % 4 == 0 { 0 } else { before };
        before = recorded;
        wrapped += usize::from(snapshot.pieces().len() == 3);
        most = most.max(numbers.len());
    }
    std::fs::remove_dir_all(&dir).unwrap();
    println!(
        "{kills} kills, {} MB each: {torn} torn states, {wrapped} wrapped rings, up to {most} \
         generations",
        bytes / kills / 1_000_000,
    );
}
