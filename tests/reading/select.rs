//! Expressions, and the filters that they and the other conditions make.

use crate::common;
use gotrace::event::{Change, Details, GoState};
use gotrace::select::expr::{
    ExpressionErrorKind, NameError, Names, Path, Quantity, Subject, Type, Value,
};
use gotrace::select::{
    Condition, EventCondition, EventNames, Filter, SelectError, Verdict, last_time,
};
use gotrace::{EventKind, GoId, StreamReader, Time, Trace};
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

/// Three names: a duration that may be absent, a text with two values, a number.
struct Toy {
    duration: Option<u64>,
    number: u64,
}

impl Names for Toy {
    type Name = &'static str;

    fn resolve(&self, path: Path<'_>) -> Result<(&'static str, Type), NameError> {
        match (path.head, path.argument, path.tail) {
            ("duration", None, "") => Ok(("duration", Type::Duration)),
            ("size", None, "of.all") => Ok(("number", Type::Size)),
            ("text", None, "") => Ok(("text", Type::Text)),
            ("n", None, "") => Ok(("number", Type::Number)),
            ("yes", None, "") => Ok(("yes", Type::Truth)),
            ("of", Some("x"), "p99") => Ok(("duration", Type::Duration)),
            ("of", None, _) => Err(NameError::NeedsArgument),
            ("n", Some(_), _) => Err(NameError::TakesNoArgument),
            _ => Err(NameError::Unknown),
        }
    }

    fn all(&self) -> Vec<String> {
        vec!["duration".into(), "text".into(), "size.of.all".into()]
    }
}

impl Subject<&'static str> for Toy {
    fn values(&self, name: &&'static str, test: &mut dyn FnMut(Value<'_>) -> bool) {
        match *name {
            "duration" => {
                let _ = self
                    .duration
                    .is_some_and(|n| test(Value::Number(Quantity::new(n))));
            }
            "number" => {
                test(Value::Number(Quantity::new(self.number)));
            }
            "yes" => {
                test(Value::Truth(true));
            }
            _ => {
                let _ = test(Value::Text("net/http.(*conn).serve".into()))
                    || test(Value::Text("main.worker".into()));
            }
        }
    }
}

const TOY: Toy = Toy {
    duration: Some(10_000_000),
    number: 7,
};

fn holds(text: &str) -> bool {
    Condition::parse(text, &TOY)
        .unwrap_or_else(|error| panic!("{error:#}"))
        .holds(&TOY)
}

#[test]
fn operators_do_what_they_say() {
    for text in [
        "duration == 10ms",
        "duration == 0.01s && duration == 10000us && duration == 10_ms || n == 7",
        "duration > 9.999999ms",
        "duration in 1ms..11ms",
        "duration in [1s, 10ms]",
        "n in 1..8 && n in 7..=7 && n in [1, 2, 5..9]",
        "!(n in 1..7)",
        "n != 8 && n <= 7 && n >= 7 && !(n < 7) && !(n > 7)",
        "n > 0.5 && n < 701%",
        "size.of.all < 1KiB && size.of.all == 7B && size.of.all > 0",
        r#"text == "main.worker""#,
        r#"text contains "(*conn)" && text =~ "^main\\.w""#,
        r"text =~ `http\.\(\*conn\)`",
        r#"text != "a" && text !~ "b{3}" && !(text != "main.worker")"#,
        r#"text in ["x", 'main.worker']"#,
        r#"text == "\x6dain.worker""#,
        "yes && !!yes && (yes || n == 1)",
        // && binds more tightly.
        "yes || yes && n == 1",
        "!(n == 1) && !text == 'x' || n == 1",
        "  duration\t>\n1 ms  ",
        "of(\"x\").p99 < 1s && of('x').p99",
    ] {
        if text.contains('_') {
            // Digits are not grouped.
            assert!(Condition::parse(text, &TOY).is_err(), "{text}");
            continue;
        }
        assert!(holds(text), "{text}");
    }
}

#[test]
fn what_has_no_value_fails_every_test_without_a_question_mark() {
    let absent = Toy {
        duration: None,
        number: 7,
    };
    let ask = |text: &str| {
        let condition = Condition::parse(text, &absent).unwrap();
        let decided = condition
            .decide(&absent)
            .map_err(|test| test.text.to_owned());
        (condition.holds(&absent), decided)
    };
    for text in ["duration < 1s", "duration != 1s", "duration in [1s]"] {
        assert_eq!(ask(text), (false, Err(text.to_owned())));
    }
    assert!(ask("!(duration < 1s)").0);
    assert_eq!(ask("duration? < 1s"), (true, Ok(true)));
    assert_eq!(ask("duration"), (false, Ok(false)));
    // What does not decide is not asked.
    assert_eq!(ask("n == 7 || duration < 1s"), (true, Ok(true)));
    assert_eq!(ask("n == 1 && duration < 1s"), (false, Ok(false)));
    assert_eq!(
        ask("n == 7 && duration < 1s").1,
        Err("duration < 1s".into())
    );
}

/// Column and message of an error.
fn error(text: &str) -> (usize, String) {
    match Condition::parse(text, &TOY) {
        Ok(_) => panic!("{text} is accepted"),
        Err(error) => (error.column(), error.kind().to_string()),
    }
}

#[test]
fn errors_name_the_column_and_what_to_write() {
    for (text, column, says) in [
        ("", 1, "expected a name"),
        ("n = 5", 3, "written as =="),
        ("n == 5 and yes", 8, "written as &&"),
        ("n == 5 or yes", 8, "written as ||"),
        ("n == 5 | yes", 8, "written as ||"),
        ("n == 5 yes", 8, "expected &&, || or the end"),
        ("(n == 5", 8, "expected &&, || or )"),
        ("n ==", 5, "expected a value"),
        ("n == x", 6, "expected a value"),
        ("n in [1, 2", 11, "expected , or ]"),
        ("n in 5..5", 6, "nothing is in this span"),
        ("n in 5..=4", 6, "nothing is in this span"),
        ("duration > 10", 12, "expected a duration with its unit"),
        ("duration > 10KiB", 12, "expected a duration with its unit"),
        ("n > 10ms", 5, "a number without a unit"),
        ("size.of.all > 10", 15, "number of bytes with its unit"),
        ("duration > 10parsecs", 14, "unknown unit"),
        ("text == 5", 9, "expected a text in quotes"),
        ("text < 'a'", 6, "a text can be compared with"),
        ("n =~ 'a'", 3, "a number can be compared with"),
        ("yes == 1", 5, "true or false"),
        ("text == 'abc", 9, "no closing quote"),
        ("text == `abc", 9, "no closing quote"),
        (r"text == 'a\q'", 11, "unknown escape"),
        (r"text == '\xff'", 10, "unknown escape"),
        ("text =~ '(a'", 9, "unclosed group"),
        ("text =~ 'a{1000}{1000}{1000}'", 9, "too large"),
        ("duraton > 1ms", 1, "did you mean duration?"),
        ("nothing.like.it > 1ms", 1, "no such name"),
        ("of.p99 > 1ms", 1, "needs an argument"),
        ("n('x') > 1", 1, "takes no argument"),
        ("of(5).p99 > 1s", 4, "a text in quotes"),
        (
            "n == 99999999999999999999999999999999999999",
            6,
            "too large",
        ),
        ("text == 'µ' && n == x", 21, "expected a value"),
    ] {
        let (at, message) = error(text);
        assert!(message.contains(says), "{text}: {message}");
        assert_eq!(at, column, "{text}: {message}");
    }
    let shown = Condition::parse("text == 'µ' && n = 1", &TOY).unwrap_err();
    assert_eq!(
        format!("{shown:#}"),
        "column 18: \"equal\" is written as ==\n  text == 'µ' && n = 1\n                   ^"
    );
}

#[test]
fn what_is_long_or_deep_is_refused_or_read_without_recursion() {
    let deep = |n: usize| format!("{}yes{}", "(".repeat(n), ")".repeat(n));
    assert!(holds(&deep(64)));
    assert_eq!(error(&deep(65)).0, 65);
    assert!(holds(&format!("{}yes", "!".repeat(64))));
    assert_eq!(error(&format!("{}yes", "!".repeat(5000))).0, 65);
    let long = vec!["yes"; 2000].join("||");
    assert!(holds(&long));
    let too_long = vec!["yes"; 4000].join("||");
    let error = Condition::parse(&too_long, &TOY).unwrap_err();
    assert_eq!(*error.kind(), ExpressionErrorKind::TooLong);
}

proptest! {
    #[test]
    fn any_text_is_an_expression_or_an_error_with_a_place(text in ".{0,60}") {
        if let Err(error) = Condition::parse(&text, &TOY) {
            prop_assert!(error.column() <= text.chars().count() + 1);
            let _ = format!("{error:#}");
        }
    }

    #[test]
    fn pieces_of_expressions_in_any_order_do_no_harm(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "n", "yes", "text", "duration", "&&", "||", "!", "(", ")", "==", "=~", "in", "[", "]",
            "..", "..=", "5", "1.5", "ms", "10ms", "'a'", "`", "\"", "?", ".", ",", "contains", "%",
        ]), 0..14)
    ) {
        let text = pieces.join(" ");
        if let Ok(condition) = Condition::parse(&text, &TOY) {
            let _ = condition.holds(&TOY);
            // What is shown is parsed to the same.
            prop_assert_eq!(Condition::parse(&condition.to_string(), &TOY), Ok(condition));
        }
    }
}

/// The events of a fixture that a filter selects, as text; over a slice.
fn selected(fixture: &str, filter: &Filter) -> Vec<String> {
    let bytes = common::fixture(fixture).bytes();
    let trace = Trace::new(&bytes).unwrap();
    let mut selection = filter.selection();
    if filter.needs_end() {
        selection = selection.with_end(last_time(&trace).unwrap());
    }
    let mut reader = trace.reader();
    let mut lines = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        match selection.sees(&event).unwrap() {
            Verdict::Selected => lines.push(event.line().to_string()),
            Verdict::Skipped => {}
            Verdict::Over => break,
        }
    }
    lines
}

fn by(expression: &str) -> Filter {
    let condition = EventCondition::parse(expression, &EventNames);
    Filter::new().with_condition(condition.unwrap_or_else(|error| panic!("{error:#}")))
}

#[test]
fn expressions_select_what_the_other_conditions_do() {
    let id = |n| GoId::new(n).unwrap();
    let (http, annotate) = ("http-go1.27", "annotate-go1.27");
    for (fixture, expression, filter) in [
        (http, "g == 1", Filter::new().with_goroutine(id(1))),
        (
            http,
            "kind == 'Metric'",
            Filter::new().with_kind(EventKind::Metric),
        ),
        (
            http,
            "stack contains 'http.(*conn).serve'",
            Filter::new().with_stack("http.(*conn).serve"),
        ),
        (
            annotate,
            "kind in ['RegionBegin', 'RegionEnd'] && region",
            Filter::new()
                .with_kind(EventKind::RegionBegin)
                .with_kind(EventKind::RegionEnd),
        ),
        (
            http,
            "time >= 2ms && time < 5ms",
            Filter::new()
                .with_from("2ms".parse().unwrap())
                .with_to("5ms".parse().unwrap()),
        ),
    ] {
        let lines = selected(fixture, &filter);
        assert!(!lines.is_empty(), "{expression}");
        assert_eq!(selected(fixture, &by(expression)), lines, "{expression}");
    }
}

/// Compares durations with what a list of all transitions gives.
#[test]
fn durations_are_the_times_between_transitions() {
    let fixture = "http-go1.27";
    let bytes = common::fixture(fixture).bytes();
    let trace = Trace::new(&bytes).unwrap();
    let mut reader = trace.reader();
    let mut since: HashMap<GoId, (Time, String)> = HashMap::new();
    let mut expected = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        let details = event.details();
        let Details::StateTransition(transition) = &details else {
            continue;
        };
        let Change::Goroutine {
            id: Some(id),
            from,
            to,
        } = transition.change
        else {
            continue;
        };
        if from == to {
            continue;
        }
        if let Some((begun, reason)) = since.remove(&id)
            && from == GoState::Waiting
            && reason == "network"
            && event.time().since(begun) > 20_000
        {
            expected.push(event.line().to_string());
        }
        since.insert(id, (event.time(), transition.reason.to_string()));
    }
    assert!(expected.len() > 10);
    assert_eq!(
        selected(fixture, &by("waiting('network') > 20us")),
        expected
    );
    let all = selected(fixture, &by("waiting > 20us"));
    assert!(all.len() > expected.len());
    let alike = by("from == 'Waiting' && duration > 20us");
    assert_eq!(selected(fixture, &alike), all);
    // Events that begin a wait end something else.
    let blocks = selected(
        fixture,
        &by("kind == 'GoBlock' && reason == 'network' && running"),
    );
    assert!(!blocks.is_empty());
    assert_eq!(
        blocks,
        selected(
            fixture,
            &by("kind == 'GoBlock' && reason == 'network' && duration > 0")
        )
    );
}

#[test]
fn tasks_regions_ranges_and_names_are_followed() {
    let annotate = "annotate-go1.27";
    let ends = |expression: &str| selected(annotate, &by(expression));
    let tasks = ends("kind == 'TaskEnd' && duration");
    assert!(!tasks.is_empty());
    let types: Vec<&str> = tasks
        .iter()
        .map(|line| line.split("Type=\"").nth(1).unwrap().trim_end_matches('"'))
        .collect();
    let ty = types[0];
    let same = ends(&format!("task('{ty}') > 0 && task == '{ty}'"));
    assert_eq!(
        same.len(),
        types.iter().filter(|other| **other == ty).count()
    );
    assert!(ends(&format!("task('{ty}') > 1h")).is_empty());
    assert!(!ends("kind == 'RegionEnd' && duration > 0").is_empty());
    assert!(!ends("name == 'main.main' && kind == 'Log'").is_empty());
    assert!(!ends("goroutines > 3").is_empty());
    let gc = "gc-go1.27";
    let pauses = selected(gc, &by("stw > 0"));
    assert!(pauses.len() > 1 && pauses.iter().all(|line| line.contains("stop-the-world")));
    let marks = selected(gc, &by("stw('GC mark termination') > 0"));
    assert!(!marks.is_empty() && marks.len() < pauses.len());
    assert!(!selected(gc, &by("gc > 1us")).is_empty());
    assert!(!selected(gc, &by("heap > 1KiB && metric =~ 'heap'")).is_empty());
    let error = EventCondition::parse("kind == 'Blocked'", &EventNames).unwrap_err();
    assert!(error.to_string().contains("StateTransition"), "{error}");
}

#[test]
fn the_last_of_a_trace_is_what_is_near_its_end() {
    let fixture = "http-go1.27";
    let bytes = common::fixture(fixture).bytes();
    let trace = Trace::new(&bytes).unwrap();
    let mut reader = trace.reader();
    let mut times = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        times.push(event.time());
    }
    let end = *times.last().unwrap();
    assert_eq!(last_time(&trace), Some(end));
    let filter = Filter::new().with_last(Duration::from_millis(1));
    let near = times.iter().filter(|time| end.since(**time) <= 1_000_000);
    assert_eq!(selected(fixture, &filter).len(), near.count());
    let mut reader = trace.reader();
    let event = reader.next().unwrap().unwrap();
    assert_eq!(filter.selection().sees(&event), Err(SelectError::NoEnd));
}

/// The watch of an expression copies what it keeps: a stream's generations go away.
#[test]
fn streams_and_slices_select_the_same() {
    let expression = "duration > 10us || name =~ 'main' || task == 'x' || waiting('sleep') > 1us";
    for fixture in common::fixtures() {
        let bytes = fixture.bytes();
        let condition = EventCondition::parse(expression, &EventNames).unwrap();
        let filter = Filter::new().with_condition(condition);
        let slice = {
            let trace = Trace::new(&bytes).unwrap();
            let (mut reader, mut selection) = (trace.reader(), filter.selection());
            let mut selected = Vec::new();
            while let Ok(Some(event)) = reader.next() {
                selected.push(selection.sees(&event).unwrap());
            }
            selected
        };
        let mut reader = StreamReader::new(&bytes[..]).unwrap();
        let mut selection = filter.selection();
        let mut stream = Vec::new();
        while let Ok(Some(event)) = reader.next() {
            stream.push(selection.sees(&event).unwrap());
        }
        assert!(slice == stream, "{}", fixture.name);
    }
}
