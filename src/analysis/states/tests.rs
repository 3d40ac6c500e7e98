use super::*;
use crate::event::GoState;
use crate::{StreamReader, Trace};
use std::collections::HashMap;
use std::fs;
use std::vec::Vec as Rows;

/// All that is reported, as text.
#[derive(Default)]
struct Told {
    rows: Rows<std::string::String>,
    /// By life: the end of the last stay, and the sum of all.
    spent: HashMap<u64, (Time, i64)>,
    ended: u64,
    left: u64,
}

impl Visitor for Told {
    fn goroutine_began(&mut self, states: &States, g: &Goroutine, _: &Event<'_, '_>) {
        let name = states.names().text(g.name);
        self.rows.push(std::format!("{} {name} {}", g.id, g.life));
        assert!(self.spent.insert(g.life, (g.created, 0)).is_none());
        assert_eq!(states.in_slot(g.slot).map(|g| g.id), Some(g.id));
    }

    fn stay(&mut self, states: &States, g: &Goroutine, stay: &Stay) {
        let reason = states.names().text(stay.reason);
        let stack = stay.stack.and_then(|stack| states.names().key(stack));
        self.rows.push(std::format!("{stay:?} {reason} {stack:?}"));
        let (end, sum) = self.spent.get_mut(&stay.life).unwrap();
        // One stay follows the other.
        assert_eq!(*end, stay.from, "{stay:?}");
        assert!(stay.to >= stay.from);
        *end = stay.to;
        *sum += stay.nanoseconds();
        assert_eq!(g.sums(stay.to).total(), *sum, "{stay:?}");
        assert_eq!(*sum, stay.to.since(g.created));
    }

    fn goroutine_ended(&mut self, _: &States, _: &Goroutine) {
        self.ended += 1;
    }

    fn goroutine_left(&mut self, states: &States, g: &Goroutine) {
        self.left += 1;
        assert_eq!(self.spent[&g.life].0, states.last_time());
    }

    fn proc_stay(&mut self, _: &States, stay: &ProcStay) {
        self.rows.push(std::format!("{stay:?}"));
    }

    fn range_ended(&mut self, _: &States, end: &RangeEnd) {
        assert!((0..=end.nanoseconds()).contains(&end.executing), "{end:?}");
        self.rows.push(std::format!("{end:?}"));
    }

    fn task_ended(&mut self, _: &States, end: &TaskEnd) {
        self.rows.push(std::format!("{end:?}"));
    }

    fn region_ended(&mut self, _: &States, _: &Goroutine, end: &RegionEnd) {
        if let (Some(inside), Some(length)) = (end.inside(), end.nanoseconds()) {
            assert_eq!(inside.total(), length);
        }
        self.rows.push(std::format!("{end:?}"));
    }
}

fn fixtures() -> Rows<std::path::PathBuf> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = fs::read_dir(here)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Rows<_> = files
        .filter(|path| path.extension().is_some_and(|ext| ext == "trace"))
        .collect();
    files.sort();
    files
}

/// The times that a goroutine spends in its states add up to its life; each stay begins where the one
/// before ended; and a stream gives the same as a slice.
#[test]
fn stays_add_up_to_lives() {
    let mut lives = 0;
    for path in fixtures() {
        let bytes = fs::read(&path).unwrap();
        let trace = Trace::new(&bytes).unwrap();
        let (mut reader, mut states, mut told) = (trace.reader(), States::new(), Told::default());
        while let Ok(Some(event)) = reader.next() {
            states.add(&event, &mut told);
        }
        states.finish(&mut told);
        assert_eq!(told.ended + told.left, states.lives(), "{path:?}");
        lives += states.lives();

        let mut reader = StreamReader::new(&bytes[..]).unwrap();
        let (mut streamed, mut other) = (States::new(), Told::default());
        while let Ok(Some(event)) = reader.next() {
            streamed.add(&event, &mut other);
        }
        streamed.finish(&mut other);
        assert_eq!(told.rows, other.rows, "{path:?}");
    }
    assert!(lives > 1_000);
}

/// What is known at any moment is what a naive replay of the transitions gives.
#[test]
fn states_at_a_moment() {
    let bytes = include_bytes!("../../../tests/fixtures/block-go1.27.trace");
    let trace = Trace::new(bytes).unwrap();
    let (mut reader, mut states) = (trace.reader(), States::new());
    let mut naive: HashMap<GoId, GoState> = HashMap::new();
    let mut n = 0;
    while let Some(event) = reader.next().unwrap() {
        states.add(&event, &mut ());
        if let Details::StateTransition(t) = event.details()
            && let Some((id, _, to)) = t.goroutine()
        {
            match to {
                GoState::NotExist => drop(naive.remove(&id)),
                _ => drop(naive.insert(id, to)),
            }
        }
        n += 1;
        if n % 50 == 0 {
            let known: HashMap<_, _> = states.goroutines().map(|g| (g.id, g.state)).collect();
            assert_eq!(known, naive, "{event:?}");
        }
    }
    assert!(n > 500);
}
