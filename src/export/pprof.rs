//! Profiles in the form of pprof, gzipped, as `go tool pprof` opens them; and as folded stacks, which
//! tools for flame graphs read.
//!
//! ```
//! use gotrace::Trace;
//! use gotrace::analysis::{profile::{Kind, Profile}, states::States};
//! use gotrace::export::pprof;
//!
//! let bytes = include_bytes!("../../tests/fixtures/block-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut states) = (trace.reader(), States::new());
//! let mut profile = Profile::new(Kind::Sync);
//! while let Some(event) = reader.next()? {
//!     states.add(&event, &mut profile);
//! }
//! states.finish(&mut profile);
//! let mut file = Vec::new();
//! pprof::Builder::of(&profile, states.names()).write(&mut file)?;
//! assert_eq!(file[..2], [0x1f, 0x8b]); // gzip
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::analysis::names::Names;
use crate::analysis::profile::{Kind, Profile};
use crate::generation::Frame;
use crate::num;
use flate2::{Compression, GzBuilder};
use prost::Message;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::string::{String, ToString as _};
use std::vec::Vec;

/// The messages of pprof's `profile.proto` that are used here, with its names and numbers.
mod proto {
    use prost::Message;
    use std::string::String;
    use std::vec::Vec;

    #[derive(Clone, PartialEq, Message)]
    pub struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub sample: Vec<Sample>,
        #[prost(message, repeated, tag = "4")]
        pub location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub string_table: Vec<String>,
        #[prost(message, optional, tag = "11")]
        pub period_type: Option<ValueType>,
        #[prost(int64, tag = "12")]
        pub period: i64,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub struct ValueType {
        #[prost(int64, tag = "1")]
        pub r#type: i64,
        #[prost(int64, tag = "2")]
        pub unit: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub label: Vec<Label>,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub struct Label {
        #[prost(int64, tag = "1")]
        pub key: i64,
        #[prost(int64, tag = "2")]
        pub str: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Location {
        #[prost(uint64, tag = "1")]
        pub id: u64,
        #[prost(uint64, tag = "3")]
        pub address: u64,
        #[prost(message, repeated, tag = "4")]
        pub line: Vec<Line>,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub struct Line {
        #[prost(uint64, tag = "1")]
        pub function_id: u64,
        #[prost(int64, tag = "2")]
        pub line: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Function {
        #[prost(uint64, tag = "1")]
        pub id: u64,
        #[prost(int64, tag = "2")]
        pub name: i64,
        #[prost(int64, tag = "3")]
        pub system_name: i64,
        #[prost(int64, tag = "4")]
        pub filename: i64,
    }
}

/// A profile being made: samples, each a stack with a count and a time.
///
/// As in Go's profiles, a program counter is one location, with the function and line of the first
/// frame that has it.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    profile: proto::Profile,
    strings: BTreeMap<String, i64>,
    locations: BTreeMap<u64, u64>,
    functions: BTreeMap<(i64, i64), u64>,
}

impl Builder {
    /// An empty profile with the types of Go's: counts of `contentions`, `delay` in nanoseconds.
    pub fn new() -> Builder {
        Builder::typed(["contentions", "count", "delay", "nanoseconds"])
    }

    fn typed(names: [&str; 4]) -> Builder {
        let mut builder = Builder::default();
        builder.string("");
        let [count, count_unit, time, time_unit] = names.map(|name| builder.string(name));
        let value = |ty, unit| proto::ValueType { r#type: ty, unit };
        builder.profile.sample_type = Vec::from([value(count, count_unit), value(time, time_unit)]);
        let period = value(builder.string("trace"), builder.string("count"));
        builder.profile.period_type = Some(period);
        builder.profile.period = 1;
        builder
    }

    /// All samples of a profile. Those of [`Kind::Wall`] and [`Kind::OffCpu`] have the labels `state`
    /// and `reason`; those of [`Kind::Cpu`] have the types of CPU profiles.
    pub fn of(profile: &Profile, names: &Names) -> Builder {
        let mut builder = match profile.kind() {
            Kind::Cpu => Builder::typed(["samples", "count", "cpu", "nanoseconds"]),
            Kind::Wall | Kind::OffCpu => Builder::typed(["stays", "count", "time", "nanoseconds"]),
            _ => Builder::new(),
        };
        let labelled = matches!(profile.kind(), Kind::Wall | Kind::OffCpu);
        for sample in profile.samples() {
            let frames = sample.stack.into_iter().flat_map(|s| names.frames(s));
            let frames: Vec<Frame<'_>> = frames.collect();
            let reason = names.text(sample.reason).to_string();
            let state = sample.state.name().to_lowercase();
            let labels = [("state", state.as_str()), ("reason", reason.as_str())];
            let labels = if labelled { &labels[..] } else { &[] };
            builder.add(&frames, sample.count, sample.nanoseconds, labels);
        }
        builder
    }

    /// Adds a sample: frames with the innermost first. Labels without a value are left out.
    pub fn add(
        &mut self,
        frames: &[Frame<'_>],
        count: u64,
        nanoseconds: i64,
        labels: &[(&str, &str)],
    ) {
        let location_id = frames.iter().map(|frame| self.location(frame)).collect();
        let labels = labels.iter().filter(|(_, value)| !value.is_empty());
        let label = labels
            .map(|(key, value)| proto::Label {
                key: self.string(key),
                str: self.string(value),
            })
            .collect();
        self.profile.sample.push(proto::Sample {
            location_id,
            value: Vec::from([i64::try_from(count).unwrap_or(i64::MAX), nanoseconds]),
            label,
        });
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(id) = self.strings.get(text) {
            return *id;
        }
        let id = i64::try_from(self.profile.string_table.len()).unwrap_or(i64::MAX);
        self.profile.string_table.push(text.to_string());
        self.strings.insert(text.to_string(), id);
        id
    }

    fn location(&mut self, frame: &Frame<'_>) -> u64 {
        if let Some(id) = self.locations.get(&frame.pc) {
            return *id;
        }
        let id = num::wide(self.profile.location.len()).saturating_add(1);
        let line = proto::Line {
            function_id: self.function(frame),
            line: i64::try_from(frame.line).unwrap_or(0),
        };
        self.profile.location.push(proto::Location {
            id,
            address: frame.pc,
            line: Vec::from([line]),
        });
        self.locations.insert(frame.pc, id);
        id
    }

    fn function(&mut self, frame: &Frame<'_>) -> u64 {
        let name = self.string(&frame.func.to_string());
        let filename = self.string(&frame.file.to_string());
        if let Some(id) = self.functions.get(&(name, filename)) {
            return *id;
        }
        let id = num::wide(self.profile.function.len()).saturating_add(1);
        self.profile.function.push(proto::Function {
            id,
            name,
            system_name: name,
            filename,
        });
        self.functions.insert((name, filename), id);
        id
    }

    /// How many samples were added.
    pub fn len(&self) -> usize {
        self.profile.sample.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.profile.sample.is_empty()
    }

    /// Writes the profile, gzipped. The same profile is always the same bytes.
    ///
    /// Errors: those of the writer.
    pub fn write(&self, to: impl Write) -> io::Result<()> {
        let mut gzip = GzBuilder::new().write(to, Compression::default());
        gzip.write_all(&self.profile.encode_to_vec())?;
        gzip.finish()?.flush()
    }
}

/// Writes a profile as folded stacks: a line a stack, the outermost function first, with `;` between,
/// then the nanoseconds. What has no stack is `(no stack)`. In profiles of [`Kind::Wall`] and
/// [`Kind::OffCpu`], the innermost is what it does there, as in `[waiting: chan receive]`.
///
/// Errors: those of the writer.
pub fn write_folded(profile: &Profile, names: &Names, mut to: impl Write) -> io::Result<()> {
    let labelled = matches!(profile.kind(), Kind::Wall | Kind::OffCpu);
    let mut lines: BTreeMap<String, i64> = BTreeMap::new();
    for sample in profile.samples() {
        let frames = sample.stack.into_iter().flat_map(|s| names.frames(s).rev());
        let mut line = folded(frames);
        if labelled {
            line.push_str(";[");
            line.push_str(&sample.state.name().to_lowercase());
            let reason = names.text(sample.reason);
            if !reason.is_empty() {
                line.push_str(": ");
                line.push_str(&plain(&reason.printable().to_string()));
            }
            line.push(']');
        }
        let time = lines.entry(line).or_default();
        *time = time.saturating_add(sample.nanoseconds);
    }
    for (line, time) in lines {
        writeln!(to, "{line} {time}")?;
    }
    Ok(())
}

/// A line of folded stacks without its number, of frames with the outermost first.
pub fn folded<'f>(frames: impl Iterator<Item = Frame<'f>>) -> String {
    let mut line = String::new();
    for frame in frames {
        if !line.is_empty() {
            line.push(';');
        }
        let func = frame.func.printable().to_string();
        line.push_str(&plain(if func.is_empty() { "?" } else { &func }));
    }
    if line.is_empty() {
        line.push_str("(no stack)");
    }
    line
}

/// Without what separates stacks.
fn plain(text: &str) -> String {
    text.replace(';', ":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trace;
    use crate::analysis::states::States;
    use flate2::read::GzDecoder;
    use std::io::Read as _;

    fn profile(kind: Kind) -> (Profile, States) {
        let bytes = include_bytes!("../../tests/fixtures/block-go1.27.trace");
        let trace = Trace::new(bytes).unwrap();
        let (mut reader, mut states) = (trace.reader(), States::new());
        let mut profile = Profile::new(kind);
        while let Some(event) = reader.next().unwrap() {
            profile.sample(&event, &mut states);
            states.add(&event, &mut profile);
        }
        states.finish(&mut profile);
        (profile, states)
    }

    /// What is written decodes to the samples, each location and function is there, and wall time is
    /// the sum of all lives.
    #[test]
    fn written_profiles_decode() {
        let (profile, states) = profile(Kind::Wall);
        let mut file = Vec::new();
        Builder::of(&profile, states.names())
            .write(&mut file)
            .unwrap();
        let mut bytes = Vec::new();
        GzDecoder::new(&file[..]).read_to_end(&mut bytes).unwrap();
        let decoded = proto::Profile::decode(&bytes[..]).unwrap();
        assert_eq!(decoded.sample.len(), profile.samples().count());
        let time: i64 = decoded.sample.iter().map(|s| s.value[1]).sum();
        let lives = states
            .goroutines()
            .map(|g| g.sums(states.last_time()).total());
        assert!(time >= lives.sum());
        for sample in &decoded.sample {
            for id in &sample.location_id {
                let location = &decoded.location[usize::try_from(*id).unwrap() - 1];
                assert_eq!(location.id, *id);
                let function = location.line[0].function_id;
                let function = &decoded.function[usize::try_from(function).unwrap() - 1];
                assert!(function.name > 0 && function.filename > 0);
            }
            assert!(
                sample
                    .label
                    .iter()
                    .any(|l| decoded.string_table[l.key as usize] == "state")
            );
        }

        let mut text = Vec::new();
        write_folded(&profile, states.names(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut folded = 0;
        for line in text.lines() {
            let (stack, n) = line.rsplit_once(' ').unwrap();
            assert!(stack.ends_with(']'), "{line}");
            folded += n.parse::<i64>().unwrap();
        }
        assert_eq!(folded, time);
        assert!(
            text.contains("main.main.func1.1;main.main.func10;io.Copy"),
            "{text}"
        );
    }

    #[test]
    fn folded_stacks_have_no_separators_inside() {
        assert_eq!(folded(core::iter::empty()), "(no stack)");
        assert_eq!(plain("a;b"), "a:b");
    }
}
