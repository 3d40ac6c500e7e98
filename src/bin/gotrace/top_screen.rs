//! The screen of `gotrace top`: on a terminal, and as text.

use super::output::Result;
use super::signals;
use super::table::{bytes, duration, figure_width, function, goroutine, printable, share};
use super::top::{Function, Message, View};
use ratatui::Terminal;
use ratatui::backend::{CrosstermBackend, TestBackend};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::{execute, terminal};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Sparkline, Table};
use std::collections::VecDeque;
use std::io::{self, Stdout};
use std::sync::mpsc::Sender;

/// How many generations the small curves go back.
const PAST: usize = 300;
/// The lines of a screen where there is no terminal.
const LINES: u16 = 30;

/// What was shown before.
#[derive(Default)]
pub struct History {
    busy: VecDeque<u64>,
    waits: VecDeque<u64>,
}

impl History {
    pub fn add(&mut self, view: &View) {
        self.busy.push_back((view.busy * 1000.0) as u64);
        self.waits
            .push_back(view.sched_p99_ns.map_or(0, i64::unsigned_abs));
        for past in [&mut self.busy, &mut self.waits] {
            while past.len() > PAST {
                past.pop_front();
            }
        }
    }
}

/// What the functions are sorted by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Running,
    Runnable,
    Waiting,
    Number,
}

impl Order {
    const fn next(self) -> Order {
        match self {
            Order::Running => Order::Runnable,
            Order::Runnable => Order::Waiting,
            Order::Waiting => Order::Number,
            Order::Number => Order::Running,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Order::Running => "running",
            Order::Runnable => "runnable",
            Order::Waiting => "waiting",
            Order::Number => "number",
        }
    }

    fn sort(self, functions: &mut [Function]) {
        functions.sort_by(|a, b| match self {
            Order::Running => b.running.total_cmp(&a.running),
            Order::Runnable => b.runnable_ns.cmp(&a.runnable_ns),
            Order::Waiting => b.waiting_ns.cmp(&a.waiting_ns),
            Order::Number => b.alive.cmp(&a.alive),
        });
    }
}

/// What is on the screen.
struct Shown<'a> {
    name: &'a str,
    view: Option<&'a View>,
    history: &'a History,
    order: Order,
    /// What is said of the trace itself.
    state: &'static str,
    keys: &'static str,
}

/// A terminal that belongs to this.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    name: String,
    view: Option<View>,
    /// What came while it was paused.
    newer: Option<View>,
    history: History,
    order: Order,
    is_paused: bool,
    has_ended: bool,
}

/// Gives the terminal back, whatever happens.
fn restore() {
    let _ = terminal::disable_raw_mode();
    let _ = execute!(io::stdout(), terminal::LeaveAlternateScreen);
    let _ = execute!(io::stdout(), ratatui::crossterm::cursor::Show);
}

impl Screen {
    /// Takes the terminal, and sends what is typed.
    pub fn open(name: String, sender: &Sender<Message>) -> Result<Screen> {
        terminal::enable_raw_mode()?;
        let taken = execute!(io::stdout(), terminal::EnterAlternateScreen);
        let terminal = taken.and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        let terminal = match terminal {
            Ok(terminal) => terminal,
            Err(error) => {
                restore();
                return Err(error.into());
            }
        };
        let mut screen = Screen {
            terminal,
            name,
            view: None,
            newer: None,
            history: History::default(),
            order: Order::Running,
            is_paused: false,
            has_ended: false,
        };
        let sender = sender.clone();
        signals::spawn("keys", move || keys(&sender))?;
        screen.draw()?;
        Ok(screen)
    }

    pub fn show(&mut self, view: View) -> Result {
        self.history.add(&view);
        if self.is_paused {
            self.newer = Some(view);
            return Ok(());
        }
        self.view = Some(view);
        self.draw()
    }

    /// The trace has ended.
    pub fn end(&mut self) -> Result {
        self.has_ended = true;
        self.draw()
    }

    pub fn key(&mut self, key: char) -> Result {
        match key {
            's' => self.order = self.order.next(),
            'p' | ' ' => {
                self.is_paused = !self.is_paused;
                if !self.is_paused {
                    self.view = self.newer.take().or(self.view.take());
                }
            }
            _ => return Ok(()),
        }
        self.draw()
    }

    pub fn draw(&mut self) -> Result {
        let shown = Shown {
            name: &self.name,
            view: self.view.as_ref(),
            history: &self.history,
            order: self.order,
            state: match (self.has_ended, self.is_paused) {
                (true, _) => "ended",
                (false, true) => "paused",
                (false, false) if self.view.is_none() => "waiting for the first generation",
                (false, false) => "",
            },
            keys: "q leave  p pause  s sort",
        };
        self.terminal.draw(|frame| draw(frame, &shown))?;
        Ok(())
    }

    /// Gives the terminal back; gives what was shown last, to stay as text.
    pub fn close(mut self) -> Option<String> {
        let view = self.newer.take().or(self.view.take())?;
        let history = std::mem::take(&mut self.history);
        let name = std::mem::take(&mut self.name);
        drop(self);
        Some(text(&name, &view, &history))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Sends what is typed, until nobody wants to know.
fn keys(sender: &Sender<Message>) {
    loop {
        let message = match event::read() {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => match key.code {
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    Message::Key('q')
                }
                KeyCode::Esc => Message::Key('q'),
                KeyCode::Char(key) => Message::Key(key),
                _ => continue,
            },
            Ok(Event::Resize(..)) => Message::Resized,
            Ok(_) => continue,
            // There is nothing to type on; signals still come.
            Err(_) => return,
        };
        if sender.send(message).is_err() {
            return;
        }
    }
}

/// The screen as text, without what only a terminal can show.
pub fn text(name: &str, view: &View, history: &History) -> String {
    let width = u16::try_from(figure_width()).unwrap_or(u16::MAX).max(20);
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, LINES));
    let shown = Shown {
        name,
        view: Some(view),
        history,
        order: Order::Running,
        state: "",
        keys: "",
    };
    let Ok(_) = terminal.draw(|frame| draw(frame, &shown));
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in buffer.content().chunks(usize::from(width)) {
        let line: String = row.iter().map(|cell| cell.symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let kept = text.trim_end().len();
    text.truncate(kept);
    text.push_str("\n\n");
    text
}

fn draw(frame: &mut ratatui::Frame<'_>, shown: &Shown<'_>) {
    let [title, head, curves, lists, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(6),
        Constraint::Length(3),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let name = printable(shown.name).into_owned();
    let mut spans = vec![Span::from(format!("gotrace top  {name}")).bold()];
    if !shown.state.is_empty() {
        spans.push(Span::from(format!("  {}", shown.state)).fg(Color::Yellow));
    }
    frame.render_widget(Line::from(spans), title);
    frame.render_widget(Line::from(shown.keys).dim(), foot);
    let Some(view) = shown.view else { return };
    frame.render_widget(Paragraph::new(facts(view)), head);
    draw_curves(frame, shown.history, curves);
    draw_lists(frame, shown, view, lists);
}

fn facts(view: &View) -> Vec<Line<'static>> {
    let row = |name: &'static str, text: String| {
        Line::from(vec![
            Span::from(format!("{name:<12}")).dim(),
            Span::from(text),
        ])
    };
    let time = |nanoseconds: Option<i64>| nanoseconds.map_or("-".to_owned(), duration);
    let lost = match view.lost_generations {
        0 => String::new(),
        lost => format!(", {lost} lost: too fast for this"),
    };
    let heap = |heap: Option<u64>| heap.map_or("?".to_owned(), bytes);
    vec![
        row(
            "generation",
            format!("{}, {:.3} s{lost}", view.generation, view.seconds),
        ),
        row(
            "goroutines",
            format!(
                "{}: {} running, {} runnable, {} waiting, {} in calls; +{} -{}",
                view.goroutines,
                view.running,
                view.runnable,
                view.waiting,
                view.in_syscalls,
                view.created,
                view.ended
            ),
        ),
        row(
            "processors",
            format!(
                "{}, {} busy: program {:.1}, GC {:.1}, runtime {:.1}, calls {:.1} %",
                view.procs.map_or("?".to_owned(), |n| n.to_string()),
                share(view.busy),
                view.busy_program * 100.0,
                view.busy_gc * 100.0,
                view.busy_runtime * 100.0,
                view.busy_syscalls * 100.0
            ),
        ),
        row(
            "waited",
            format!(
                "for them: p50 {}, p99 {}, longest {}, {} times",
                time(view.sched_p50_ns),
                time(view.sched_p99_ns),
                time(view.sched_longest_ns),
                view.sched_count
            ),
        ),
        row(
            "GC",
            format!(
                "{} collections, marking {}; stopped {} times, {} at most",
                view.gc_collections,
                share(view.gc_marking),
                view.stw_count,
                duration(view.stw_longest_ns)
            ),
        ),
        row(
            "heap",
            format!(
                "{}, goal {}; {} system calls",
                heap(view.heap_bytes),
                heap(view.heap_goal_bytes),
                view.syscalls
            ),
        ),
    ]
}

fn draw_curves(frame: &mut ratatui::Frame<'_>, history: &History, area: Rect) {
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(area);
    for (title, values, area, color) in [
        ("busy", &history.busy, left, Color::Green),
        (
            "p99 of waits for a processor",
            &history.waits,
            right,
            Color::Yellow,
        ),
    ] {
        let block = Block::new().borders(Borders::TOP).title(title);
        let room = usize::from(area.width);
        let skip = values.len().saturating_sub(room);
        let data: Vec<u64> = values.iter().skip(skip).copied().collect();
        let most = if title == "busy" {
            1000
        } else {
            data.iter().copied().max().unwrap_or(1)
        };
        let curve = Sparkline::default()
            .block(block)
            .data(data)
            .max(most.max(1))
            .style(Style::new().fg(color));
        frame.render_widget(curve, area);
    }
}

fn draw_lists(frame: &mut ratatui::Frame<'_>, shown: &Shown<'_>, view: &View, area: Rect) {
    let tasks = u16::try_from(view.tasks.len()).unwrap_or(u16::MAX).min(4);
    let task_lines = if tasks > 0 {
        tasks.saturating_add(2)
    } else {
        0
    };
    let rest = area.height.saturating_sub(task_lines);
    let waits = (rest / 2).min(
        u16::try_from(view.waits.len())
            .unwrap_or(u16::MAX)
            .saturating_add(2),
    );
    let [top, middle, bottom] = Layout::vertical([
        Constraint::Min(3),
        Constraint::Length(task_lines),
        Constraint::Length(waits),
    ])
    .areas(area);
    let width = usize::from(area.width);
    let heading = Style::new().underlined();
    let mut functions = view.functions.clone();
    shown.order.sort(&mut functions);
    let name_room = width.saturating_sub(9 + 9 + 11 + 11 + 4).max(12);
    let rows = functions.iter().map(|f| {
        Row::new([
            named(&f.function, name_room),
            format!("{:>8}", f.alive),
            format!("{:>8.3}", f.running),
            format!("{:>10}", duration(f.runnable_ns)),
            format!("{:>10}", duration(f.waiting_ns)),
        ])
    });
    let title = format!("goroutines by function, by {}", shown.order.name());
    let lengths = [
        Constraint::Min(12),
        Constraint::Length(8),
        Constraint::Length(8),
    ];
    let lengths = lengths.into_iter().chain([Constraint::Length(10); 2]);
    let header = [
        "function",
        "  number",
        " running",
        "  runnable",
        "   waiting",
    ];
    frame.render_widget(
        Table::new(rows, lengths)
            .header(Row::new(header).style(heading))
            .block(Block::new().borders(Borders::TOP).title(title)),
        top,
    );
    let time = |time: Option<i64>| format!("{:>10}", time.map_or("-".to_owned(), duration));
    let rows = view.tasks.iter().map(|task| {
        Row::new([
            printable(&task.ty).into_owned(),
            format!("{:>7}", task.ended),
            format!("{:>6}", task.open),
            time(task.p50_ns),
            time(task.p99_ns),
            time(task.longest_ns),
        ])
    });
    let lengths = [
        Constraint::Min(12),
        Constraint::Length(7),
        Constraint::Length(6),
    ];
    let lengths = lengths.into_iter().chain([Constraint::Length(10); 3]);
    let header = [
        "task",
        "  ended",
        "  open",
        "       p50",
        "       p99",
        "   longest",
    ];
    if tasks > 0 {
        frame.render_widget(
            Table::new(rows, lengths)
                .header(Row::new(header).style(heading))
                .block(Block::new().borders(Borders::TOP).title("tasks")),
            middle,
        );
    }
    let room = width.saturating_sub(10 + 14 + 3) / 2;
    let rows = view.waits.iter().map(|wait| {
        Row::new([
            format!("{:>10}", duration(wait.ns)),
            named(&goroutine(wait.goroutine, &wait.function), room),
            printable(&wait.reason).into_owned(),
            named(&wait.place, room),
        ])
    });
    let room = u16::try_from(room).unwrap_or(u16::MAX);
    let lengths = [
        Constraint::Length(10),
        Constraint::Length(room),
        Constraint::Length(14),
        Constraint::Length(room),
    ];
    frame.render_widget(
        Table::new(rows, lengths)
            .header(Row::new(["      time", "goroutine", "waited for", "at"]).style(heading))
            .block(
                Block::new()
                    .borders(Borders::TOP)
                    .title("the longest waits that ended"),
            ),
        bottom,
    );
}

/// A name that fits; one that is not known is a dash.
fn named(name: &str, room: usize) -> String {
    match name {
        "" => "-".to_owned(),
        name => function(name, room),
    }
}
