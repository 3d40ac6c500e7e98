//! A mapped file that another writer changes while it is read and printed: what comes out may be
//! wrong, but it stays within the map, and all text is text.
#![cfg(all(unix, feature = "mmap"))]

use gotrace::generation::GenerationTables;
use gotrace::mmap::MappedFile;
use gotrace::{Growing, StreamReader, Trace};
use std::fmt::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Keeps what is written only if it is UTF-8 when its bytes are looked at again.
#[derive(Default)]
struct Checked {
    text: String,
    bytes: u64,
}

impl std::fmt::Write for Checked {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.text.clear();
        self.text.push_str(s);
        let copy = self.text.as_bytes();
        assert!(std::str::from_utf8(copy).is_ok(), "{copy:?}");
        self.bytes += copy.len() as u64;
        Ok(())
    }
}

/// Reads everything there is to read, through every way in, and prints it.
fn read(bytes: &[u8], out: &mut Checked) {
    let Ok(trace) = Trace::new(bytes) else { return };
    let mut reader = trace.reader();
    loop {
        match reader.next() {
            Ok(Some(event)) => {
                let _ = write!(out, "{event} {event:?}");
            }
            Ok(None) => break,
            Err(error) => {
                let _ = write!(out, "{error}");
                if !reader.skip_generation() {
                    break;
                }
            }
        }
    }
    for generation in trace.generations().filter_map(Result::ok) {
        let Ok(tables) = GenerationTables::<Growing>::load(&trace, &generation) else {
            continue;
        };
        for (_, string) in tables.strings() {
            let _ = write!(out, "{string} {} {}", string.quoted(), string.printable());
        }
        for stack in tables.stacks() {
            let _ = write!(out, "{stack}");
        }
    }
    let Ok(mut stream) = StreamReader::new(bytes) else {
        return;
    };
    while let Ok(Some(event)) = stream.next() {
        let _ = write!(out, "{event}");
    }
}

/// Stops the writer when it is dropped.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_file_that_changes_gives_nothing_worse_than_errors() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join("changing.trace");
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/annotate-go1.27.trace");
    let original = std::fs::read(fixture).unwrap();
    std::fs::write(&path, &original).unwrap();
    let stop = AtomicBool::new(false);
    let mut out = Checked::default();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            let (mut seed, mut changes) = (1u64, 0u64);
            while !stop.load(Ordering::Relaxed) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = 16 + (seed >> 33) as usize % (original.len() - 16);
                // Damage, then what was there before.
                let byte = [[(seed >> 24) as u8], [0xff], [original[at]]][changes as usize % 3];
                file.write_all_at(&byte, at as u64).unwrap();
                if changes % 64 == 63 {
                    file.write_all_at(&original, 0).unwrap();
                }
                changes += 1;
            }
            changes
        });
        // Also when this thread fails.
        let stopper = Stopper(&stop);
        // SAFETY: this file does change, which is what is tested here: the module `mmap` says what
        // the crate promises then. The file keeps its length.
        let map = unsafe { MappedFile::open(&path) }.unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1500) {
            read(&map, &mut out);
        }
        drop(stopper);
        assert!(writer.join().unwrap() > 100);
    });
    assert!(out.bytes > 100_000, "{}", out.bytes);
}
