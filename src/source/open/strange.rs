//! What a file is that cannot be read as a trace.

use crate::num;
use crate::wire::{HEADER_LEN, Version};
use core::fmt;

/// What a file is that is no trace, or a trace that something on its way has changed.
///
/// [`Strange::of`] looks at the first bytes, and guesses: it is for messages to people, when reading
/// failed. Displays as such a message.
///
/// ```
/// use gotrace::source::open::Strange;
///
/// let saved = b"HTTP/1.1 200 OK\r\n\r\ngo 1.26 trace\0\0\0";
/// let strange = Strange::of(saved).unwrap();
/// assert_eq!(strange, Strange::TraceInside { at: 19, after_http: true });
/// assert!(strange.to_string().contains("a Go trace begins at byte 19"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strange {
    /// Nothing at all.
    Empty,
    /// Nothing but zero bytes, as a file system leaves them after a crash.
    Zeros,
    /// A trace begins further inside.
    TraceInside {
        /// Where its header begins.
        at: u64,
        /// What is before it are the headers of HTTP.
        after_http: bool,
    },
    /// The answer of an HTTP server that gave no trace: its status line.
    HttpResponse(alloc::string::String),
    /// A page for a browser.
    Html,
    /// JSON.
    Json,
    /// A trace as text, as `gotrace dump --wire --header` writes it.
    TraceText,
    /// Text in UTF-16, as PowerShell's redirection writes it.
    Utf16,
    /// A trace whose bytes were taken for text in UTF-8: those that are none became U+FFFD, or two
    /// bytes each.
    Utf8,
    /// A trace in which each line feed became a carriage return and a line feed.
    LineEnds,
    /// A profile for `go tool pprof`.
    PprofProfile,
    /// An archive or a compressed file of this format, which is not unpacked here.
    Packed(&'static str),
    /// The memory of a program that crashed.
    CoreFile,
    /// A program.
    Program,
    /// The arena of a flight recorder of this crate.
    Arena,
}

impl Strange {
    /// How many bytes of a file [`of`](Strange::of) should see. It looks at no more.
    pub const LOOKS_AT: usize = 64 << 10;

    /// What a file is that begins so, if that can be guessed.
    pub fn of(head: &[u8]) -> Option<Strange> {
        let head = head.get(..Self::LOOKS_AT).unwrap_or(head);
        if head.is_empty() {
            return Some(Strange::Empty);
        }
        if Version::from_header(head).is_ok() {
            return changed(head);
        }
        if head.iter().all(|byte| *byte == 0) {
            return Some(Strange::Zeros);
        }
        let known: &[(&[u8], Strange)] = &[
            (b"gotraceR", Strange::Arena),
            (b"\xff\xfe", Strange::Utf16),
            (b"\xfe\xff", Strange::Utf16),
            (b"g\0o\0 \0", Strange::Utf16),
            (b"\0g\0o\0 ", Strange::Utf16),
            (b"Trace Go1.", Strange::TraceText),
            (b"PK\x03\x04", Strange::Packed("zip")),
            (b"BZh", Strange::Packed("bzip2")),
            (b"\xfd7zXZ\0", Strange::Packed("xz")),
            (b"\x04\x22\x4d\x18", Strange::Packed("lz4")),
            (b"7z\xbc\xaf\x27\x1c", Strange::Packed("7z")),
            (b"\x1f\x8b", Strange::Packed("gzip")),
            (b"\x28\xb5\x2f\xfd", Strange::Packed("zstd")),
            (b"MZ", Strange::Program),
            (b"\xcf\xfa\xed\xfe", Strange::Program),
            (b"\xca\xfe\xba\xbe", Strange::Program),
        ];
        if let Some((_, strange)) = known.iter().find(|(first, _)| head.starts_with(first)) {
            return Some(strange.clone());
        }
        if head.starts_with(b"\x7fELF") {
            // The type is 4 for the memory of a process, in either byte order.
            let core = matches!(head.get(16..18), Some([4, 0] | [0, 4]));
            return Some(if core {
                Strange::CoreFile
            } else {
                Strange::Program
            });
        }
        if head.get(257..262) == Some(b"ustar") {
            return Some(Strange::Packed("tar"));
        }
        let after_http = head.starts_with(b"HTTP/");
        if let Some(at) = trace_inside(head) {
            return Some(Strange::TraceInside { at, after_http });
        }
        if after_http {
            let line = head.split(|byte| *byte == b'\r' || *byte == b'\n').next();
            let line = alloc::string::String::from_utf8_lossy(line.unwrap_or(&[]));
            let printable = line.chars().filter(|c| !c.is_control()).take(80);
            return Some(Strange::HttpResponse(printable.collect()));
        }
        match head.trim_ascii_start() {
            [b'<', ..] => Some(Strange::Html),
            [b'{' | b'[', b'"' | b'{' | b' ' | b'\n' | b'\r', ..] => Some(Strange::Json),
            // The type of the first value, as a message in a message: what a profile begins with.
            _ if matches!(head, [0x0a, 2..=20, 0x08, ..]) => Some(Strange::PprofProfile),
            _ => None,
        }
    }
}

/// Where the header of a trace is.
fn trace_inside(head: &[u8]) -> Option<u64> {
    memchr::memmem::find_iter(head, b"go 1.")
        .find(|at| {
            let end = at.saturating_add(HEADER_LEN);
            head.get(*at..end)
                .is_some_and(|header| Version::from_header(header).is_ok())
        })
        .map(num::wide)
}

/// What has changed a trace that has a sound header.
fn changed(head: &[u8]) -> Option<Strange> {
    let body = head.get(HEADER_LEN..)?;
    // Enough that neither is chance: text leaves no byte above 127 alone, a trace has hundreds.
    let high = body.iter().filter(|byte| **byte >= 0x80).count();
    let cut = core::str::from_utf8(body).map_or_else(|error| error.error_len().is_none(), |_| true);
    if high >= 16 && cut {
        return Some(Strange::Utf8);
    }
    let feeds = memchr::memchr_iter(b'\n', body).count();
    let pairs = memchr::memmem::find_iter(body, b"\r\n").count();
    (feeds >= 8 && feeds == pairs).then_some(Strange::LineEnds)
}

impl fmt::Display for Strange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strange::Empty => "the file is empty",
            Strange::Zeros => "there is nothing but zero bytes here, as after a crash of the system",
            Strange::TraceInside { at, after_http } => {
                if *after_http {
                    f.write_str("before the trace are HTTP headers, as \"curl -i\" writes them: ")?;
                }
                return write!(f, "a Go trace begins at byte {at}");
            }
            Strange::HttpResponse(line) => {
                return write!(
                    f,
                    "this is the answer of an HTTP server, without a trace: {line}"
                );
            }
            Strange::Html => "this is a page for a browser: is the address the trace's?",
            Strange::Json => "this is JSON",
            Strange::TraceText => "this is the text of a trace: gotrace assemble makes a trace of it",
            Strange::Utf16 => {
                "this is text in UTF-16: the trace was redirected by PowerShell; let the program or curl write the file itself (-o)"
            }
            Strange::Utf8 => {
                "the trace went through a text conversion, which took its bytes for UTF-8: what is lost cannot be restored"
            }
            Strange::LineEnds => {
                "the trace went through a text conversion, which put a carriage return before each line feed"
            }
            Strange::PprofProfile => "this is a profile: go tool pprof opens it",
            Strange::Packed(format) => {
                return write!(f, "this is a {format} file: unpack it first");
            }
            Strange::CoreFile => "this is the memory of a program that crashed (a core file)",
            Strange::Program => "this is a program",
            Strange::Arena => "this is the arena of a flight recorder: gotrace recover gives its trace",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn first_bytes_say_what_a_file_is() {
        let of = |bytes: &[u8]| Strange::of(bytes);
        assert_eq!(of(b""), Some(Strange::Empty));
        assert_eq!(of(&[0; 100]), Some(Strange::Zeros));
        assert_eq!(of(b"\xff\xfeg\0o\0"), Some(Strange::Utf16));
        assert_eq!(of(b"PK\x03\x04abc"), Some(Strange::Packed("zip")));
        assert_eq!(of(b"<!DOCTYPE html>"), Some(Strange::Html));
        assert_eq!(of(b"{\"traceEvents\":[]}"), Some(Strange::Json));
        assert_eq!(
            of(b"\x0a\x04\x08\x01\x10\x02\x0a\x04\x08\x03\x10\x04"),
            Some(Strange::PprofProfile)
        );
        let mut elf = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0>\0";
        assert_eq!(of(&elf), Some(Strange::CoreFile));
        elf[16] = 2;
        assert_eq!(of(&elf), Some(Strange::Program));
        assert_eq!(
            of(b"HTTP/1.1 404 Not Found\r\nServer: x\r\n\r\n404 page not found"),
            Some(Strange::HttpResponse("HTTP/1.1 404 Not Found".to_string()))
        );
        let line = b"2026/11/20 listening on :8080\ngo 1.25 trace\0\0\0\x01";
        let inside = Strange::TraceInside {
            at: 30,
            after_http: false,
        };
        assert_eq!(of(line), Some(inside));
        assert_eq!(of(b"nothing that is known"), None);
    }

    #[test]
    fn conversions_show_in_the_bytes() {
        let trace = include_bytes!("../../../tests/fixtures/gc-go1.27.trace");
        assert_eq!(Strange::of(trace), None);
        let text = std::string::String::from_utf8_lossy(trace);
        assert_eq!(Strange::of(text.as_bytes()), Some(Strange::Utf8));
        // Each byte a character, as in Latin 1.
        let text: std::string::String = trace.iter().map(|byte| char::from(*byte)).collect();
        assert_eq!(Strange::of(text.as_bytes()), Some(Strange::Utf8));
        let mut lines = std::vec::Vec::new();
        for byte in trace {
            if *byte == b'\n' {
                lines.push(b'\r');
            }
            lines.push(*byte);
        }
        assert_eq!(Strange::of(&lines), Some(Strange::LineEnds));
    }
}
