//! Traces of before Go 1.22 from text: the lines that `gotrace dump --wire` prints of them.
//!
//! ```text
//! Trace Go1.19
//! Batch p=0 ticks=100
//! ProcStart dt=1 thread=7
//! String id=1 data="main.main"
//! Stack id=2 size=1
//! (a tab)pc=0x10 func=1 file=1 line=3
//! Frequency freq=1000000000
//! ```
//!
//! Arguments that are not named are 0; -1 is all ones. Without a first line the version is 1.21.

use gotrace::legacy::EventType;
use gotrace::wire::varint;

/// The trace that a text describes.
pub fn assemble(text: &str) -> Vec<u8> {
    let mut lines = text.lines().filter(|line| !line.is_empty()).peekable();
    let version = lines.next_if(|line| line.starts_with("Trace Go1."));
    let minor = version.map_or("21", |line| &line["Trace Go1.".len()..]);
    let mut trace = format!("go 1.{minor} trace\0\0\0").into_bytes();
    while let Some(line) = lines.next() {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let find = |ty: &&EventType| ty.name() == Some(name);
        let ty = *EventType::ALL.iter().find(find).expect(line);
        let mut fields = Fields::new(rest);
        match ty {
            EventType::STRING => {
                trace.push(ty.0);
                put(&mut trace, fields.number("id"));
                let data = fields.text("data");
                put(&mut trace, data.len() as u64);
                trace.extend(data);
            }
            EventType::STACK => {
                let mut body = Vec::new();
                put(&mut body, fields.number("id"));
                put(&mut body, fields.number("size"));
                while let Some(frame) = lines.next_if(|line| line.starts_with('\t')) {
                    let mut fields = Fields::new(frame);
                    for name in ["pc", "func", "file", "line"] {
                        put(&mut body, fields.number(name));
                    }
                }
                trace.push(ty.0 | 3 << 6);
                put(&mut trace, body.len() as u64);
                trace.extend(body);
            }
            ty => {
                let names = ty.spec().unwrap().args;
                let mut body = Vec::new();
                for name in names {
                    put(&mut body, fields.number(name));
                }
                let count = (names.len() - 1).min(3) as u8;
                trace.push(ty.0 | count << 6);
                if count == 3 {
                    put(&mut trace, body.len() as u64);
                }
                trace.extend(body);
                if ty == EventType::USER_LOG {
                    let message = fields.text("message");
                    put(&mut trace, message.len() as u64);
                    trace.extend(message);
                }
            }
        }
        assert!(fields.rest.trim().is_empty(), "{line}: {}", fields.rest);
    }
    trace
}

fn put(bytes: &mut Vec<u8>, number: u64) {
    let (encoded, len) = varint::encode(number);
    bytes.extend(&encoded[..len]);
}

/// What a line says after its name.
struct Fields {
    rest: String,
}

impl Fields {
    fn new(rest: &str) -> Fields {
        Fields {
            rest: format!(" {} ", rest.trim()),
        }
    }

    /// Takes what follows the name, if it is there.
    fn take(&mut self, name: &str, end: impl Fn(&str) -> usize) -> Option<String> {
        let start = self.rest.find(&format!(" {name}="))?;
        let at = start + name.len() + 2;
        let end = at + end(&self.rest[at..]);
        let value = self.rest[at..end].to_owned();
        self.rest.replace_range(start..end, "");
        Some(value)
    }

    fn number(&mut self, name: &str) -> u64 {
        let value = self.take(name, |rest| rest.find(' ').unwrap());
        value.map_or(0, |value| match value.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).expect(name),
            None if value == "-1" => u64::MAX,
            None => value.parse().expect(name),
        })
    }

    fn text(&mut self, name: &str) -> Vec<u8> {
        let value = self.take(name, |rest| {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.expect("a closing quote") + 2
        });
        value.map_or(Vec::new(), |value| unquote(&value[1..value.len() - 1]))
    }
}

/// What Go's quoted text stands for.
fn unquote(quoted: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let kind = chars.next().expect("an escape");
        let mut hex = |digits: usize| {
            let digits: String = chars.by_ref().take(digits).collect();
            u32::from_str_radix(&digits, 16).expect("hexadecimal digits")
        };
        let code = match kind {
            'x' => {
                text.push(hex(2) as u8);
                continue;
            }
            'u' => hex(4),
            'U' => hex(8),
            'a' => 7,
            'b' => 8,
            't' => 9,
            'n' => 10,
            'v' => 11,
            'f' => 12,
            'r' => 13,
            other => other as u32,
        };
        let c = char::from_u32(code).expect("a character");
        text.extend(c.encode_utf8(&mut [0; 4]).bytes());
    }
    text
}
