//! The tool on input that is compressed, endless or made to harm, in little memory.

use crate::common;

use common::tool::{Run, clean, dump, gzip, run, zstd};
use common::{TRACES, fixture, fixtures_dir};
use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// The tool with so little memory that what it must not hold does not fit.
fn little<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new("sh");
    let limit = "ulimit -d 65536; exec \"$@\"";
    command.args(["-c", limit, "sh", env!("CARGO_BIN_EXE_gotrace")]);
    command.args(args).stdin(Stdio::null());
    command
}

#[track_caller]
fn in_little<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Run {
    Run::of(little(args).output().expect("a shell"))
}

/// The same, with this on its standard input; gives how much of it was taken as well.
fn fed(args: &[&str], mut input: impl Read + Send) -> (Run, u64) {
    let mut child = little(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut taken = 0;
    let run = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = vec![0; 64 << 10];
            // Until nobody reads it any more.
            while let Ok(read @ 1..) = input.read(&mut buffer) {
                if stdin.write_all(&buffer[..read]).is_err() {
                    break;
                }
                taken += read as u64;
            }
            drop(stdin);
        });
        Run::of(child.wait_with_output().expect("waiting for gotrace"))
    });
    (run, taken)
}

/// A command for everything that reads a trace or a text.
const COMMANDS: [&[&str]; 9] = [
    &["check"],
    &["check", "--keep-going"],
    &["stat"],
    &["stat", "--json"],
    &["dump", "--wire"],
    &["dump", "--parsed"],
    &["dump", "--parsed", "--generation", "2"],
    &["assemble", "--go-version", "1.26"],
    &["recover"],
];

/// All of it, with an output where one is needed.
fn command<'a>(words: &[&'a str], input: &'a str) -> Vec<&'a str> {
    let mut args = [words, &[input]].concat();
    if ["assemble", "recover"].contains(&args[0]) {
        args.push("/dev/null");
    }
    args
}

#[test]
fn devices_without_end_are_refused() {
    for device in ["/dev/zero", "/dev/urandom"] {
        for words in COMMANDS {
            let args = command(words, device);
            // A device may hold an arena, whose length it does not say.
            let run = match words[0] {
                "recover" => run(&args),
                _ => in_little(&args),
            };
            assert_eq!(run.status, 1, "{args:?}: {}", run.stderr);
            // What is random may look compressed, once in 30,000 times.
            let expected = format!("error: {device}: ");
            let said = run.stderr.starts_with(&expected) || words.contains(&"--json");
            assert!(said, "{args:?}: {}", run.stderr);
        }
        for words in [&["stat", "--follow"][..], &["tee", "--stat"], &["record"]] {
            let run = in_little([words, &[device]].concat());
            assert_eq!(run.status, 1, "{words:?}: {}", run.stderr);
        }
    }
}

#[test]
fn bombs_are_refused_in_little_memory() {
    let dir = clean("bombs");
    let zeros = |block: &[u8], log: u8| {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
        frame.extend_from_slice(&((block.len() as u32) << 3).to_le_bytes()[..3]);
        frame.extend_from_slice(block);
        for n in 1..=32768u32 {
            let header = (131_072 << 3) | 2 | u32::from(n == 32768);
            frame.extend_from_slice(&header.to_le_bytes()[..3]);
            frame.push(0);
        }
        frame
    };
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let header = b"go 1.26 trace\0\0\0";
    let many_zeros = vec![0; 256 << 20];
    let bombs = [
        file("header.zst", &zeros(b"no trace at all!", 17)),
        file("window.zst", &zeros(b"no trace at all!", 23)),
        file("damage.zst", &zeros(header, 17)),
        file("damage-window.zst", &zeros(header, 23)),
        file("header.gz", &gzip(&many_zeros)),
        file("damage.gz", &[gzip(header), gzip(&many_zeros)].concat()),
        fixtures_dir()
            .join("faults/f23-bomb.zst")
            .to_str()
            .unwrap()
            .to_owned(),
    ];
    for bomb in &bombs {
        for words in COMMANDS.iter().filter(|words| words[0] != "assemble") {
            let run = in_little(command(words, bomb));
            assert_eq!(run.status, 1, "{words:?} {bomb}: {}", run.stderr);
            let where_it_is = run.stderr.contains(", at byte 0\n")
                || run.stderr.contains(", at byte 16\n")
                || words.contains(&"--generation") && run.stderr.contains(", at byte 16")
                || words[0] == "recover";
            assert!(where_it_is, "{words:?} {bomb}: {}", run.stderr);
        }
        let text = in_little(["assemble", bomb, "/dev/null"]);
        assert_eq!(text.status, 1, "{bomb}");
    }
}

/// A generation without end: batches of events.
struct Generation {
    ready: Vec<u8>,
    batch: Vec<u8>,
}

impl Generation {
    fn new() -> Generation {
        // A batch of 32 KiB of events, of thread 7.
        let mut batch = vec![1, 1, 7, 5, 0x80, 0x80, 2];
        batch.extend([11, 1].repeat(16 << 10));
        Generation {
            ready: b"go 1.26 trace\0\0\0".to_vec(),
            batch,
        }
    }
}

impl Read for Generation {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.ready.is_empty() {
            self.ready.clone_from(&self.batch);
        }
        let read = (&self.ready[..]).read(buffer)?;
        self.ready.drain(..read);
        Ok(read)
    }
}

#[test]
fn a_generation_without_end_meets_a_limit() {
    for words in [
        &["check", "--max-memory", "8MiB", "-"][..],
        &["check", "--keep-going", "--max-memory", "8MiB", "-"],
        &["dump", "--parsed", "--max-memory", "8MiB", "-"],
    ] {
        let (run, taken) = fed(words, Generation::new());
        assert_eq!(run.status, 1, "{words:?}");
        assert_eq!(
            run.stderr,
            "error: standard input: a generation takes more than 8388608 bytes of memory, the \
             limit, at byte 16; --max-memory raises it\n",
            "{words:?}"
        );
        assert!(taken < 16 << 20, "{taken}");
    }
    // Without a limit that is low enough, memory is one.
    let (run, taken) = fed(&["check", "-"], Generation::new());
    assert_eq!(run.status, 1);
    assert!(
        run.stderr.contains("a generation takes more than "),
        "{}",
        run.stderr
    );
    assert!(taken < 80 << 20, "{taken}");
    // What needs no generation has none.
    let (run, taken) = fed(&["stat", "-"], Generation::new().take(200 << 20));
    assert!(
        run.stderr.starts_with("error: standard input: ") && run.text().contains("  batches "),
        "{}",
        run.stderr
    );
    assert_eq!(taken, 200 << 20);
    let wire = &["dump", "--wire", "--max-memory", "64KiB", "-"];
    let (run, taken) = fed(wire, Generation::new().take(1 << 20));
    assert!(run.stdout.len() > 6 << 20);
    assert_eq!(taken, 1 << 20);
}

#[test]
fn a_window_meets_a_limit_that_an_option_raises() {
    let dir = clean("window");
    let bytes = fixture("annotate-go1.27").bytes();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (28 - 10) << 3];
    frame.extend_from_slice(&(((bytes.len() as u32) << 3) | 1).to_le_bytes()[..3]);
    frame.extend_from_slice(&bytes);
    let path = dir.join("long.zst");
    std::fs::write(&path, frame).unwrap();
    for words in [&["check"][..], &["stat"], &["dump", "--wire"]] {
        let args = words.iter().map(OsStr::new).chain([path.as_os_str()]);
        let refused = in_little(args);
        assert_eq!(refused.status, 1);
        assert!(
            refused.stderr.ends_with(
                "need a window of 268435456 bytes, the limit is 134217728, at byte 0 of the \
                 compressed data; --max-memory raises it\n"
            ),
            "{}",
            refused.stderr
        );
        let raised = ["--max-memory", "256MiB"].map(OsStr::new);
        let args = words.iter().map(OsStr::new).chain(raised);
        run(args.chain([path.as_os_str()])).ok();
    }
}

#[test]
fn a_cut_file_gives_its_generations_and_one_message() {
    let path = fixtures_dir().join("faults/f11-cut.zst");
    let checked = run([Path::new("check"), &path]);
    let name = path.display();
    assert_eq!(
        checked.text(),
        format!("{name}: failed after 414 events, 5 generations\n")
    );
    let error = "the zstd data are cut short, at byte 13676 of the compressed data";
    assert_eq!(checked.stderr, format!("error: {name}: {error}\n"));
    for words in [&["stat"][..], &["dump", "--wire"], &["dump", "--parsed"]] {
        let words = words.iter().map(OsStr::new);
        let run = run(words.chain([path.as_os_str()]));
        assert_eq!(run.status, 1);
        assert_eq!(run.stderr, format!("error: {name}: {error}\n"));
        assert!(!run.stdout.is_empty());
    }
}

/// What comes as a stream is what is in a file, damaged or not.
#[test]
fn streams_and_files_are_the_same() {
    let dir = clean("streams");
    let plain = dir.join("plain.trace");
    for trace in TRACES.iter() {
        let bytes = &trace.bytes;
        let middle = bytes.len() / 2;
        let mut damaged = bytes.clone();
        damaged[middle..middle + 40].fill(0xff);
        let cut = bytes[..bytes.len() - 10].to_vec();
        let packed = dir.join("packed");
        for (bytes, compressed) in [
            (bytes, zstd(bytes)),
            (&damaged, gzip(&damaged)),
            (&cut, gzip(&cut)),
        ] {
            std::fs::write(&plain, bytes).unwrap();
            std::fs::write(&packed, compressed).unwrap();
            for words in [
                &["check", "--json"][..],
                &["check", "--keep-going", "--json"],
                &["stat", "--json"],
                &["dump", "--parsed", "--limit", "2000", "--generation", "3"],
            ] {
                let of = |path: &Path| {
                    let words = words.iter().map(OsStr::new);
                    let run = run(words.chain([path.as_os_str()]));
                    let name = path.to_str().unwrap();
                    let mut out = run.text().replace(name, "FILE");
                    // How far a damaged one was read is not how long it is.
                    if run.status != 0
                        && let Some((before, after)) = out.split_once("\"size\":")
                    {
                        let (_, after) = after.split_once(',').unwrap();
                        out = format!("{before}{after}");
                    }
                    (run.status, out, run.stderr.replace(name, "FILE"))
                };
                assert_eq!(of(&plain), of(&packed), "{words:?} {}", trace.fixture.name);
            }
        }
    }
}

#[test]
fn large_traces_need_the_memory_of_a_generation() {
    let dir = clean("large");
    let bytes = fixture("gc-go1.27").bytes();
    let times = (64 << 20) / bytes.len() as u64;
    let large = common::live::Endless::new(&bytes, times).bytes();
    let paths = [("large.gz", gzip(&large)), ("large.zst", zstd(&large))].map(|(name, bytes)| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    });
    for path in &paths {
        let run = in_little([Path::new("stat"), path]).ok();
        let run = String::from_utf8(run).unwrap();
        assert!(run.contains(&format!("  generations  {times} ")), "{run}");
        // Its generations make no sense one after the other, which is found in the second.
        let run = in_little([Path::new("check"), path]);
        assert!(run.stdout.starts_with(path.to_str().unwrap().as_bytes()));
    }
    std::fs::remove_dir_all(dir).ok();
}

#[test]
fn text_is_assembled_as_it_comes() {
    let dir = clean("assemble_stream");
    let original = fixture("gc-go1.27");
    let mut text = b"Trace Go1.26\n".to_vec();
    text.extend(dump(&original.path));
    let part = text.len() - 13;
    // A text longer than memory.
    let times = (100 << 20) / part;
    let body = text.split_off(13);
    struct Repeated(Vec<u8>, usize, usize);
    impl Read for Repeated {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.1 == self.0.len() {
                if self.2 == 1 {
                    return Ok(0);
                }
                (self.1, self.2) = (0, self.2 - 1);
            }
            let read = (&self.0[self.1..]).read(buffer)?;
            self.1 += read;
            Ok(read)
        }
    }
    let out = dir.join("out");
    let args = ["assemble", "-", out.to_str().unwrap()];
    let (run, _) = fed(&args, (&text[..]).chain(Repeated(body, 0, times)));
    run.ok();
    let made = std::fs::metadata(&out).unwrap().len();
    let once = gotrace::wire::assemble(
        &format!(
            "Trace Go1.26\n{}",
            String::from_utf8(dump(&original.path)).unwrap()
        ),
        None,
    );
    let once = once.unwrap().len() as u64;
    assert_eq!(made, 16 + (once - 16) * times as u64);
    std::fs::remove_dir_all(dir).ok();
}
