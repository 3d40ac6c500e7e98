//! Nearly valid traces of before Go 1.22, for the tests and the fuzz target.

use super::text;
use gotrace::Trace;
use gotrace::legacy::Records;
use std::fmt::Write as _;

/// Numbers that look random, and are the same in each run.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }
}

/// Bytes of a trace changed, lost or doubled.
pub fn bytes_damaged(trace: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = trace.to_vec();
    for _ in 0..=random.below(2) {
        let at = (16 + random.below(bytes.len().saturating_sub(16))).min(bytes.len() - 1);
        let end = bytes.len().min(at + 1 + random.below(12));
        match random.below(5) {
            0 => bytes[at] = random.number() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 if bytes.len() - (end - at) > 32 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes.truncate(at.max(32)),
        }
    }
    bytes
}

/// Records lost, doubled, exchanged, and with other numbers: what is wrong is their meaning. `None` if
/// the trace has records that cannot be read.
pub fn records_damaged(trace: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let minor = Trace::new(trace).ok()?.version().minor();
    let mut lines = Vec::new();
    for record in Records::new(trace).ok()? {
        lines.push(record.ok()?.to_string());
    }
    for _ in 0..=random.below(3) {
        if lines.is_empty() {
            break;
        }
        let (at, other) = (random.below(lines.len()), random.below(lines.len()));
        match random.below(6) {
            0 => drop(lines.remove(at)),
            1 => {
                let copy = lines[at].clone();
                lines.insert(other, copy);
            }
            2 => lines.swap(at, other),
            3 if at + 1 < lines.len() => lines.swap(at, at + 1),
            _ => {
                // One of the first line's numbers.
                let first = lines[at].lines().next().unwrap_or("").to_owned();
                let numbers: Vec<(usize, usize)> = first
                    .match_indices('=')
                    .filter_map(|(at, _)| {
                        let rest = &first[at + 1..];
                        let len = rest
                            .find(|c: char| !c.is_ascii_digit())
                            .unwrap_or(rest.len());
                        (len > 0).then_some((at + 1, at + 1 + len))
                    })
                    .collect();
                if !numbers.is_empty() {
                    let (start, end) = numbers[random.below(numbers.len())];
                    let value: u64 = first[start..end].parse().unwrap_or(0);
                    let value = match random.below(6) {
                        0 => value.wrapping_add(1),
                        1 => value.wrapping_sub(1),
                        2 => 0,
                        3 => random.number() >> random.below(64),
                        4 => random.below(20) as u64,
                        _ => u64::MAX,
                    };
                    lines[at].replace_range(start..end, &value.to_string());
                }
            }
        }
    }
    let mut text = format!("Trace Go1.{minor}\n");
    for line in lines {
        writeln!(text, "{line}").unwrap();
    }
    Some(text::assemble(&text))
}
