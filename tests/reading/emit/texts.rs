//! The sequences that writers of traces rely on, in Go's text form: each is a valid trace, and so is
//! each of its suffixes.

use super::judge::judge;
use gotrace::wire::assemble;

/// Batches as ` ; ` separates their records. `N` is all ones, `TABLES g t` the tables of generation `g`
/// at time `t`.
const SEQUENCES: &[(&str, &str)] = &[
    // Threads that run already, that are born and end in later generations, a blocking call, a
    // system call, a CPU sample.
    ("threads", "
        EventBatch gen=1 m=101 time=1000 ; ProcStatus dt=0 p=1 pstatus=1 ; GoStatusStack dt=0 g=1 m=101 gstatus=2 stack=1
        ProcsChange dt=0 procs_value=2 stack=0 ; HeapAlloc dt=0 heapalloc_value=1000000 ; HeapGoal dt=0 heapgoal_value=4000000
        UserLog dt=50 task=0 key_string=10 value_string=11 stack=0 ; GoBlock dt=10 reason_string=12 stack=2
        GoUnblock dt=500 g=1 g_seq=1 stack=0 ; GoStart dt=0 g=1 g_seq=2 ; GoSyscallBegin dt=10 p_seq=1 stack=2 ; GoSyscallEnd dt=20
        EventBatch gen=1 m=N time=1000 ; CPUSamples ; CPUSample time=1040 m=101 p=1 g=1 stack=2
        TABLES 1 1000
        EventBatch gen=2 m=101 time=2000 ; ProcStatus dt=0 p=1 pstatus=1 ; GoStatusStack dt=0 g=1 m=101 gstatus=2 stack=1
        GoCreate dt=5 new_g=3 new_stack=2 stack=1
        EventBatch gen=2 m=102 time=2010 ; ProcStatus dt=0 p=2 pstatus=1 ; GoCreate dt=0 new_g=2 new_stack=2 stack=0
        GoStart dt=0 g=2 g_seq=1 ; GoDestroy dt=60 ; ProcStop dt=0
        EventBatch gen=2 m=103 time=2100 ; ProcStart dt=0 p=2 p_seq=1 ; GoStart dt=0 g=3 g_seq=1 ; GoDestroy dt=1 ; ProcStop dt=0
        TABLES 2 2000
        EventBatch gen=3 m=104 time=3000 ; ProcStatus dt=0 p=2 pstatus=2 ; ProcStart dt=0 p=2 p_seq=1
        GoCreate dt=0 new_g=4 new_stack=2 stack=0 ; GoStart dt=0 g=4 g_seq=1
        EventBatch gen=3 m=101 time=3000 ; ProcStatus dt=0 p=1 pstatus=1 ; GoStatusStack dt=0 g=1 m=101 gstatus=2 stack=1
        TABLES 3 3000
    "),
    // Interrupts on a core, which preempt a task and each other; a critical section.
    ("interrupts", "
        EventBatch gen=1 m=0 time=1000 ; ProcStatus dt=0 p=0 pstatus=1 ; GoCreate dt=0 new_g=1 new_stack=1 stack=0
        GoCreateBlocked dt=0 new_g=100 new_stack=5 stack=0 ; GoStart dt=0 g=1 g_seq=1 ; GoStop dt=100 reason_string=14 stack=0
        GoUnblock dt=0 g=100 g_seq=1 stack=0 ; GoStart dt=0 g=100 g_seq=2 ; GoBlock dt=20 reason_string=16 stack=0
        GoStart dt=0 g=1 g_seq=2 ; GoSwitch dt=100 g=100 g_seq=3 ; GoSwitch dt=15 g=1 g_seq=3 ; STWBegin dt=10 kind_string=17 stack=0
        STWEnd dt=7 ; GoBlock dt=50 reason_string=13 stack=0 ; GoUnblock dt=500 g=100 g_seq=4 stack=0 ; GoStart dt=0 g=100 g_seq=5
        GoUnblock dt=3 g=1 g_seq=4 stack=0 ; GoBlock dt=4 reason_string=16 stack=0 ; GoStart dt=1 g=1 g_seq=5
        TABLES 1 1000
    "),
    // Tasks on two workers: one is stolen, one is woken by a timer thread without a proc; a silent
    // generation.
    ("futures", "
        EventBatch gen=1 m=11 time=1000 ; ProcStatus dt=0 p=1 pstatus=1 ; GoCreate dt=0 new_g=21 new_stack=3 stack=0
        GoStart dt=5 g=21 g_seq=1 ; UserTaskBegin dt=5 task=1 parent_task=0 name_string=7 stack=0
        UserRegionBegin dt=1 task=1 name_string=8 stack=0 ; GoCreate dt=2 new_g=22 new_stack=4 stack=3
        UserRegionEnd dt=1 task=1 name_string=8 stack=0 ; GoBlock dt=10 reason_string=12 stack=3 ; ProcStop dt=5
        ProcStart dt=300 p=1 p_seq=1 ; GoStart dt=5 g=21 g_seq=3 ; GoStop dt=20 reason_string=15 stack=0 ; GoStart dt=1 g=21 g_seq=4
        GoBlock dt=9 reason_string=12 stack=0
        EventBatch gen=1 m=12 time=1020 ; ProcStatus dt=0 p=2 pstatus=1 ; GoStart dt=10 g=22 g_seq=1
        UserRegionBegin dt=1 task=1 name_string=9 stack=0 ; UserLog dt=1 task=1 key_string=10 value_string=11 stack=3
        GoBlock dt=30 reason_string=13 stack=0 ; GoStart dt=150 g=22 g_seq=3 ; UserRegionEnd dt=9 task=1 name_string=9 stack=0
        UserTaskEnd dt=1 task=1 stack=0 ; GoDestroy dt=3
        EventBatch gen=1 m=13 time=1100 ; GoUnblock dt=100 g=22 g_seq=2 stack=0 ; GoUnblock dt=110 g=21 g_seq=2 stack=0
        TABLES 1 1000
        EventBatch gen=2 m=N time=2000 ; ProcStatus dt=0 p=1 pstatus=1 ; GoStatusStack dt=0 g=21 m=N gstatus=4 stack=3
        EventBatch gen=2 m=12 time=2000 ; ProcStatus dt=0 p=2 pstatus=1
        TABLES 2 2000
    "),
    // Spans that overlap on one task, and one pair closed in the wrong order.
    ("spans", "
        EventBatch gen=1 m=1 time=1000 ; ProcStatus dt=0 p=0 pstatus=1 ; GoCreate dt=0 new_g=21 new_stack=4 stack=0
        GoStart dt=5 g=21 g_seq=1 ; UserTaskBegin dt=1 task=1 parent_task=0 name_string=8 stack=0
        UserTaskBegin dt=1 task=2 parent_task=1 name_string=9 stack=0 ; UserRegionBegin dt=1 task=1 name_string=8 stack=0
        UserRegionEnd dt=5 task=1 name_string=8 stack=0 ; UserRegionBegin dt=1 task=2 name_string=9 stack=0
        UserRegionEnd dt=5 task=2 name_string=9 stack=0 ; GoBlock dt=1 reason_string=12 stack=0 ; GoUnblock dt=50 g=21 g_seq=2 stack=0
        GoStart dt=5 g=21 g_seq=3 ; UserRegionBegin dt=1 task=1 name_string=8 stack=0
        UserRegionBegin dt=5 task=2 name_string=9 stack=0 ; UserRegionEnd dt=5 task=2 name_string=9 stack=0
        UserRegionEnd dt=0 task=1 name_string=8 stack=0 ; UserRegionBegin dt=0 task=2 name_string=9 stack=0
        UserTaskEnd dt=0 task=1 stack=0 ; UserRegionEnd dt=5 task=2 name_string=9 stack=0 ; UserTaskEnd dt=0 task=2 stack=0
        TABLES 1 1000
    "),
    // A generation was dropped: the next one begins with what a reader believes.
    ("after_a_loss", "
        EventBatch gen=1 m=11 time=1000 ; ProcStatus dt=0 p=1 pstatus=1 ; GoCreate dt=0 new_g=21 new_stack=3 stack=0
        GoStart dt=5 g=21 g_seq=1 ; UserRegionBegin dt=1 task=0 name_string=8 stack=0 ; GoBlock dt=10 reason_string=12 stack=0
        TABLES 1 1000
        EventBatch gen=2 m=11 time=3000 ; ProcStatus dt=0 p=1 pstatus=1 ; GoStatusStack dt=0 g=21 m=N gstatus=4 stack=3
        GoCreateBlocked dt=0 new_g=22 new_stack=4 stack=0 ; GoUnblock dt=0 g=21 g_seq=1 stack=0 ; GoStart dt=0 g=21 g_seq=2
        UserRegionEnd dt=0 task=0 name_string=8 stack=0 ; UserRegionBegin dt=0 task=0 name_string=9 stack=0
        UserRegionEnd dt=9 task=0 name_string=9 stack=0 ; GoBlock dt=10 reason_string=12 stack=0
        TABLES 2 3000
    "),
];

const STRINGS: [&str; 17] = [
    "main",
    "worker",
    "accept_loop",
    "handle_request",
    "TIM2",
    "src/main.rs",
    "request",
    "read body",
    "db query",
    "key",
    "value",
    "network",
    "sleep",
    "preempted",
    "runtime.Gosched",
    "system goroutine wait",
    "interrupts disabled",
];

fn tables(generation: &str, time: &str) -> String {
    let head = format!("EventBatch gen={generation} m=N time={time}\n");
    let stack = |n| format!("Stack id={n}\n\tpc={n} func={n} file=6 line={n}\n");
    let string = |(n, s): (usize, &&str)| format!("String id={}\n\tdata=\"{s}\"\n", n + 1);
    let stacks: String = (1..=5).map(stack).collect();
    let strings: String = STRINGS.iter().enumerate().map(string).collect();
    format!(
        "{head}Sync\nFrequency freq=1000000000\nClockSnapshot dt=0 mono={time} sec=1700000000 nsec=7\n\
         {head}Stacks\n{stacks}{head}Strings\n{strings}EndOfGeneration\n"
    )
}

fn text(sequence: &str) -> String {
    let mut text = "Trace Go1.26\n".to_owned();
    for line in sequence.lines().flat_map(|line| line.split(" ; ")) {
        match line.trim().split(' ').collect::<Vec<_>>()[..] {
            ["TABLES", generation, time] => text += &tables(generation, time),
            ref words => text += &format!("{}\n", words.join(" ")),
        }
    }
    text.replace("=N", &format!("={}", u64::MAX))
}

#[test]
fn every_sequence_is_valid_from_each_generation_on() {
    for (name, sequence) in SEQUENCES {
        let trace = assemble(&text(sequence), None).unwrap_or_else(|e| panic!("{name}: {e}"));
        let events = judge(&trace).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(events.len() > 15, "{name}: {}", events.len());
    }
}
