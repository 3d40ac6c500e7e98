//! What goroutines did over time, a line each, in characters.

use super::table::{FAINT, INDENT, duration, printable};
use anstyle::{AnsiColor, Style};
use gotrace::Time;
use gotrace::event::GoState;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr as _;

/// How a stretch of time is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Running,
    Runnable,
    Syscall,
    Network,
    Channel,
    Select,
    Sync,
    Sleep,
    Collector,
    Blocked,
    /// It exists, and nothing more is known.
    Unknown,
}

impl Mark {
    const ALL: [Mark; 11] = [
        Mark::Running,
        Mark::Runnable,
        Mark::Syscall,
        Mark::Network,
        Mark::Channel,
        Mark::Select,
        Mark::Sync,
        Mark::Sleep,
        Mark::Collector,
        Mark::Blocked,
        Mark::Unknown,
    ];

    /// Of a goroutine in a state, for a reason if it waits.
    pub fn of(state: GoState, reason: &str) -> Option<Mark> {
        Some(match state {
            GoState::NotExist => return None,
            GoState::Undetermined => Mark::Unknown,
            GoState::Running => Mark::Running,
            GoState::Runnable => Mark::Runnable,
            GoState::Syscall => Mark::Syscall,
            GoState::Waiting => match reason {
                "network" => Mark::Network,
                "sleep" => Mark::Sleep,
                _ if reason.starts_with("chan") => Mark::Channel,
                _ if reason.starts_with("select") => Mark::Select,
                _ if reason.starts_with("sync") => Mark::Sync,
                _ if reason.contains("GC") => Mark::Collector,
                _ => Mark::Blocked,
            },
        })
    }

    const fn glyph(self) -> char {
        match self {
            Mark::Running => '\u{2588}',
            Mark::Runnable => '\u{2592}',
            Mark::Syscall => 's',
            Mark::Network => 'n',
            Mark::Channel => 'c',
            Mark::Select => 'e',
            Mark::Sync => 'm',
            Mark::Sleep => 'z',
            Mark::Collector => 'g',
            Mark::Blocked => 'b',
            Mark::Unknown => '?',
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Mark::Running => "running",
            Mark::Runnable => "runnable",
            Mark::Syscall => "system call",
            Mark::Network => "network",
            Mark::Channel => "channel",
            Mark::Select => "select",
            Mark::Sync => "sync",
            Mark::Sleep => "sleep",
            Mark::Collector => "GC",
            Mark::Blocked => "blocked otherwise",
            Mark::Unknown => "unknown",
        }
    }

    const fn style(self) -> Style {
        match self {
            Mark::Running => AnsiColor::Green.on_default(),
            Mark::Runnable => AnsiColor::Yellow.on_default(),
            Mark::Syscall => AnsiColor::Cyan.on_default(),
            Mark::Network => AnsiColor::Blue.on_default(),
            Mark::Channel | Mark::Select => AnsiColor::Magenta.on_default(),
            Mark::Sync | Mark::Collector => AnsiColor::Red.on_default(),
            Mark::Sleep | Mark::Blocked | Mark::Unknown => Style::new().dimmed(),
        }
    }
}

/// A line: what it is of, and what there was when, in order and without overlaps.
pub struct Line {
    pub label: String,
    pub stays: Vec<(Time, Time, Mark)>,
}

/// Prints lines over the same stretch of time: each character is what took the most of its part.
pub fn print(
    out: &mut impl Write,
    (start, end): (Time, Time),
    lines: &[Line],
    width: usize,
) -> io::Result<()> {
    let labels = lines.iter().map(|line| printable(&line.label).width());
    let label = labels.max().unwrap_or(0).min(width / 3).max(4);
    let columns = width.saturating_sub(label + 2 * INDENT.len()).max(8);
    let span = end.since(start).max(1);
    let mut used = Vec::new();
    for line in lines {
        let name = super::table::function(&line.label, label);
        let missing = label.saturating_sub(name.width());
        write!(out, "{INDENT}{name}{:missing$}{INDENT}", "")?;
        let marks = columns_of(&line.stays, start, span, columns);
        let last = marks.iter().rposition(Option::is_some).map_or(0, |n| n + 1);
        let mut style = None;
        for mark in marks.iter().take(last) {
            let new = mark.map(Mark::style);
            if new != style {
                if let Some(style) = style {
                    write!(out, "{style:#}")?;
                }
                if let Some(new) = new {
                    write!(out, "{new}")?;
                }
                style = new;
            }
            used.extend(*mark);
            write!(out, "{}", mark.map_or(' ', Mark::glyph))?;
        }
        if let Some(style) = style {
            write!(out, "{style:#}")?;
        }
        writeln!(out)?;
    }
    let scale = duration(span / i64::try_from(columns).unwrap_or(1));
    let mut legend = format!("a character is {scale}:");
    for mark in Mark::ALL.iter().filter(|mark| used.contains(mark)) {
        let entry = format!(" {} {}", mark.glyph(), mark.name());
        let line = legend.rsplit('\n').next().unwrap_or_default();
        if INDENT.len() + line.width() + entry.width() > width {
            legend.push('\n');
            legend.push_str(INDENT);
            legend.push_str(entry.trim_start());
        } else {
            legend.push_str(&entry);
        }
    }
    writeln!(out, "{INDENT}{FAINT}{legend}{FAINT:#}")
}

/// What took the most of each part of the time.
fn columns_of(
    stays: &[(Time, Time, Mark)],
    start: Time,
    span: i64,
    columns: usize,
) -> Vec<Option<Mark>> {
    let mut longest: Vec<Vec<(Mark, i64)>> = vec![Vec::new(); columns];
    let count = columns as i128;
    let span = i128::from(span);
    for (from, to, mark) in stays {
        let (from, to) = (i128::from(from.since(start)), i128::from(to.since(start)));
        if to < 0 || from >= span {
            continue;
        }
        let from = from.max(0);
        let to = to.clamp(from, span);
        let first = (from * count / span).min(count - 1);
        let last = ((to * count - 1) / span).clamp(first, count - 1);
        for column in first..=last {
            let begin = column * span / count;
            let end = (column + 1) * span / count;
            let part = to.min(end) - from.max(begin);
            let Some(cell) = longest.get_mut(column as usize) else {
                continue;
            };
            let part = i64::try_from(part).unwrap_or(0);
            match cell.iter_mut().find(|(known, _)| known == mark) {
                Some((_, total)) => *total += part,
                None => cell.push((*mark, part)),
            }
        }
    }
    let widest = |cell: &Vec<(Mark, i64)>| {
        let most = cell
            .iter()
            .max_by_key(|(mark, total)| (*total, std::cmp::Reverse(*mark)));
        most.map(|(mark, _)| *mark)
    };
    longest.iter().map(widest).collect()
}

/// Numbers as small bars, the largest of them full.
pub fn sparkline(values: &[f64]) -> String {
    const BARS: [char; 8] = [
        '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}',
        '\u{2588}',
    ];
    let most = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        if *value <= 0.0 || most <= 0.0 {
            return ' ';
        }
        let step = (value / most * 8.0).ceil() as usize;
        BARS.get(step.saturating_sub(1))
            .copied()
            .unwrap_or('\u{2588}')
    };
    values.iter().map(bar).collect()
}

/// A bar that is this part of `width`.
pub fn bar(part: f64, width: usize) -> String {
    let eighths = (part.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let mut bar = "\u{2588}".repeat(eighths / 8);
    let rest = [
        "", "\u{258f}", "\u{258e}", "\u{258d}", "\u{258c}", "\u{258b}", "\u{258a}", "\u{2589}",
    ];
    bar.push_str(rest.get(eighths % 8).copied().unwrap_or(""));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(stays: &[(i64, i64, Mark)], columns: usize) -> String {
        let stays: Vec<_> = stays
            .iter()
            .map(|(a, b, m)| (Time(*a), Time(*b), *m))
            .collect();
        let marks = columns_of(&stays, Time(0), 100, columns);
        marks.iter().map(|m| m.map_or(' ', Mark::glyph)).collect()
    }

    #[test]
    fn each_character_is_what_took_most() {
        use Mark::{Channel, Network, Running};
        let stays = [
            (0, 30, Running),
            (30, 36, Channel),
            (36, 50, Network),
            (90, 300, Running),
        ];
        assert_eq!(shown(&stays, 10), "\u{2588}\u{2588}\u{2588}cn    \u{2588}");
        assert_eq!(shown(&stays, 2), "\u{2588}\u{2588}");
        assert_eq!(shown(&[(0, 100, Network)], 3), "nnn");
        assert_eq!(shown(&[(-50, -20, Network)], 3), "   ");
        assert_eq!(shown(&[], 3), "   ");
    }

    #[test]
    fn bars_grow() {
        assert_eq!(sparkline(&[0.0, 1.0, 8.0]), " \u{2581}\u{2588}");
        assert_eq!(bar(0.5, 4), "\u{2588}\u{2588}");
        assert_eq!(bar(9.0, 2), "\u{2588}\u{2588}");
    }
}
