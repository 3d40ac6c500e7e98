//! `gotrace recover`: the snapshot out of an arena.

use super::output::{Failure, Result, is_stdin, name, note, report, write_file};
use gotrace::recorder::{Damage, FlightRecorder, Incomplete, Recovered};
use gotrace::{Trace, rewrite};
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Write the trace that a flight recorder left in its arena.
///
/// That is a file that "gotrace record --arena" made, or a program with the gotrace crate; or the
/// memory of a device, saved to a file. The recorder may be running, or have been killed.
///
/// What does not check out is named, and left out; then the exit status is 1.
#[derive(clap::Args)]
#[command(after_help = super::help::page("\
Examples:
  gotrace recover /var/tmp/app.arena app.trace
  gotrace recover --repair /var/tmp/app.arena app.trace
  gotrace recover --incomplete last.trace ram.bin app.trace && gotrace dump --wire last.trace"))]
pub struct Args {
    /// Write the generation that was being recorded to this file, as far as it was
    ///
    /// It has a trace's header, but Go's tools do not open it: it is not complete.
    #[arg(long, value_name = "FILE")]
    incomplete: Option<PathBuf>,

    /// Make the generation that was being recorded the last one of the trace, as far as it was
    /// recorded: its names and stacks are missing, what else is missing is made up
    #[arg(long, conflicts_with = "incomplete")]
    repair: bool,

    /// The arena
    arena: PathBuf,

    /// The trace to write; "-" is the standard output
    out: PathBuf,
}

pub fn run(args: Args) -> Result {
    let failed = |e: &dyn std::fmt::Display| Failure::file(&args.arena, e);
    for written in args.incomplete.iter().chain([&args.out]) {
        if is_same(written, &args.arena) {
            return Err(failed(&"the trace cannot take the place of its arena"));
        }
    }
    let bytes = read(&args.arena).map_err(|e| failed(&e))?;
    let recovered = FlightRecorder::recover(&bytes).map_err(|e| failed(&e))?;

    let incomplete = recovered.in_progress();
    if let (Some(path), Some(incomplete)) = (&args.incomplete, &incomplete) {
        write_file(path, |file| write(incomplete, file))?;
    }
    if args.incomplete.is_some() && incomplete.is_none() {
        note("no generation was in progress");
    }
    let mut damaged = false;
    for damage in recovered.damage() {
        if damage == Damage::State {
            // What a kill amid a store leaves, with nothing lost.
            note(format_args!("{}: {damage}", name(&args.arena)));
        } else {
            report(&failed(&damage));
            damaged = true;
        }
    }
    let snapshot = recovered.snapshot();
    let in_progress = incomplete.filter(|_| args.repair);
    if snapshot.is_empty() && in_progress.is_none() {
        return Err(failed(&"no generation is complete"));
    }
    if let Some(incomplete) = in_progress {
        let mut whole = snapshot.pieces().concat();
        if whole.is_empty() {
            whole.extend_from_slice(incomplete.version.header());
        }
        incomplete
            .pieces
            .iter()
            .for_each(|p| whole.extend_from_slice(p));
        let trace = Trace::new(&whole).map_err(|e| failed(&e))?;
        let mut bytes = Vec::new();
        let repaired = rewrite::repair(&trace, |piece| bytes.extend_from_slice(piece));
        let repaired = repaired.map_err(|e| failed(&e))?;
        note(format_args!(
            "generation {} is incomplete: {} events made up, {} left out",
            incomplete.number,
            repaired.written.made_up,
            repaired
                .losses
                .left_out
                .saturating_add(repaired.written.left_out)
        ));
        if is_stdin(&args.out) {
            io::stdout().lock().write_all(&bytes)?;
        } else {
            write_file(&args.out, |mut file| file.write_all(&bytes))?;
        }
    } else if is_stdin(&args.out) {
        snapshot.write_to(io::stdout().lock())?;
    } else {
        write_file(&args.out, |file| snapshot.write_to(file))?;
    }
    let older = recovered.snapshots().count().saturating_sub(1);
    if older > 0 {
        note("older generations, before a damaged one, are left out");
    }
    match damaged {
        true => Err(Failure::Reported),
        false => Ok(()),
    }
}

/// Whether two names are those of one file.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Writes an incomplete generation after a trace's header, and says how many bytes that is.
pub fn write(incomplete: &Incomplete<'_>, mut file: impl Write) -> io::Result<u64> {
    let [before, after] = incomplete.pieces;
    let all = [incomplete.version.header(), before, after];
    all.iter().try_for_each(|piece| file.write_all(piece))?;
    Ok(all.iter().map(|piece| piece.len() as u64).sum())
}

/// The arena's bytes. While its recorder runs, what is recorded as they are read does not check out;
/// then they are read again, a few times.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    const TRIES: u32 = 20;
    let mut bytes = read_once(path)?;
    for _ in 1..TRIES {
        let torn = |r: &Recovered<'_>| r.damage().any(|d| d != Damage::State);
        let sound = FlightRecorder::recover(&bytes).is_ok_and(|r| !torn(&r));
        if sound || !is_recording(path) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        bytes = read_once(path)?;
    }
    Ok(bytes)
}

fn read_once(path: &Path) -> io::Result<Vec<u8>> {
    // More than any arena that is not a file: the memory of a device, in a pipe.
    const MOST: u64 = 256 << 20;
    let file = File::open(path)?;
    if file.metadata()?.is_file() {
        return std::fs::read(path);
    }
    let mut bytes = Vec::new();
    let read = file.take(MOST).read_to_end(&mut bytes)?;
    if read as u64 == MOST {
        let error = format!("no arena in a pipe or device is {MOST} bytes long");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
    }
    Ok(bytes)
}

/// Whether a recorder has the file locked.
fn is_recording(path: &Path) -> bool {
    let lock = File::open(path).map(|file| file.try_lock_shared());
    matches!(lock, Ok(Err(std::fs::TryLockError::WouldBlock)))
}
