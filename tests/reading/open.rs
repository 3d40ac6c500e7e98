//! Opening what is compressed, cut, damaged or made to harm.

use crate::common;

use common::{Trace, fixture, fixtures_dir, sha256, trace};
use flate2::write::GzEncoder;
use gotrace::source::open::{Compression, Input, InputError, InputErrorKind};
use gotrace::{ErrorKind, ReadError, StreamReader};
use proptest::prelude::*;
use std::io::{self, Read, Write as _};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn fault(name: &str) -> Vec<u8> {
    std::fs::read(fixtures_dir().join("faults").join(name)).unwrap()
}

/// Everything that an input gives, and the error after it.
fn all(mut input: impl Read) -> (Vec<u8>, Option<io::Error>) {
    let mut bytes = Vec::new();
    let error = input.read_to_end(&mut bytes).err();
    (bytes, error)
}

fn opened(compressed: &[u8]) -> (Vec<u8>, Option<InputError>) {
    let (bytes, error) = all(Input::new(compressed).unwrap());
    (
        bytes,
        error.map(|e| InputError::of(&e).unwrap_or_else(|| panic!("{e}"))),
    )
}

/// The events of a trace as text, and the error that ends them.
fn events(source: impl Read) -> (Vec<String>, Option<ReadError>) {
    let mut events = Vec::new();
    let mut reader = match StreamReader::new(source) {
        Ok(reader) => reader,
        Err(error) => return (events, Some(error)),
    };
    loop {
        match reader.next() {
            Ok(Some(event)) => events.push(event.to_string()),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
        }
    }
}

/// Counts how much is read of it.
struct Counted<'a, R>(R, &'a mut u64);

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        *self.1 += read as u64;
        Ok(read)
    }
}

/// A zstd frame with a window of 2^log bytes, of raw blocks; the last one is to be added.
fn frame(log: u8, blocks: &[&[u8]]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
    for block in blocks {
        frame.extend_from_slice(&((block.len() as u32) << 3).to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    frame
}

/// Blocks of 128 KiB of zeros.
fn bomb(mut frame: Vec<u8>, blocks: usize) -> Vec<u8> {
    for n in 1..=blocks {
        let header = (131_072 << 3) | 2 | u32::from(n == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

#[test]
fn a_cut_zstd_file_gives_the_blocks_before_the_cut() {
    let compressed = fault("f11-cut.zst");
    let (bytes, error) = opened(&compressed);
    // What `zstd -dc` gives.
    assert_eq!(bytes.len(), 13658);
    let sum = "7c0a23cb6690302ca0a7d71b1faf03aea63e693c5b8a598f1a0b14cea56857d3";
    assert_eq!(sha256(&bytes), sum);
    let error = error.unwrap();
    assert_eq!(
        (error.kind(), error.offset()),
        (InputErrorKind::Cut, compressed.len() as u64)
    );
    assert_eq!(
        error.to_string(),
        "the zstd data are cut short, at byte 13676 of the compressed data"
    );
    let (from_plain, _) = events(&bytes[..]);
    let (from_zstd, error) = events(Input::new(&compressed[..]).unwrap());
    assert!(from_zstd == from_plain && from_zstd.len() > 1);
    assert!(matches!(error, Some(ReadError::Io(_))), "{error:?}");
}

#[test]
fn a_bomb_is_read_as_far_as_it_is_a_trace() {
    let compressed = fault("f23-bomb.zst");
    let mut used = 0;
    let input = Input::new(Counted(&compressed[..], &mut used)).unwrap();
    let (events, error) = events(input);
    let Some(ReadError::Trace(error)) = error else {
        panic!("{error:?}")
    };
    assert_eq!((events.len(), error.offset().0), (1, 16));
    // One buffer, of what would give 1 GiB.
    assert!(used <= 32 << 10, "{used}");
}

#[test]
fn the_header_is_judged_before_the_window_is_full() {
    let header = b"no trace at all!";
    for log in [17, 27] {
        let compressed = bomb(frame(log, &[header]), 32768);
        let mut used = 0;
        let mut input = Input::new(Counted(&compressed[..], &mut used)).unwrap();
        for _ in 0..2 {
            let Err(ReadError::Trace(error)) = input.version() else {
                panic!()
            };
            assert_eq!(error.kind(), ErrorKind::NotATrace);
        }
        assert_eq!(input.position(), 0);
        drop(input);
        assert!(used <= 32 << 10, "{used}");
        let error = Input::new(&compressed[..]).unwrap().read_trace(u64::MAX);
        assert!(matches!(error, Err(ReadError::Trace(_))));
    }
}

#[test]
fn what_is_looked_at_is_still_read() {
    let bytes = fixture("annotate-go1.27").bytes();
    for compressed in [bytes.clone(), gzip(&bytes), zstd(&bytes)] {
        let mut input = Input::new(&compressed[..]).unwrap();
        assert_eq!(input.version().unwrap().minor(), 26);
        assert!(all(&mut input).0 == bytes);
        assert_eq!(input.position(), bytes.len() as u64);
        let trace = Input::new(&compressed[..]).unwrap();
        assert!(trace.read_trace(bytes.len() as u64).unwrap() == bytes);
        let trace = Input::new(&compressed[..]).unwrap();
        let Err(ReadError::Io(error)) = trace.read_trace(bytes.len() as u64 - 1) else {
            panic!()
        };
        let kind = InputError::of(&error).unwrap().kind();
        let limit = bytes.len() as u64 - 1;
        assert_eq!(kind, InputErrorKind::TooLarge { limit });
    }
    for short in [&b""[..], b"go", b"\x1f", b"\x28\xb5\x2f"] {
        let mut input = Input::new(short).unwrap();
        assert_eq!(input.compression(), Compression::Plain);
        assert!(matches!(input.version(), Err(ReadError::Trace(_))));
        assert_eq!(all(input).0, short);
    }
}

#[test]
fn windows_have_a_limit_that_can_be_raised() {
    let last: &[u8] = &[1, 0, 0];
    let large = [frame(28, &[b"abc"]), last.to_vec()].concat();
    let (bytes, error) = opened(&large);
    assert!(bytes.is_empty());
    assert_eq!(
        error.unwrap().to_string(),
        "the zstd data need a window of 268435456 bytes, the limit is 134217728, at byte 0 of the \
         compressed data"
    );
    let raised = Input::new(&large[..]).unwrap().with_window_limit(1 << 28);
    let (bytes, error) = all(raised);
    assert_eq!((&bytes[..], error.is_none()), (&b"abc"[..], true));
    let lowered = [frame(17, &[b"abc"]), last.to_vec()].concat();
    let lowered = Input::new(&lowered[..]).unwrap().with_window_limit(1 << 16);
    assert!(all(lowered).1.is_some());
}

#[test]
fn members_and_frames_follow_each_other() {
    let bytes = fixture("coro-go1.27").bytes();
    let parts: Vec<&[u8]> = bytes.chunks(bytes.len() / 5).collect();
    let gzipped: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
    assert_eq!(opened(&gzipped), (bytes.clone(), None));
    // As on a tape.
    let padded = [&gzipped[..], &[0; 5000]].concat();
    assert_eq!(opened(&padded), (bytes.clone(), None));
    let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let empty = zstd(b"");
    let frames = parts.iter().flat_map(|part| {
        let skipped = skipped.iter().chain(&empty).copied();
        skipped.chain(zstd(part))
    });
    let frames: Vec<u8> = frames.chain(skipped.iter().copied()).collect();
    assert_eq!(opened(&frames), (bytes.clone(), None));
    for (compressed, rest) in [(&gzipped, &b"rest"[..]), (&frames, b"rest")] {
        let more = [compressed, rest].concat();
        let (given, error) = opened(&more);
        assert!(given == bytes);
        let error = error.unwrap();
        let expected = (InputErrorKind::TrailingBytes, compressed.len() as u64);
        assert_eq!((error.kind(), error.offset()), expected);
    }
}

#[test]
fn a_wrong_checksum_is_found_after_the_data() {
    let bytes = fixture("annotate-go1.27").bytes();
    for (compressed, from_end) in [(gzip(&bytes), 8), (zstd(&bytes), 4)] {
        let mut compressed = compressed;
        let at = compressed.len() - from_end;
        compressed[at] ^= 1;
        let (given, error) = opened(&compressed);
        assert!(given == bytes);
        let kind = error.unwrap().kind();
        let found = matches!(kind, InputErrorKind::Checksum | InputErrorKind::Damaged);
        assert!(found, "{kind:?}");
    }
}

#[test]
fn data_without_end_that_hold_nothing_are_an_error() {
    let empty_blocks = frame(17, &[&b""[..]; 1000]);
    let empty_block = &empty_blocks[6..];
    let stored_blocks = [&b"\x1f\x8b\x08\0\0\0\0\0\0\xff"[..], &[0, 0, 0, 0xff, 0xff]].concat();
    for (first, again) in [
        (gzip(b"abc"), gzip(b"")),
        (gzip(b"abc"), vec![0; 4096]),
        (stored_blocks, [0, 0, 0, 0xff, 0xff].repeat(1000)),
        (zstd(b"abc"), zstd(b"").repeat(100)),
        (frame(17, &[b"abc"]), empty_block.to_vec()),
        (zstd(b"abc"), {
            let frame = [&[0x50, 0x2a, 0x4d, 0x18, 0, 16, 0, 0][..], &[7; 4096]];
            frame.concat()
        }),
    ] {
        let endless = first.chain(Again(again, 0));
        let (_, error) = all(Input::new(endless).unwrap());
        let error = InputError::of(&error.unwrap()).unwrap();
        let InputErrorKind::Empty(bytes) = error.kind() else {
            panic!("{error}")
        };
        assert!(bytes < 65 << 20, "{error}");
    }
}

/// The same again and again.
struct Again(Vec<u8>, usize);

impl Read for Again {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&self.0[self.1..]).read(buffer)?;
        self.1 = (self.1 + read) % self.0.len();
        Ok(read)
    }
}

/// Breaks where it ends.
struct Breaks<'a>(&'a [u8]);

impl Read for Breaks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("broken")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_source_that_breaks_gives_its_own_error_after_the_data() {
    let bytes = fixture("http-go1.27").bytes();
    for compressed in [bytes.clone(), gzip(&bytes), zstd(&bytes)] {
        let cut = &compressed[..compressed.len() * 3 / 4];
        let (given, error) = all(Input::new(Breaks(cut)).unwrap());
        assert!(bytes.starts_with(&given) && given.len() > bytes.len() / 2);
        assert_eq!(error.unwrap().to_string(), "broken");
    }
}

/// How a trace is compressed: in parts of these lengths.
fn compressed() -> impl Strategy<Value = (&'static Trace, bool, Vec<usize>)> {
    let parts = prop::collection::vec(1usize..200_000, 0..4);
    (trace(), any::<bool>(), parts)
}

fn compress(bytes: &[u8], gzipped: bool, parts: &[usize]) -> Vec<u8> {
    let mut rest = bytes;
    let mut all = Vec::new();
    for len in parts {
        let (part, others) = rest.split_at((*len).min(rest.len()));
        all.extend(if gzipped { gzip(part) } else { zstd(part) });
        rest = others;
    }
    all.extend(if gzipped { gzip(rest) } else { zstd(rest) });
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_cut_anywhere_gives_what_comes_before(
        (trace, gzipped, parts) in compressed(),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = &trace.bytes;
        let whole = compress(bytes, gzipped, &parts);
        prop_assert_eq!(opened(&whole), (bytes.clone(), None));
        // Fewer bytes do not show what they are.
        let cut = &whole[..cut.index(whole.len()).max(Compression::LOOKS_AT)];
        let (given, error) = opened(cut);
        prop_assert!(bytes.starts_with(&given));
        // Between two members or frames nothing shows that it is cut.
        let cut_between = error.is_none();
        if let Some(error) = error {
            prop_assert_eq!(error.kind(), InputErrorKind::Cut);
            prop_assert_eq!(error.offset(), cut.len() as u64);
        }
        let (from_plain, plain_error) = events(&given[..]);
        let (from_cut, cut_error) = events(Input::new(cut).unwrap());
        prop_assert!(from_plain == from_cut);
        match (cut_error, plain_error) {
            (Some(ReadError::Io(_)), _) => prop_assert!(!cut_between),
            (other, plain) => prop_assert_eq!(format!("{other:?}"), format!("{plain:?}")),
        }
    }

    #[test]
    fn damage_is_an_error_or_harmless(
        gzipped in any::<bool>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..=255), 1..4),
        step in 1usize..70_000,
    ) {
        let bytes = fixture("annotate-go1.27").bytes();
        let mut compressed = compress(&bytes, gzipped, &[3000]);
        for (at, flip) in flips {
            let at = at.index(compressed.len());
            compressed[at] ^= flip;
        }
        let Ok(mut input) = Input::new(&compressed[..]) else { return Ok(()) };
        let mut given = 0;
        let mut buffer = vec![0; step];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => given += read,
                Err(_) => {
                    prop_assert!(input.read(&mut buffer).is_err(), "an error stays one");
                    break;
                }
            }
        }
        prop_assert!(given < 100 << 20);
    }
}
