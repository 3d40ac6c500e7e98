//! Flash, RAM and stack: measured, held against their budgets and against the README.

use super::Result;
use object::{Object, ObjectSection};
use std::fmt::Write;
use std::path::Path;

const KIB: u64 = 1 << 10;

/// The parts, each with its budget in bytes of flash beyond what the frame takes, if it has one.
const PARTS: [(&str, &str, Option<u64>); 7] = [
    ("frame", "startup, exit, painting the stack", None),
    ("decode", "batches and records", Some(8 * KIB)),
    // With the counts of why generations left the window.
    ("recorder", "recording, snapshots", Some(8 * KIB + 256)),
    ("recovery", "the same, and recovery after a reset", None),
    ("reader", "events in order", Some(40 * KIB)),
    ("all", "all three", None),
    ("log", "all three, logging with `defmt`", None),
];

/// The most stack that any part may take, in bytes.
const STACK_BUDGET: u64 = 4 * KIB;

/// How far the README may be off, in parts of a hundred: another release of the compiler changes
/// sizes a little.
const TOLERANCE: u64 = 3;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const BEGIN: &str = "<!-- sizes: written by `run --update` -->\n";
const END: &str = "<!-- end of sizes -->\n";

/// Bytes by section. The vector table counts as code, the traces not at all.
#[derive(Default)]
struct Sizes {
    text: u64,
    rodata: u64,
    data: u64,
    bss: u64,
    uninit: u64,
}

impl Sizes {
    fn of(elf: &[u8]) -> Result<Sizes> {
        let file = object::File::parse(elf)?;
        let size = |name| file.section_by_name(name).map_or(0, |s| s.size());
        Ok(Sizes {
            text: size(".vector_table") + size(".text"),
            rodata: size(".rodata"),
            data: size(".data"),
            bss: size(".bss"),
            uninit: size(".uninit"),
        })
    }

    const fn flash(&self) -> u64 {
        self.text + self.rodata + self.data
    }

    const fn ram(&self) -> u64 {
        self.data + self.bss + self.uninit
    }
}

/// Prints the report, and judges it.
pub fn judge(elves: &Path, stacks: &[(String, u64)], update: bool) -> Result<()> {
    let mut report = String::from(
        "| part | `.text` | `.rodata` | `.data` | `.bss` | `.uninit` | flash | RAM | flash beyond the frame | budget |\n\
         | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n",
    );
    let mut over = Vec::new();
    let mut frame = 0;
    for (name, what, budget) in PARTS {
        let sizes = Sizes::of(&std::fs::read(elves.join(name))?)?;
        let flash = sizes.flash();
        if name == "frame" {
            frame = flash;
        }
        let beyond = flash - frame;
        let Sizes {
            text,
            rodata,
            data,
            bss,
            uninit,
        } = sizes;
        write!(
            report,
            "| `{name}`: {what} | {text} | {rodata} | {data} | {bss} | {uninit} | {flash} | {} | {beyond} | ",
            sizes.ram(),
        )?;
        match budget {
            Some(budget) => writeln!(report, "{budget} |")?,
            None => writeln!(report, "|")?,
        }
        if budget.is_some_and(|budget| beyond > budget) {
            over.push(format!("{name} takes {beyond} bytes of flash"));
        }
    }
    report.push_str("\n| while | stack | budget |\n| --- | --: | --: |\n");
    for (part, stack) in stacks {
        writeln!(report, "| {part} | {stack} | {STACK_BUDGET} |")?;
        if *stack > STACK_BUDGET {
            over.push(format!("{part} takes {stack} bytes of stack"));
        }
    }
    println!("{report}");

    let readme = std::fs::read_to_string(README)?;
    let (before, rest) = readme
        .split_once(BEGIN)
        .ok_or("the README has no place for sizes")?;
    let (stands, after) = rest
        .split_once(END)
        .ok_or("the README's sizes have no end")?;
    if update {
        std::fs::write(README, [before, BEGIN, &report, END, after].concat())?;
    } else if !agree(stands, &report) {
        return Err("the README has other sizes: `run --update` writes these".into());
    }
    if over.is_empty() {
        println!("within all budgets");
        Ok(())
    } else {
        Err(format!("beyond the budget: {}", over.join(", ")).into())
    }
}

/// Whether two reports differ in nothing but numbers, and in these by little.
fn agree(a: &str, b: &str) -> bool {
    let (a, b): (Vec<_>, Vec<_>) = (a.split(' ').collect(), b.split(' ').collect());
    a.len() == b.len()
        && a.iter()
            .zip(&b)
            .all(|(a, b)| match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.abs_diff(b) * 100 <= a.max(b) * TOLERANCE,
                _ => a == b,
            })
}
