//! What single calls write, in Go's text form.

use super::judge::{judge, suffixes};
use gotrace::emit::{Emitter, EmitterConfig, Go, Metric, Pause};
use gotrace::generation::GenerationTables;
use gotrace::ids::{StackId, StringId};
use gotrace::time::{Timestamp, WallTime};
use gotrace::wire::{Arg, Chunk, Contents, Record, Role};
use gotrace::{Growing, Trace};

/// The events of each generation, as Go's text form has them, without their times, and with texts and
/// names in the place of ids.
fn events(trace: &[u8]) -> Vec<Vec<String>> {
    let trace = Trace::new(trace).unwrap();
    let generations = trace.generations().map(Result::unwrap);
    let one = |generation: gotrace::generation::Generation| {
        let tables = GenerationTables::<Growing>::load(&trace, &generation).unwrap();
        let name = |arg: Arg, n: u64| match arg.role {
            Role::String if n > 0 => tables.string(StringId::new(n)).unwrap().to_string(),
            Role::NewStack | Role::Stack if n > 0 => {
                let stack = tables.stack(StackId::new(n).unwrap()).unwrap();
                stack.frames().map(|f| f.func.to_string()).collect()
            }
            _ => n.to_string(),
        };
        let mut events = Vec::new();
        for chunk in trace.batches().map(Result::unwrap) {
            if let Chunk::Batch(batch) = chunk
                && batch.head.generation == generation.number
                && batch.contents() == Contents::Events
            {
                for record in batch.records().map(Result::unwrap) {
                    let Record::Event(event) = record else {
                        panic!("{record:?} among events");
                    };
                    let args = event.named_args();
                    let args = args.map(|(arg, n)| format!(" {}={}", arg.name, name(arg, n)));
                    events.push(format!("{}{}", event.ty, args.collect::<String>()));
                }
            }
        }
        events
    };
    generations.map(one).collect()
}

struct World {
    emitter: Emitter<Growing, Vec<u8>>,
    trace: Vec<u8>,
    now: u64,
}

impl World {
    fn new(memory: usize) -> World {
        let mut emitter = Emitter::new(vec![0; memory]);
        emitter.start(Timestamp(0), EmitterConfig::new(1_000_000_000));
        World {
            emitter,
            trace: Vec::new(),
            now: 0,
        }
    }

    fn now(&mut self) -> Timestamp {
        self.now += 10;
        Timestamp(self.now)
    }

    fn create(&mut self, name: &'static str) -> Go {
        let now = self.now();
        self.emitter.create(now, 0, name).unwrap()
    }

    fn ready(&mut self, go: Go) {
        let now = self.now();
        self.emitter.ready(now, 0, go);
    }

    fn run(&mut self, go: Go) {
        let now = self.now();
        self.emitter.run(now, 0, go);
    }

    fn pause(&mut self, why: Pause) {
        let now = self.now();
        self.emitter.pause(now, 0, why);
    }

    fn advance(&mut self) {
        let now = self.now();
        assert!(
            self.emitter
                .advance(now, WallTime::new(0, 0), &mut self.trace)
        );
    }

    /// The events, of a trace that everybody accepts.
    fn events(&self) -> Vec<Vec<String>> {
        judge(&self.trace).unwrap();
        events(&self.trace)
    }
}

#[test]
fn an_interrupt_preempts_a_task() {
    let mut world = World::new(4096);
    let task = world.create("task");
    let interrupt = world.create("TIM2");
    world.run(task);
    world.run(interrupt);
    // It woke the task, which runs already.
    world.ready(task);
    world.pause(Pause::Block("system goroutine wait"));
    world.pause(Pause::Block("sleep"));
    world.pause(Pause::Block("nothing runs"));
    world.advance();
    assert_eq!(
        world.events()[0],
        [
            "ProcStatus p=0 pstatus=1",
            "GoCreateBlocked new_g=1 new_stack=task stack=0",
            "GoCreateBlocked new_g=2 new_stack=TIM2 stack=0",
            "GoUnblock g=1 g_seq=1 stack=0",
            "GoStart g=1 g_seq=2",
            "GoStop reason_string=preempted stack=0",
            "GoUnblock g=2 g_seq=1 stack=0",
            "GoStart g=2 g_seq=2",
            "GoBlock reason_string=system goroutine wait stack=0",
            "GoStart g=1 g_seq=3",
            "GoBlock reason_string=sleep stack=0",
        ]
    );
}

#[test]
fn a_task_woken_while_it_runs_yields() {
    let mut world = World::new(4096);
    let task = world.create("task");
    world.run(task);
    world.ready(task);
    world.pause(Pause::Block("sleep"));
    world.run(task);
    world.pause(Pause::End);
    // Over is over.
    world.ready(task);
    world.run(task);
    world.advance();
    assert_eq!(
        world.events()[0][2..],
        [
            "GoUnblock g=1 g_seq=1 stack=0",
            "GoStart g=1 g_seq=2",
            "GoStop reason_string=runtime.Gosched stack=0",
            "GoStart g=1 g_seq=3",
            "GoDestroy",
        ]
    );
}

#[test]
fn a_generation_mentions_all_that_are_alive() {
    let mut world = World::new(4096);
    let (a, b, c) = (world.create("a"), world.create("b"), world.create("c"));
    world.ready(b);
    world.run(c);
    world.advance();
    world.advance();
    world.run(a);
    world.advance();
    let events = world.events();
    let statuses = [
        "ProcStatus p=0 pstatus=1",
        "GoStatusStack g=1 m=0 gstatus=4 stack=a",
        "GoStatusStack g=2 m=0 gstatus=1 stack=b",
        "GoStatusStack g=3 m=0 gstatus=2 stack=c",
    ];
    assert_eq!(events[1], statuses);
    assert_eq!(events[2][..4], statuses);
    // Numbers count from the status on.
    assert_eq!(events[2][5], "GoUnblock g=1 g_seq=1 stack=0");
    assert_eq!(suffixes(&world.trace).len(), 3);
}

#[test]
fn what_user_code_says_is_written() {
    let mut world = World::new(4096);
    let task = world.create("task");
    world.run(task);
    let now = world.now();
    let emitter = &mut world.emitter;
    let request = emitter.task_begin(now, 0, None, "request");
    emitter.region_begin(now, 0, request, "read body");
    emitter.log(now, 0, request, "key", "value");
    emitter.log(now, 0, None, "key", "");
    emitter.metric(now, 0, Metric::HeapAlloc, 5000);
    emitter.metric(now, 0, Metric::HeapGoal, 6000);
    emitter.range_begin(now, 0, "interrupts disabled");
    emitter.range_begin(now, 0, "nested");
    emitter.range_end(now, 0);
    emitter.range_end(now, 0);
    emitter.region_end(now, 0);
    emitter.region_end(now, 0);
    emitter.task_end(now, 0, request.unwrap());
    world.advance();
    assert_eq!(
        world.events()[0][4..],
        [
            "UserTaskBegin task=1 parent_task=0 name_string=request stack=0",
            "UserRegionBegin task=1 name_string=read body stack=0",
            "UserLog task=1 key_string=key value_string=value stack=0",
            "UserLog task=0 key_string=key value_string=0 stack=0",
            "HeapAlloc heapalloc_value=5000",
            "HeapGoal heapgoal_value=6000",
            "STWBegin kind_string=interrupts disabled stack=0",
            "STWEnd",
            "UserRegionEnd task=1 name_string=read body stack=0",
            "UserTaskEnd task=1 stack=0",
        ]
    );
    assert_eq!(world.emitter.lost(), Default::default());
}

/// A generation that the sink refuses: the next one begins with what a reader believes, and goes on to
/// what is.
#[test]
fn after_a_lost_generation_the_trace_catches_up() {
    let mut world = World::new(4096);
    let (a, b, over) = (world.create("a"), world.create("b"), world.create("over"));
    world.run(a);
    let now = world.now();
    world.emitter.region_begin(now, 0, None, "outer");
    world.advance();

    world.emitter.region_end(now, 0);
    world.emitter.region_begin(now, 0, None, "other");
    let late = world.create("late");
    world.pause(Pause::Block("sleep"));
    world.run(over);
    world.pause(Pause::End);
    world.ready(b);
    world.run(late);
    let mut nothing = gotrace::wire::Encoder::new(&mut []);
    let now = world.now();
    assert!(
        !world
            .emitter
            .advance(now, WallTime::new(0, 0), &mut nothing)
    );
    assert_eq!(world.emitter.lost().generations, 1);

    world.run(a);
    world.advance();
    assert_eq!(
        world.events()[1],
        [
            "ProcStatus p=0 pstatus=1",
            "GoStatusStack g=1 m=0 gstatus=2 stack=a",
            "GoStatusStack g=2 m=0 gstatus=4 stack=b",
            "GoStatusStack g=3 m=0 gstatus=4 stack=over",
            "GoCreateBlocked new_g=4 new_stack=late stack=0",
            "GoBlock reason_string=sleep stack=0",
            "GoUnblock g=3 g_seq=1 stack=0",
            "GoStart g=3 g_seq=2",
            "GoDestroy",
            "GoUnblock g=2 g_seq=1 stack=0",
            "GoUnblock g=4 g_seq=1 stack=0",
            "GoStart g=4 g_seq=2",
            "GoStop reason_string=preempted stack=0",
            "GoUnblock g=1 g_seq=1 stack=0",
            "GoStart g=1 g_seq=2",
            "UserRegionEnd task=0 name_string=outer stack=0",
            "UserRegionBegin task=0 name_string=other stack=0",
        ]
    );
}

/// Events beyond the memory cost the rest of their generation, and the text of a log does, too.
#[test]
fn without_room_the_rest_of_a_generation_is_dropped() {
    for message in ["", "a text of some length"] {
        let mut world = World::new(500);
        let task = world.create("task");
        world.run(task);
        let mut events = 0;
        while world.emitter.lost().events == 0 {
            let now = world.now();
            world.emitter.log(now, 0, None, "key", message);
            events += 1;
        }
        let now = world.now();
        assert!(world.emitter.is_due(now));
        world.pause(Pause::Block("sleep"));
        assert_eq!(world.emitter.lost().events, 2);
        world.advance();
        world.advance();
        let all = world.events();
        assert_eq!(all[0].len(), 4 + events - 1);
        assert_eq!(
            all[1][1..],
            [
                "GoStatusStack g=1 m=0 gstatus=2 stack=task",
                "GoBlock reason_string=sleep stack=0"
            ]
        );
        assert_eq!(world.emitter.lost().generations, 0);
    }
}

/// A name's frame is its root, with a program counter of its own.
#[test]
fn goroutines_have_their_names_in_every_generation() {
    let mut world = World::new(4096);
    for name in ["one", "two", "three"] {
        world.create(name);
    }
    world.advance();
    world.advance();
    for suffix in suffixes(&world.trace) {
        let mut reader = Trace::new(&suffix).unwrap().reader();
        let (mut names, mut counters) = (Vec::new(), Vec::new());
        while let Some(event) = reader.next().unwrap() {
            if let gotrace::Details::StateTransition(change) = event.details()
                && let Some(frame) = change.stack.and_then(|s| s.frames().last())
            {
                names.push(frame.func.to_string());
                counters.push(frame.pc);
            }
        }
        assert!(
            names.starts_with(&["one".into(), "two".into(), "three".into()]),
            "{names:?}"
        );
        assert!(counters[0] != counters[1] && counters[1] != counters[2]);
    }
}

#[test]
fn another_trace_begins_with_what_is() {
    let mut world = World::new(4096);
    let task = world.create("task");
    world.run(task);
    let now = world.now();
    assert!(
        world
            .emitter
            .stop(now, WallTime::new(0, 0), &mut world.trace)
    );
    assert!(!world.emitter.is_on());
    // Neither is told to anybody.
    world.pause(Pause::Block("sleep"));
    let later = world.create("later");
    let first = std::mem::take(&mut world.trace);
    judge(&first).unwrap();

    let now = world.now();
    world.emitter.start(now, EmitterConfig::new(1_000_000_000));
    world.run(later);
    world.advance();
    assert_eq!(
        world.events()[0][1..4],
        [
            "GoCreateBlocked new_g=1 new_stack=task stack=0",
            "GoCreateBlocked new_g=2 new_stack=later stack=0",
            "GoUnblock g=2 g_seq=1 stack=0",
        ]
    );
}
