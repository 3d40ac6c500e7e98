//! Tables: the same rows as text fitted to the terminal, as JSON, and as CSV.
//!
//! A command makes a [`Table`] of [`Column`]s and rows of [`Cell`]s, sorted by what matters, and gives
//! it to a [`Printer`], which knows from [`Options`] what the user wants to see:
//!
//! ```ignore
//! let mut table = Table::new("Goroutines by function", [
//!     Column::name("function"),
//!     Column::count("count"),
//!     Column::number("running_ns", "running"),
//!     Column::number("runnable_ns", "runnable").rank(2),
//! ]);
//! table.row([Cell::text("main.worker"), Cell::Count(12), Cell::Duration(5_000), Cell::None]);
//! let mut printer = table::printer(&args.output, args.files.len() > 1);
//! for file in &args.files {
//!     printer.begin(file)?;
//!     printer.table(file, &table)?;
//! }
//! printer.flush()?;
//! ```
//!
//! As text, columns are as wide as they need. If that is more than the terminal has, names are cut to
//! their least width, then the columns of the highest rank are left out, and a line below says so.
//! Where the output is no terminal, nothing is cut unless the variable COLUMNS says how wide it is.
//!
//! As JSON, a row is an object on a line of its own, with the columns' keys as members, "file" before
//! them; as CSV, a line, with the same keys in the first line. Both have every row unless --top limits
//! them. Times are whole nanoseconds; the keys of these columns end in `_ns`. What is not known is null,
//! in CSV empty.

pub use super::cell::{Cell, bytes, duration, function, goroutine, head, printable, share};
use super::cell::{Cut, fitted};
use super::output::{self, Result};
use anstyle::Style;
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use unicode_width::UnicodeWidthStr as _;

/// How many rows a table has as text without --top or --all.
const TOP: usize = 15;
/// What a figure takes that has to be fitted to a terminal's width where there is no terminal.
const DEFAULT_WIDTH: usize = 80;
const GAP: &str = "  ";
pub const INDENT: &str = "  ";

pub const TITLE: Style = Style::new().bold();
pub const HEADING: Style = Style::new().underline();
pub const FAINT: Style = Style::new().dimmed();

/// How answers are printed.
// No documentation of the struct itself: it would take the place of the command's.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Print JSON: an object on each line
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,

    /// Print CSV, with a line of headings
    #[arg(long)]
    pub csv: bool,

    /// Print the first N rows of each table: 15 in text, all in JSON and CSV without this option
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "all")]
    pub top: Option<usize>,

    /// Print all rows
    #[arg(long)]
    pub all: bool,
}

impl Options {
    /// For commands with options of their own for this.
    pub fn for_programs(json: bool, csv: bool) -> Options {
        Options {
            json,
            csv,
            ..Options::default()
        }
    }

    /// The number of rows of a table to print.
    pub fn limit(&self) -> usize {
        match self.top {
            Some(top) => top,
            None if self.all || self.json || self.csv => usize::MAX,
            None => TOP,
        }
    }

    /// Whether it is for people, not for programs.
    pub fn is_text(&self) -> bool {
        !self.json && !self.csv
    }
}

/// The columns of the terminal: what the variable COLUMNS says, or what it has. None if the output is
/// no terminal.
pub fn terminal_width() -> Option<usize> {
    let variable = std::env::var("COLUMNS").ok();
    let variable = variable
        .and_then(|text| text.parse().ok())
        .filter(|n| *n > 0);
    variable.or_else(|| {
        if !io::stdout().is_terminal() {
            return None;
        }
        let (width, _) = terminal_size::terminal_size()?;
        Some(usize::from(width.0)).filter(|n| *n > 0)
    })
}

/// The columns for a figure that needs to know.
pub fn figure_width() -> usize {
    terminal_width().unwrap_or(DEFAULT_WIDTH)
}

/// What a column holds, and how it may be fitted.
#[derive(Clone, Debug)]
pub struct Column {
    key: &'static str,
    heading: &'static str,
    is_right: bool,
    cut: Cut,
    least: usize,
    rank: u8,
    for_people: bool,
    for_programs: bool,
}

impl Column {
    const fn right(key: &'static str, heading: &'static str) -> Column {
        Column {
            key,
            heading,
            is_right: true,
            cut: Cut::Never,
            least: 0,
            rank: 0,
            for_people: true,
            for_programs: true,
        }
    }

    /// A number of things, or their id, with the same word as key and heading.
    pub const fn count(key: &'static str) -> Column {
        Column::right(key, key)
    }

    /// A number with a heading of its own: a time, whose key ends in `_ns`, or bytes, or a share.
    pub const fn number(key: &'static str, heading: &'static str) -> Column {
        Column::right(key, heading)
    }

    /// The name of a function or of a goroutine, or a place in one: cut at its beginning.
    pub const fn name(key: &'static str) -> Column {
        Column {
            is_right: false,
            cut: Cut::Function,
            least: 24,
            ..Column::right(key, key)
        }
    }

    /// Text: cut at its end.
    pub const fn text(key: &'static str) -> Column {
        Column {
            is_right: false,
            cut: Cut::End,
            least: 16,
            ..Column::right(key, key)
        }
    }

    /// The same with another heading.
    pub const fn heading(mut self, heading: &'static str) -> Column {
        self.heading = heading;
        self
    }

    /// The same, left out where there is little room: those of the highest rank first. Columns of
    /// rank 0, as they are without this, are always there.
    pub const fn rank(mut self, rank: u8) -> Column {
        self.rank = rank;
        self
    }

    /// The same, for people only: no part of JSON and CSV.
    pub const fn only_text(mut self) -> Column {
        self.for_programs = false;
        self
    }

    /// The same, for JSON and CSV only.
    pub const fn only_programs(mut self) -> Column {
        self.for_people = false;
        self
    }

    /// The same, cut to no fewer characters than this.
    pub const fn least(mut self, least: usize) -> Column {
        self.least = least;
        self
    }
}

/// Rows under columns.
#[derive(Clone, Debug)]
pub struct Table {
    title: String,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// Rows that there are besides those that it holds, in a table that was limited before.
    beyond: u64,
}

impl Table {
    /// A table without rows. The title may be empty.
    pub fn new(title: impl Into<String>, columns: impl Into<Vec<Column>>) -> Table {
        Table {
            title: title.into(),
            columns: columns.into(),
            rows: Vec::new(),
            beyond: 0,
        }
    }

    /// Adds a row, with a cell for each column: what is missing is none.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let mut cells = cells.into();
        cells.resize(self.columns.len(), Cell::None);
        self.rows.push(cells);
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// There are so many rows more that were not added.
    pub fn beyond(&mut self, rows: u64) {
        self.beyond = rows;
    }

    /// The rows as objects, for a part of a larger JSON object.
    pub fn objects(&self, limit: usize) -> Objects<'_> {
        Objects { table: self, limit }
    }

    /// Prints it for people, at most `limit` rows. Without a width, nothing is cut.
    pub fn print(
        &self,
        out: &mut impl Write,
        limit: usize,
        width: Option<usize>,
    ) -> io::Result<()> {
        if !self.title.is_empty() {
            writeln!(out, "{TITLE}{}{TITLE:#}", self.title)?;
        }
        let rows = self.rows.get(..limit).unwrap_or(&self.rows);
        if rows.is_empty() && self.rows.is_empty() {
            return writeln!(out, "{INDENT}none");
        }
        let shown: Vec<Vec<Cow<'_, str>>> = rows
            .iter()
            .map(|row| row.iter().map(Cell::shown).collect())
            .collect();
        let widths = self.fit(&shown, width);
        let columns = self.columns.iter().zip(&widths);
        let dropped = columns
            .filter(|(column, width)| column.for_people && width.is_none())
            .count();
        let headings = self
            .columns
            .iter()
            .map(|column| Cow::Borrowed(column.heading));
        write!(out, "{INDENT}{HEADING}")?;
        self.line(out, &widths, &headings.collect::<Vec<_>>())?;
        writeln!(out, "{HEADING:#}")?;
        for row in &shown {
            write!(out, "{INDENT}")?;
            self.line(out, &widths, row)?;
            writeln!(out)?;
        }
        let hidden = (self.rows.len() as u64)
            .saturating_sub(rows.len() as u64)
            .saturating_add(self.beyond);
        let plural = |n: u64, what| format!("{n} more {what}{}", if n == 1 { "" } else { "s" });
        let note = match (hidden, dropped as u64) {
            (0, 0) => return Ok(()),
            (rows, 0) => format!("{} with --all", plural(rows, "row")),
            (0, columns) => {
                let columns = plural(columns, "column");
                format!("{columns} in a wider terminal or with --csv")
            }
            (rows, columns) => format!(
                "{} with --all, {} in a wider terminal or with --csv",
                plural(rows, "row"),
                plural(columns, "column")
            ),
        };
        writeln!(out, "{INDENT}{FAINT}({note}){FAINT:#}")
    }

    /// The width of each column; none for those that have no room.
    fn fit(&self, rows: &[Vec<Cow<'_, str>>], width: Option<usize>) -> Vec<Option<usize>> {
        let mut widths: Vec<Option<usize>> = (self.columns.iter().enumerate())
            .map(|(n, column)| {
                if !column.for_people {
                    return None;
                }
                let cells = rows
                    .iter()
                    .filter_map(|row| row.get(n))
                    .map(|cell| cell.width());
                cells.chain([column.heading.width()]).max()
            })
            .collect();
        let Some(room) = width else { return widths };
        let room = room.saturating_sub(INDENT.len());
        loop {
            let there = widths.iter().flatten();
            let gaps = there.clone().count().saturating_sub(1) * GAP.len();
            let mut excess = (there.sum::<usize>() + gaps).saturating_sub(room);
            if excess == 0 {
                return widths;
            }
            // What can be gained by cutting, the widest first.
            let least = |n: usize, width: usize| match self.columns.get(n) {
                Some(column) if column.cut != Cut::Never => {
                    width.saturating_sub(column.least.max(column.heading.width()))
                }
                _ => 0,
            };
            let slack = |widths: &[Option<usize>]| -> Vec<usize> {
                let each = widths.iter().enumerate();
                each.map(|(n, width)| width.map_or(0, |width| least(n, width)))
                    .collect()
            };
            if slack(&widths).iter().sum::<usize>() >= excess {
                while excess > 0 {
                    let slack = slack(&widths);
                    let widest = (widths.iter().zip(&slack).enumerate())
                        .filter(|(_, (_, slack))| **slack > 0)
                        .max_by_key(|(_, (width, _))| width.unwrap_or(0));
                    let Some((widest, _)) = widest else { break };
                    if let Some(Some(width)) = widths.get_mut(widest) {
                        *width -= 1;
                    }
                    excess -= 1;
                }
                return widths;
            }
            let ranked = (self.columns.iter().zip(&widths).enumerate())
                .filter(|(_, (column, width))| column.rank > 0 && width.is_some())
                .max_by_key(|(n, (column, _))| (column.rank, *n));
            let Some((n, _)) = ranked else {
                // As narrow as it can be.
                for (n, width) in widths.iter_mut().enumerate() {
                    *width = width.map(|width| width - least(n, width));
                }
                return widths;
            };
            if let Some(width) = widths.get_mut(n) {
                *width = None;
            }
        }
    }

    fn line(
        &self,
        out: &mut impl Write,
        widths: &[Option<usize>],
        cells: &[Cow<'_, str>],
    ) -> io::Result<()> {
        // No spaces at the end of a line.
        let (mut gap, mut pending) = (0, 0);
        for ((column, width), cell) in self.columns.iter().zip(widths).zip(cells) {
            let Some(width) = *width else { continue };
            let cell = fitted(cell, width, column.cut);
            let missing = width.saturating_sub(cell.width());
            pending += gap;
            gap = GAP.len();
            if column.is_right {
                pending += missing;
            }
            if !cell.is_empty() {
                write!(out, "{:pending$}{cell}", "")?;
                pending = 0;
            }
            if !column.is_right {
                pending += missing;
            }
        }
        Ok(())
    }
}

/// See [`Table::objects`].
pub struct Objects<'a> {
    table: &'a Table,
    limit: usize,
}

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(None)?;
        for cells in self.table.rows.iter().take(self.limit) {
            list.serialize_element(&Object {
                file: None,
                columns: &self.table.columns,
                cells,
            })?;
        }
        list.end()
    }
}

/// A row as a JSON object.
struct Object<'a> {
    file: Option<Option<&'a str>>,
    columns: &'a [Column],
    cells: &'a [Cell],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        if let Some(file) = &self.file {
            map.serialize_entry("file", file)?;
        }
        for (column, cell) in self.columns.iter().zip(self.cells) {
            if column.for_programs {
                map.serialize_entry(column.key, cell)?;
            }
        }
        map.end()
    }
}

/// Prints the tables of one or several traces to standard output, in the form asked for.
pub struct Printer<W: Write = Box<dyn Write>> {
    options: Options,
    width: Option<usize>,
    out: W,
    /// Whether each trace's name is to be printed before what is said of it.
    names: bool,
    /// What is printed is of no single trace.
    is_together: bool,
    is_first: bool,
    has_header: bool,
}

/// A printer to the standard output; for several traces, with their names.
pub fn printer(options: &Options, several: bool) -> Printer {
    Printer {
        options: options.clone(),
        width: terminal_width(),
        // Programs get every character, also those that a terminal would obey.
        out: match options.is_text() {
            true => Box::new(output::styled()),
            false => Box::new(io::BufWriter::new(io::stdout().lock())),
        },
        names: several,
        is_together: false,
        is_first: true,
        has_header: false,
    }
}

impl<W: Write> Printer<W> {
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Where else something is to be written.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// As text, an empty line between what is printed, and the trace's name if there are several;
    /// to be called before each trace's first table.
    pub fn begin(&mut self, file: &Path) -> Result {
        if !self.options.is_text() {
            return Ok(());
        }
        self.gap()?;
        if self.names {
            writeln!(self.out, "{TITLE}{}{TITLE:#}", output::name(file))?;
        }
        Ok(())
    }

    /// The same, before what is said of so many traces together.
    pub fn begin_together(&mut self, traces: usize) -> Result {
        self.is_together = true;
        if self.options.is_text() {
            self.gap()?;
            let title = match traces {
                1 => "1 trace".to_owned(),
                traces => format!("{traces} traces together"),
            };
            writeln!(self.out, "{TITLE}{title}{TITLE:#}")?;
        }
        Ok(())
    }

    /// Whether what is printed is of several traces together.
    pub fn is_together(&self) -> bool {
        self.is_together
    }

    /// An empty line, unless nothing was printed.
    pub fn gap(&mut self) -> Result {
        if !self.is_first && self.options.is_text() {
            writeln!(self.out)?;
        }
        self.is_first = false;
        Ok(())
    }

    /// Prints a table. As CSV, all tables of a command must have the same columns.
    pub fn table(&mut self, file: &Path, table: &Table) -> Result {
        let limit = self.options.limit();
        if self.options.json {
            let file = file.to_string_lossy();
            for cells in table.rows.iter().take(limit) {
                let object = Object {
                    file: Some((!self.is_together).then_some(&*file)),
                    columns: &table.columns,
                    cells,
                };
                output::json_line(&mut self.out, &object)?;
            }
            return Ok(());
        }
        if self.options.csv {
            return Ok(self.csv(file, table, limit)?);
        }
        Ok(table.print(&mut self.out, limit, self.width)?)
    }

    fn csv(&mut self, file: &Path, table: &Table, limit: usize) -> io::Result<()> {
        let file = file.to_string_lossy();
        let mut csv = csv::Writer::from_writer(&mut self.out);
        if !self.has_header {
            let keys = table.columns.iter().filter(|column| column.for_programs);
            let keys = keys.map(|column| column.key);
            csv.write_record(["file"].into_iter().chain(keys))?;
            self.has_header = true;
        }
        for row in table.rows.iter().take(limit) {
            csv.write_field(&*file)?;
            for (column, cell) in table.columns.iter().zip(row) {
                if column.for_programs {
                    csv.write_field(&*cell.plain())?;
                }
            }
            csv.write_record(None::<&[u8]>)?;
        }
        csv.flush()
    }

    /// Writes out what has gathered.
    pub fn flush(&mut self) -> Result {
        Ok(self.out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::tail;
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(
            "Goroutines",
            [
                Column::name("function"),
                Column::count("count"),
                Column::number("running_ns", "running").rank(1),
                Column::text("reason").rank(2),
            ],
        );
        table.row([
            Cell::text("example.org/shop/internal/checkout.(*Server).handleCheckout.func1"),
            Cell::Count(12),
            Cell::Duration(1_234_567),
            Cell::text("chan receive\x1b[31m"),
        ]);
        table.row([Cell::text("main.worker"), Cell::Count(3)]);
        table
    }

    fn printed(limit: usize, width: Option<usize>) -> String {
        let mut out = Vec::new();
        table().print(&mut out, limit, width).unwrap();
        anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string()
    }

    #[test]
    fn rows_fit_the_width() {
        let wide = printed(9, None);
        assert!(wide.contains("example.org/shop/internal/checkout.(*Server)"));
        assert!(wide.contains("chan receive\\x1b[31m\n"), "{wide}");
        assert_eq!(
            printed(9, Some(70)),
            "Goroutines\n\
             \x20 function                        count  running  reason\n\
             \x20 …*Server).handleCheckout.func1     12  1.235ms  chan receive\\x1b[31m\n\
             \x20 main.worker                         3        -  -\n"
        );
        for width in 20..120 {
            let text = printed(9, Some(width));
            let widest = text.lines().filter(|line| !line.contains("more"));
            let widest = widest.map(|line| line.width()).max();
            // The columns that are always there, at their least.
            assert!(
                widest <= Some(width.max(2 + 24 + 2 + 5)),
                "{width}:\n{text}"
            );
        }
        assert!(
            printed(9, Some(40)).contains("(2 more columns in a wider terminal or with --csv)")
        );
        assert!(printed(1, None).ends_with("  (1 more row with --all)\n"));
    }

    #[test]
    fn programs_get_numbers() {
        let table = table();
        let json = serde_json::to_string(&table.objects(1)).unwrap();
        let reason = "chan receive\\u001b[31m";
        assert!(
            json.ends_with(&format!(
                "\"count\":12,\"running_ns\":1234567,\"reason\":\"{reason}\"}}]"
            )),
            "{json}"
        );
        let mut printer = Printer {
            options: Options {
                csv: true,
                ..Options::default()
            },
            width: Some(10),
            out: Vec::new(),
            names: false,
            is_together: false,
            is_first: true,
            has_header: false,
        };
        for _ in 0..2 {
            printer.table(Path::new("a,b"), &table).unwrap();
        }
        let text = String::from_utf8(printer.out).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("file,function,count,running_ns,reason"));
        assert_eq!(lines.nth(1), Some("\"a,b\",main.worker,3,,"));
        assert_eq!(text.lines().count(), 5);
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(duration(-1_500), "-1.500\u{b5}s");
        assert_eq!(duration(i64::MIN), "-9223372036.855s");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
        assert_eq!(share(0.1234), "12.3 %");
        assert_eq!(head("abcdef", 3), "ab\u{2026}");
        assert_eq!(tail("abcdef", 3), "\u{2026}ef");
        assert_eq!(function("G1 a/b.main", 7), "G1 \u{2026}ain");
        assert_eq!(function("G1 a/b.main", 10), "G1 b.main");
    }
}
