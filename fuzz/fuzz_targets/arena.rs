//! Would find: a damaged arena that makes recovery panic, or of which something comes out that was
//! not recorded, or something is missing without a word; one that cannot be recorded into again;
//! bytes that are taken for an arena and read out of bounds.
#![no_main]

use gotrace::recorder::{FlightRecorder, FlightRecorderConfig};
use gotrace_fuzz::harm::{self, Harm, Left};
use gotrace_fuzz::{Choices, synth};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = FlightRecorder::recover(bytes);
    let mut choices = Choices(bytes);
    let config = FlightRecorderConfig {
        max_bytes: choices.number(1, 3000),
        ..Default::default()
    };
    let version = synth::versions()[choices.number(0, 3)];
    let (mut number, mut time) = (choices.number(1, 255) as u64, 1);
    let arena = vec![0x5a; choices.number(848, 9000)];
    let cut = choices.number(0, 6);
    let mut generations = choices.list(20, |c| {
        let sizes = c.list(5, |c| c.number(0, 255));
        let generation = synth::generation(version, number, time, 1000, &sizes);
        (number, time) = (number + 1, time + 10);
        (number - 1, generation)
    });
    generations.push((number, synth::generation(version, number, time, 1, &[9; 3])));
    let left = Left::record(version, arena, config, &generations, cut);

    let lies = choices.byte() % 2 == 1;
    let harms = choices.list(8, |c| {
        let [a, b] = [(); 2].map(|()| c.number(0, 65_535));
        match c.byte() % 8 {
            0..4 => Harm::Flip(a, b as u8),
            4 => Harm::Fill(a, 1 + b % 500, c.byte()),
            5 => Harm::Fill(a, 1, c.byte()),
            6 => Harm::Copy(a, b, c.number(1, 500)),
            _ => Harm::Truncate(a),
        }
    });
    if lies {
        let mut arena = left.arena;
        for harm in &harms {
            harm.apply(&mut arena);
        }
        harm::seal(&mut arena);
        harm::survive(arena, config);
    } else {
        harm::check(&left, &harms);
    }
});
