//! What the commands share that answer questions about what a program did: asking several traces, and
//! words for what they say.

use super::output::{self, Failures, Result};
use super::parallel;
use super::progress::Progress;
use super::reading::Ended;
use super::table::{
    Cell, FAINT, INDENT, Options, Printer, Table, function, head, printable, printer,
    terminal_width,
};
use gotrace::Time;
use gotrace::analysis::names::{Names, StackRef};
use gotrace::event::GoState;
use gotrace::generation::Frame;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Nanoseconds since the trace began.
pub fn since(start: Option<Time>, time: Time) -> i64 {
    start.map_or(0, |start| time.since(start))
}

/// What a goroutine does in a state, for people.
pub fn state(state: GoState, reason: &str) -> String {
    match state {
        GoState::Undetermined => "not known".to_owned(),
        GoState::NotExist => "ended".to_owned(),
        GoState::Running => "running".to_owned(),
        GoState::Runnable => "waiting for a processor".to_owned(),
        GoState::Waiting if reason.is_empty() => "waiting".to_owned(),
        GoState::Waiting => format!("waiting: {}", printable(reason)),
        GoState::Syscall => "system call".to_owned(),
    }
}

/// A frame of a stack, as members of JSON.
#[derive(serde::Serialize)]
pub struct JsonFrame {
    pub func: String,
    pub file: String,
    pub line: u64,
    pub pc: u64,
}

/// The frames of a stack for JSON, the innermost first.
pub fn json_stack(names: &Names, stack: Option<StackRef>) -> Option<Vec<JsonFrame>> {
    let frames = names.frames(stack?).map(|frame| JsonFrame {
        func: frame.func.to_string(),
        file: frame.file.to_string(),
        line: frame.line,
        pc: frame.pc,
    });
    Some(frames.collect())
}

/// Where in the program a stack is, as short as it can be: `main.(*pool).get:33`, a function and the line
/// in its file.
pub fn place(names: &Names, stack: Option<StackRef>) -> Cell {
    match stack.and_then(|stack| names.user_leaf(stack)) {
        Some(frame) => Cell::Text(format!("{}:{}", frame.func, frame.line)),
        None => Cell::None,
    }
}

/// The same for programs: the file with its path, and the line.
pub fn source(names: &Names, stack: Option<StackRef>) -> Cell {
    match stack.and_then(|stack| names.user_leaf(stack)) {
        Some(frame) => Cell::Text(format!("{}:{}", frame.file, frame.line)),
        None => Cell::None,
    }
}

/// `pool.go:33`.
fn line(frame: &Frame<'_>) -> String {
    let file = frame.file.to_string();
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    format!("{name}:{}", frame.line)
}

/// Prints the frames of a stack, an indented line each, from the first that is the program's own.
pub fn print_stack(
    out: &mut impl Write,
    names: &Names,
    stack: Option<StackRef>,
    most: usize,
    indent: &str,
) -> io::Result<()> {
    let Some(stack) = stack else { return Ok(()) };
    let room = terminal_width().map_or(usize::MAX, |width| width.saturating_sub(indent.len()));
    let first = names.user_leaf(stack);
    let frames: Vec<_> = names.frames(stack).collect();
    let skip = frames
        .iter()
        .position(|frame| Some(*frame) == first)
        .unwrap_or(0);
    let shown = frames.get(skip..).unwrap_or(&[]);
    for frame in shown.iter().take(most) {
        let at = printable(&line(frame)).into_owned();
        let func = function(
            &frame.func.to_string(),
            room.saturating_sub(at.len() + 2).max(8),
        );
        writeln!(out, "{indent}{func}  {FAINT}{at}{FAINT:#}")?;
    }
    let rest = shown.len().saturating_sub(most);
    if rest > 0 {
        writeln!(out, "{indent}{FAINT}({rest} more with --all){FAINT:#}")?;
    }
    Ok(())
}

/// A line of text that has no columns, cut at the terminal's width.
pub fn line_of(text: &str) -> String {
    let text = printable(text);
    match terminal_width() {
        Some(width) => head(&text, width),
        None => text.into_owned(),
    }
}

/// Text in lines that fit the terminal, all but the first with this indent; the first is to be printed
/// behind something as long.
fn wrapped(text: &str, indent: usize) -> String {
    let Some(width) = terminal_width() else {
        return text.to_owned();
    };
    let room = width.saturating_sub(indent).max(16);
    let (mut lines, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(&head(word, room));
        used += length.min(room);
    }
    lines
}

/// What a command says of a trace: facts, and tables.
#[derive(Default)]
pub struct Page {
    /// What they are called in JSON and for people, and their values.
    facts: Vec<(&'static str, &'static str, Cell)>,
    /// With what they are called in JSON.
    tables: Vec<(&'static str, Table)>,
    /// Lines for people between the facts and the tables.
    figures: Vec<String>,
}

impl Page {
    /// Adds a fact; without a name for people, it is for programs only.
    pub fn fact(&mut self, key: &'static str, name: &'static str, value: Cell) {
        self.facts.push((key, name, value));
    }

    /// Adds a table; the first is what CSV has.
    pub fn table(&mut self, key: &'static str, table: Table) {
        self.tables.push((key, table));
    }

    /// Adds a line for people.
    pub fn figure(&mut self, line: String) {
        self.figures.push(line);
    }

    /// Prints it: as JSON one object, with the tables as lists of objects.
    pub fn print(&self, printer: &mut Printer, file: &Path) -> Result {
        let options = printer.options().clone();
        if options.json {
            let file = (!printer.is_together()).then_some(file);
            let json = JsonPage {
                page: self,
                file,
                limit: options.limit(),
            };
            return output::json_line(printer.out(), &json);
        }
        if options.csv {
            return match self.tables.first() {
                Some((_, table)) => printer.table(file, table),
                None => Ok(()),
            };
        }
        let mut is_first = true;
        let names = self.facts.iter().map(|(_, name, _)| name.len());
        let width = names.max().unwrap_or(0);
        for (_, name, value) in &self.facts {
            if !name.is_empty() {
                let indent = INDENT.len() + width + 2;
                let text = wrapped(&value.shown(), indent);
                writeln!(printer.out(), "{INDENT}{name:<width$}  {text}")?;
                is_first = false;
            }
        }
        for line in &self.figures {
            writeln!(printer.out(), "{line}")?;
            is_first = false;
        }
        for (_, table) in &self.tables {
            if !is_first {
                writeln!(printer.out())?;
            }
            is_first = false;
            printer.table(file, table)?;
        }
        Ok(())
    }
}

struct JsonPage<'a> {
    page: &'a Page,
    /// None for several traces together.
    file: Option<&'a Path>,
    limit: usize,
}

impl Serialize for JsonPage<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("file", &self.file.map(Path::to_string_lossy))?;
        for (key, _, value) in &self.page.facts {
            map.serialize_entry(key, value)?;
        }
        for (key, table) in &self.page.tables {
            map.serialize_entry(key, &table.objects(self.limit))?;
        }
        map.end()
    }
}

/// What a trace gives for an answer, if it has events, and what ended its reading too early.
pub type Asked<T> = Result<(Option<T>, Ended)>;

/// Asks each of several traces, as many at a time as there are processors, and shows what they give in
/// order. What is wrong with one is reported below what it gave, and the next one is asked.
pub fn each_trace<T: Send>(
    files: &[PathBuf],
    printer: &mut Printer,
    ask: impl Fn(&Path) -> Asked<T> + Sync,
    mut show: impl FnMut(&mut Printer, &Path, T) -> Result,
) -> Result {
    let mut failures = Failures::default();
    let ask = |file: &PathBuf| ask(file);
    parallel::in_order(files, None, ask, |file, asked| -> Result {
        let (given, failure) = match asked {
            Ok(asked) => asked,
            Err(failure) => (None, Some(failure)),
        };
        if let Some(given) = given {
            show(printer, file, given)?;
        }
        if let Some(failure) = failure {
            printer.flush()?;
            failures.add(failure);
        }
        Ok(())
    })?;
    printer.flush()?;
    failures.result()
}

/// Asks each of several traces, and merges what they give into one. `None` if none gives anything.
pub fn merged<T: Send>(
    files: &[PathBuf],
    failures: &mut Failures,
    ask: impl Fn(&Path) -> Asked<T> + Sync,
    merge: impl Fn(&mut T, T),
) -> Result<Option<T>> {
    let mut all = None;
    let ask = |file: &PathBuf| ask(file);
    parallel::in_order(files, None, ask, |_, asked| -> Result {
        let (given, failure) = match asked {
            Ok(asked) => asked,
            Err(failure) => (None, Some(failure)),
        };
        failure
            .into_iter()
            .for_each(|failure| failures.add(failure));
        match (&mut all, given) {
            (Some(all), Some(given)) => merge(all, given),
            (None, given) => all = given,
            (Some(_), None) => {}
        }
        Ok(())
    })?;
    Ok(all)
}

/// Whether several traces are answered for one by one.
// No documentation of the struct itself: it would take the place of the command's.
#[derive(clap::Args)]
pub struct Together {
    /// Answer once for all traces together, which should be of one program: sums and distributions of
    /// them all. In JSON "file" is null then, in CSV empty
    #[arg(long)]
    pub together: bool,
}

/// Answers for several traces: `ask` gives what a trace has, `merge` makes one of two, and `show` prints
/// it, for a file or, without one, for all together. A trace's name is printed if there are several,
/// or if `named`.
pub fn answer<T: Send>(
    files: &[PathBuf],
    options: &Options,
    together: bool,
    named: bool,
    ask: impl Fn(&Path, &Progress) -> Asked<T> + Sync,
    merge: impl Fn(&mut T, T),
    show: impl Fn(&mut Printer, &Path, T) -> Result,
) -> Result {
    let progress = Progress::new(files, false);
    let mut printer = printer(options, named || files.len() > 1);
    let ask = |file: &Path| ask(file, &progress);
    if !together {
        return each_trace(files, &mut printer, ask, |printer, file, given| {
            printer.begin(file)?;
            show(printer, file, given)
        });
    }
    let mut failures = Failures::default();
    if let Some(all) = merged(files, &mut failures, ask, merge)? {
        printer.begin_together(files.len())?;
        show(&mut printer, Path::new(""), all)?;
    }
    printer.flush()?;
    failures.result()
}

/// As [`answer`], of commands that answer each trace for itself, with a page.
pub fn pages(
    files: &[PathBuf],
    options: &Options,
    ask: impl Fn(&Path, &Progress) -> Asked<Page> + Sync,
) -> Result {
    let show = |printer: &mut Printer, file: &Path, page: Page| page.print(printer, file);
    answer(files, options, false, false, ask, |_, _| {}, show)
}
