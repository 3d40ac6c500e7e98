//! Any calls in any order, with any memory and any sink.

use super::judge::judge;
use crate::validator::facts::What;
use gotrace::emit::{Emitter, EmitterConfig, Go, Metric, Pause, Sink};
use gotrace::event::GoState;
use gotrace::ids::TaskId;
use gotrace::time::{Timestamp, WallTime};
use gotrace::{Fixed, FlightRecorder, FlightRecorderConfig, Growing, tables::Storage};
use proptest::prelude::*;
use std::collections::HashMap;

#[derive(Clone, Debug)]
enum Call {
    Create(u8, usize),
    Ready(u8, usize),
    Run(u8, usize),
    Pause(u8, u8),
    RegionBegin(u8, usize),
    RegionEnd(u8),
    TaskBegin(u8, usize),
    TaskEnd(u8, usize),
    Log(u8, usize),
    Metric(u8, u64),
    RangeBegin(u8),
    RangeEnd(u8),
    /// Whether the sink takes it.
    Advance(bool),
    Restart,
}

const NAMES: [&str; 6] = [
    "blink",
    "sensor",
    "usb",
    "",
    "TIM2",
    "a somewhat longer name",
];

fn call() -> impl Strategy<Value = Call> {
    let core = 0..3u8;
    let n = 0..100usize;
    prop_oneof![
        4 => (core.clone(), n.clone()).prop_map(|(c, n)| Call::Create(c, n)),
        12 => (core.clone(), n.clone()).prop_map(|(c, n)| Call::Ready(c, n)),
        20 => (core.clone(), n.clone()).prop_map(|(c, n)| Call::Run(c, n)),
        20 => (core.clone(), 0..7u8).prop_map(|(c, why)| Call::Pause(c, why)),
        10 => (core.clone(), n.clone()).prop_map(|(c, n)| Call::RegionBegin(c, n)),
        9 => core.clone().prop_map(Call::RegionEnd),
        5 => (core.clone(), n.clone()).prop_map(|(c, n)| Call::TaskBegin(c, n)),
        5 => (core.clone(), n.clone()).prop_map(|(c, n)| Call::TaskEnd(c, n)),
        5 => (core.clone(), n).prop_map(|(c, n)| Call::Log(c, n)),
        2 => (core.clone(), any::<u64>()).prop_map(|(c, n)| Call::Metric(c, n)),
        5 => core.clone().prop_map(Call::RangeBegin),
        5 => core.prop_map(Call::RangeEnd),
        10 => any::<bool>().prop_map(Call::Advance),
        1 => Just(Call::Restart),
    ]
}

/// Takes wholes, if it wants to.
#[derive(Default)]
struct Moody {
    /// One a trace.
    traces: Vec<Vec<u8>>,
    willing: bool,
    left: usize,
}

impl Sink for Moody {
    fn reserve(&mut self, len: usize) -> bool {
        assert_eq!(self.left, 0, "a whole that is shorter than was said");
        if self.willing {
            self.left = len;
        }
        self.willing
    }

    fn put(&mut self, piece: &[u8]) {
        self.left = self.left.checked_sub(piece.len()).expect("as said");
        self.traces.last_mut().expect("a trace").extend(piece);
    }

    fn begin(&mut self, version: gotrace::wire::Version) {
        self.traces.push(Vec::new());
        self.put(version.header());
    }
}

struct World<S: Storage> {
    emitter: Emitter<S, Vec<u8>>,
    sink: Moody,
    config: EmitterConfig,
    now: u64,
    walls: u64,
    goroutines: Vec<Go>,
    tasks: Vec<TaskId>,
    /// What runs on each core, and all that are alive, as the calls mean it.
    running: Vec<Vec<Go>>,
    alive: HashMap<Go, bool>,
}

impl<S: Storage> World<S> {
    fn new(memory: usize, cores: u8) -> Self {
        let config = EmitterConfig::new(1_000_000).with_cores(cores);
        let mut emitter = Emitter::new(vec![0; memory]);
        emitter.start(Timestamp(5), config);
        World {
            emitter,
            sink: Moody::default(),
            config,
            now: 5,
            walls: 0,
            goroutines: Vec::new(),
            tasks: Vec::new(),
            running: vec![Vec::new(); 3],
            alive: HashMap::new(),
        }
    }

    fn call(&mut self, call: &Call, step: u64) {
        // Some at one time, some apart, some back.
        self.now = self.now.saturating_add(step).saturating_sub(2);
        let now = Timestamp(self.now);
        self.walls += 1;
        let wall = WallTime::new(self.walls, 0);
        let emitter = &mut self.emitter;
        let pick = |n: usize| {
            self.goroutines
                .get(n % self.goroutines.len().max(1))
                .copied()
        };
        let task = |n: usize| self.tasks.get(n % (self.tasks.len() + 1)).copied();
        match *call {
            Call::Create(core, n) => {
                if let Some(go) = emitter.create(now, core, NAMES[n % NAMES.len()]) {
                    self.goroutines.push(go);
                    self.alive.insert(go, false);
                }
            }
            Call::Ready(core, n) => {
                if let Some(go) = pick(n) {
                    emitter.ready(now, core, go);
                }
            }
            Call::Run(core, n) => {
                if let Some(go) = pick(n) {
                    emitter.run(now, core, go);
                    let busy = self.running.iter().any(|stack| stack.last() == Some(&go));
                    if core < self.config.cores && self.alive.contains_key(&go) && !busy {
                        self.running.iter_mut().for_each(|s| s.retain(|g| *g != go));
                        self.running[usize::from(core)].push(go);
                    }
                }
            }
            Call::Pause(core, why) => {
                let why = match why {
                    0 => Pause::End,
                    1 | 2 => Pause::Yield("runtime.Gosched"),
                    _ => Pause::Block("sleep"),
                };
                emitter.pause(now, core, why);
                if let Some(go) = self.running[usize::from(core)].pop()
                    && why == Pause::End
                {
                    self.alive.remove(&go);
                }
            }
            Call::RegionBegin(core, n) => {
                emitter.region_begin(now, core, task(n), NAMES[n % NAMES.len()]);
            }
            Call::RegionEnd(core) => emitter.region_end(now, core),
            Call::TaskBegin(core, n) => {
                self.tasks
                    .extend(emitter.task_begin(now, core, task(n), NAMES[n % NAMES.len()]));
            }
            Call::TaskEnd(core, n) => {
                if let Some(id) = task(n) {
                    emitter.task_end(now, core, id);
                }
            }
            Call::Log(core, n) => {
                emitter.log(
                    now,
                    core,
                    task(n),
                    "state",
                    &"äb"[..n % 2 * 2].repeat(n * n / 9),
                );
            }
            Call::Metric(core, value) => emitter.metric(now, core, Metric::HeapAlloc, value),
            Call::RangeBegin(core) => emitter.range_begin(now, core, "interrupts disabled"),
            Call::RangeEnd(core) => emitter.range_end(now, core),
            Call::Advance(willing) => {
                self.sink.willing = willing;
                assert!(!emitter.advance(now, wall, &mut self.sink) || willing);
            }
            Call::Restart => {
                self.sink.willing = true;
                emitter.stop(now, wall, &mut self.sink);
                emitter.start(now, self.config);
                self.running.iter_mut().for_each(Vec::clear);
            }
        }
    }
}

/// Runs the calls, and two generations more, of which the last begins with all that is so.
fn run<S: Storage>(memory: usize, cores: u8, calls: &[(Call, u64)]) -> Result<(), TestCaseError> {
    let mut world = World::<S>::new(memory, cores);
    for (call, step) in calls {
        world.call(call, *step);
    }
    for _ in 0..2 {
        world.call(&Call::Advance(true), 10);
    }
    let lost = world.emitter.lost();
    let mut last = Vec::new();
    for trace in &world.sink.traces {
        match judge(trace) {
            Ok(facts) => last = facts,
            Err(why) => return Err(TestCaseError::fail(format!("{why}: {trace:?}"))),
        }
    }
    if memory < 6000 {
        return Ok(());
    }
    // There was room for all that each generation begins with: the trace says what is.
    let mut states = HashMap::new();
    for fact in &last {
        if let What::Go(Some(id), _, state) = fact.what {
            states.insert(id, state);
        }
    }
    for go in &world.goroutines {
        let running = world.running.iter().any(|s| s.last() == Some(go));
        let state = states.get(&go.id()).copied();
        match world.alive.contains_key(go) {
            true => prop_assert_eq!(state == Some(GoState::Running), running, "{:?}", go),
            false => prop_assert!(
                matches!(state, None | Some(GoState::NotExist)),
                "{:?} {:?}",
                go,
                state
            ),
        }
    }
    prop_assert!(lost.events == 0 || lost.generations > 0 || memory < 100_000);
    Ok(())
}

fn calls() -> impl Strategy<Value = Vec<(Call, u64)>> {
    prop::collection::vec((call(), 0..40u64), 0..300)
}

// Names, cores, goroutines, regions, tasks: few of each.
type Few = Fixed<6, 0, 0, 0, 0, 2, 5, 3, 2>;
type Roomy = Fixed<32, 0, 0, 0, 0, 3, 24, 16, 16>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_suffix_is_valid(
        calls in calls(),
        memory in prop_oneof![0..300usize, 300..3000usize, Just(8000), Just(200_000)],
        cores in 1..=3u8,
    ) {
        run::<Roomy>(memory, cores, &calls)?;
        run::<Growing>(memory, cores, &calls)?;
    }

    #[test]
    fn full_tables_cost_what_does_not_fit(calls in calls(), cores in 1..=2u8) {
        run::<Few>(2000, cores, &calls)?;
    }

    /// The flight recorder is a sink, of any size: its snapshot is a trace at any time.
    #[test]
    fn a_recorders_snapshot_is_valid(calls in calls(), arena in 900..6000usize) {
        let mut world = World::<Roomy>::new(3000, 2);
        let config = FlightRecorderConfig::default();
        let mut recorder = FlightRecorder::new(vec![0; arena], config).unwrap();
        let mut taken = 0;
        for (call, step) in &calls {
            if let Call::Advance(_) = call {
                world.now += step;
                let now = Timestamp(world.now);
                world.walls += 1;
                let wall = WallTime::new(world.walls, 0);
                taken += u64::from(world.emitter.advance(now, wall, &mut recorder));
                let mut bytes = Vec::new();
                // One may be too large for the arena beside the one before it.
                let status = recorder.status();
                prop_assert_eq!(status.losses.total().generations + status.window.generations, taken);
                if status.window.generations > 0 {
                    recorder.write_to(&mut bytes).unwrap();
                    judge(&bytes).map_err(TestCaseError::fail)?;
                }
            } else if !matches!(call, Call::Restart) {
                world.call(call, *step);
            }
        }
    }
}
