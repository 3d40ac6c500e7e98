//! Prints the events of a trace.
use std::io::Write;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let trace = gotrace::Trace::new(&bytes).unwrap();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut reader = trace.reader();
    loop {
        match reader.next() {
            Ok(Some(e)) => writeln!(out, "{e}").unwrap(),
            Ok(None) => break,
            Err(e) => {
                out.flush().unwrap();
                eprintln!("{e}");
                std::process::exit(1);
            }
        }
    }
}
