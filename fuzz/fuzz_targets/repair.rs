//! Would find: damage that makes repairing panic or never end, repaired traces that a strict reader refuses,
//! and those that are not the same when they are repaired again.
#![no_main]

use gotrace::{Trace, rewrite};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(damaged) = Trace::new(bytes) else {
        return;
    };
    let repair = |trace: &Trace<'_>| {
        let mut out = Vec::new();
        let repaired = rewrite::repair(trace, |piece| out.extend_from_slice(piece));
        (out, repaired.expect("memory"))
    };
    let (out, repaired) = repair(&damaged);
    assert!(repaired.changes.len() <= rewrite::Repairer::MOST_CHANGES);
    let sound = Trace::new(&out).expect("a header");
    let mut reader = sound.reader();
    while reader.next().expect("a valid trace").is_some() {}
    assert!(reader.ending(None).is_complete());
    let (again, repaired) = repair(&sound);
    assert!(repaired.is_unchanged());
    assert!(again == out);
});
