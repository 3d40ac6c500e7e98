//! Traces made to measure: what happens, told by the nanosecond.

use gotrace::wire;
use std::fmt::Write as _;

/// A program with so many procs, each on the thread of its number. One generation, of Go 1.22.
pub struct World {
    now: u64,
    threads: Vec<Thread>,
    strings: Vec<String>,
    stacks: Vec<Vec<usize>>,
    /// Sequence numbers.
    goroutines: Vec<u64>,
    procs: Vec<u64>,
}

struct Thread {
    text: String,
    last: u64,
    events: usize,
}

impl World {
    /// All procs run; the first runs goroutine 1, of `main.main`.
    pub fn new(procs: usize) -> World {
        let mut world = World {
            now: 1_000,
            threads: Vec::new(),
            strings: Vec::new(),
            stacks: Vec::new(),
            goroutines: vec![0, 0],
            procs: vec![0; procs],
        };
        for m in 0..procs {
            world.threads.push(Thread {
                text: String::new(),
                last: 0,
                events: 0,
            });
            world.event(m, format_args!("ProcStatus dt=? p={m} pstatus=1"));
        }
        world.event(0, format_args!("GoStatus dt=? g=1 m=0 gstatus=2"));
        world.event(
            0,
            format_args!("ProcsChange dt=? procs_value={procs} stack=0"),
        );
        world
    }

    /// Time passes.
    pub fn wait(&mut self, nanoseconds: u64) -> &mut World {
        self.now += nanoseconds;
        self
    }

    /// Something happens on a thread, a nanosecond after what was before.
    fn event(&mut self, m: usize, text: std::fmt::Arguments<'_>) {
        self.now += 1;
        let thread = &mut self.threads[m];
        // A batch has at most 64 KiB.
        if thread.events.is_multiple_of(2_000) {
            writeln!(thread.text, "EventBatch gen=1 m={m} time={}", self.now).unwrap();
            thread.last = self.now;
        }
        thread.events += 1;
        let dt = format!("dt={}", self.now - thread.last);
        thread.last = self.now;
        let line = text.to_string().replace("dt=?", &dt);
        writeln!(thread.text, "{line}").unwrap();
    }

    fn string(&mut self, text: &str) -> usize {
        let at = self.strings.iter().position(|known| known == text);
        at.unwrap_or_else(|| {
            self.strings.push(text.to_owned());
            self.strings.len() - 1
        }) + 1
    }

    /// A stack of these functions, the innermost first.
    fn stack(&mut self, functions: &[&str]) -> usize {
        let frames: Vec<usize> = functions.iter().map(|name| self.string(name)).collect();
        let at = self.stacks.iter().position(|known| *known == frames);
        at.unwrap_or_else(|| {
            self.stacks.push(frames);
            self.stacks.len() - 1
        }) + 1
    }

    /// What runs on a thread creates a goroutine of this function.
    pub fn create(&mut self, m: usize, function: &str) -> usize {
        let stack = self.stack(&[function]);
        let g = self.goroutines.len();
        self.goroutines.push(0);
        self.event(
            m,
            format_args!("GoCreate dt=? new_g={g} new_stack={stack} stack=0"),
        );
        g
    }

    pub fn start(&mut self, m: usize, g: usize) {
        self.goroutines[g] += 1;
        let seq = self.goroutines[g];
        self.event(m, format_args!("GoStart dt=? g={g} g_seq={seq}"));
    }

    /// What runs makes way.
    pub fn stop(&mut self, m: usize, functions: &[&str]) {
        let (reason, stack) = (self.string("preempted"), self.stack(functions));
        self.event(
            m,
            format_args!("GoStop dt=? reason_string={reason} stack={stack}"),
        );
    }

    pub fn block(&mut self, m: usize, reason: &str, functions: &[&str]) {
        let (reason, stack) = (self.string(reason), self.stack(functions));
        self.event(
            m,
            format_args!("GoBlock dt=? reason_string={reason} stack={stack}"),
        );
    }

    pub fn unblock(&mut self, m: usize, g: usize) {
        self.goroutines[g] += 1;
        let seq = self.goroutines[g];
        self.event(m, format_args!("GoUnblock dt=? g={g} g_seq={seq} stack=0"));
    }

    pub fn stop_proc(&mut self, m: usize) {
        self.event(m, format_args!("ProcStop dt=?"));
    }

    pub fn start_proc(&mut self, m: usize) {
        self.procs[m] += 1;
        let seq = self.procs[m];
        self.event(m, format_args!("ProcStart dt=? p={m} p_seq={seq}"));
    }

    pub fn stop_the_world(&mut self, m: usize, reason: &str) {
        let reason = self.string(reason);
        self.event(
            m,
            format_args!("STWBegin dt=? kind_string={reason} stack=0"),
        );
    }

    pub fn start_the_world(&mut self, m: usize) {
        self.event(m, format_args!("STWEnd dt=?"));
    }

    /// A system call that loses its proc to another thread, which puts it back.
    pub fn lose_syscall(&mut self, m: usize, thief: usize, functions: &[&str], time: u64) {
        self.procs[m] += 1;
        let (seq, stack) = (self.procs[m], self.stack(functions));
        self.event(
            m,
            format_args!("GoSyscallBegin dt=? p_seq={seq} stack={stack}"),
        );
        self.procs[m] += 1;
        let seq = self.procs[m];
        self.event(
            thief,
            format_args!("ProcSteal dt=? p={m} p_seq={seq} m={m}"),
        );
        self.wait(time);
        self.event(m, format_args!("GoSyscallEndBlocked dt=?"));
        self.start_proc(m);
    }

    pub fn begin_task(&mut self, m: usize, id: u64, parent: u64, ty: &str) {
        let ty = self.string(ty);
        self.event(
            m,
            format_args!(
                "UserTaskBegin dt=? task={id} parent_task={parent} name_string={ty} stack=0"
            ),
        );
    }

    pub fn end_task(&mut self, m: usize, id: u64) {
        self.event(m, format_args!("UserTaskEnd dt=? task={id} stack=0"));
    }

    /// The trace.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = String::from("Trace Go1.22\n");
        let head = format!("EventBatch gen=1 m={} time=0\n", u64::MAX);
        writeln!(text, "{head}Frequency freq=1000000000\n{head}Strings").unwrap();
        for (at, string) in self.strings.iter().enumerate() {
            writeln!(text, "String id={}\n\tdata={string:?}", at + 1).unwrap();
        }
        writeln!(text, "{head}Stacks").unwrap();
        for (at, frames) in self.stacks.iter().enumerate() {
            writeln!(text, "Stack id={} nframes={}", at + 1, frames.len()).unwrap();
            for (line, func) in frames.iter().enumerate() {
                let pc = at * 100 + line + 1;
                writeln!(text, "\tpc={pc} func={func} file={func} line={}", line + 1).unwrap();
            }
        }
        for thread in &self.threads {
            text += &thread.text;
        }
        wire::assemble(&text, None).unwrap_or_else(|error| panic!("{error} of\n{text}"))
    }
}
