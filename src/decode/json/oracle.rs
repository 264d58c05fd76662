//! Random documents, and the same documents damaged, against `serde_json`.

use std::fmt;
use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::decode::Decoder;
use crate::decode::testing::{Dice, batch_at, decoder, describe, field, stream, time_at};
use crate::model::batch::{Batch, Column, RefusedRow};
use crate::model::refusal::Refusal;
use crate::model::schema::{FieldType, Format, StreamSchema, TimeFormat};

const FIELD_BYTES_MAX: usize = 24;

fn schema() -> StreamSchema {
    let mut numeric = field("n", FieldType::Int, &["n"]);
    numeric.numeric_strings = true;
    let fields = vec![
        field("service", FieldType::String, &["service"]),
        field("status", FieldType::Int, &["status"]),
        field("latency", FieldType::Float, &["latency"]),
        field("ok", FieldType::Bool, &["ok"]),
        numeric,
        field("http.ms", FieldType::Float, &["http", "ms"]),
        field("http.req.method", FieldType::String, &["http", "req", "method"]),
        // Two fields at one place.
        field("latency too", FieldType::Float, &["latency"]),
    ];
    let mut schema = stream(Format::Json, time_at(&["t"], TimeFormat::EpochMillis), fields);
    schema.budgets.field_bytes_max = FIELD_BYTES_MAX;
    schema
}

// ---- documents ----

const WORDS: &[&str] = &[
    "",
    "a",
    "GET",
    "checkout",
    "schön 😀",
    "twenty-four bytes exactly",
    "a string longer than any field here may be",
];
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-17",
    "200",
    "3.0",
    "2.5",
    "-0.125",
    "1e2",
    "1.5E+1",
    "25e-1",
    "1234567",
    "12345678",
    "123456789012345",
    "1234567890123456",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "0.1",
    "123.456789012345678",
    "1e300",
];

/// Texts of documents. Whitespace and escapes come as dice fall; `lines` keeps line breaks out.
struct Writer<'d> {
    dice: &'d mut Dice,
    spaced: bool,
    lines: bool,
    text: String,
}

impl Writer<'_> {
    fn document(dice: &mut Dice, lines: bool) -> String {
        let spaced = dice.roll(3) == 0;
        let mut writer = Writer { dice, spaced, lines, text: String::new() };
        writer.event();
        writer.text
    }

    fn blank(&mut self) {
        if self.spaced && self.dice.roll(2) == 0 {
            let blanks: &[&str] = if self.lines { &[" ", "\t", "  "] } else { &[" ", "\t", "\n", "\r\n  "] };
            let blank = *self.dice.pick(blanks);
            self.text.push_str(blank);
        }
    }

    fn event(&mut self) {
        let mut keys = vec!["t", "service", "status", "latency", "ok", "n", "http", "other", "deep"];
        if self.dice.roll(4) == 0 {
            // Any order, any of them missing, some twice.
            keys = (0..self.dice.roll(12)).map(|_| *self.dice.pick(&keys)).collect();
        }
        self.object(&keys, |writer, key| writer.member(key));
    }

    fn object(&mut self, keys: &[&str], value: impl Fn(&mut Self, &str)) {
        self.text.push('{');
        for (index, key) in keys.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.blank();
            self.string(key);
            self.blank();
            self.text.push(':');
            self.blank();
            value(self, key);
            self.blank();
        }
        self.text.push('}');
    }

    /// Mostly what the field takes.
    fn member(&mut self, key: &str) {
        match (key, self.dice.roll(12)) {
            (_, 0) => self.text.push_str("null"),
            (_, 1) => self.any(2),
            ("t", 2) => self.text.push_str("\"1431857103123\""),
            ("t", _) => self.text.push_str("1431857103123"),
            ("service", _) => self.word(),
            ("status" | "latency", _) => self.number(),
            ("n", 2..6) => {
                let number = *self.dice.pick(NUMBERS);
                self.text.push_str(&format!("\"{number}\""));
            }
            ("n", _) => self.number(),
            ("ok", _) => self.text.push_str(if self.dice.roll(2) == 0 { "true" } else { "false" }),
            ("http", _) => self.object(&["ms", "x", "req"], |writer, key| match key {
                "ms" => writer.number(),
                "req" => writer.object(&["method"], |writer, _| writer.word()),
                _ => writer.any(2),
            }),
            _ => self.any(3),
        }
    }

    fn any(&mut self, depth: u64) {
        match self.dice.roll(if depth == 0 { 4 } else { 6 }) {
            0 => self.word(),
            1 => self.number(),
            2 => self.text.push_str("false"),
            3 => self.text.push_str("null"),
            4 => {
                let members = self.dice.roll(4) as usize;
                self.object(&["a", "ms", "t"][..members], |writer, _| writer.any(depth - 1));
            }
            _ => {
                self.text.push('[');
                for index in 0..self.dice.roll(4) {
                    if index > 0 {
                        self.text.push(',');
                    }
                    self.blank();
                    self.any(depth - 1);
                    self.blank();
                }
                self.text.push(']');
            }
        }
    }

    fn number(&mut self) {
        if self.dice.roll(3) == 0 {
            let number = *self.dice.pick(NUMBERS);
            self.text.push_str(number);
        } else {
            let number = self.dice.roll(2_000_000) as f64 / 1000.0;
            self.text.push_str(&number.to_string());
        }
    }

    fn word(&mut self) {
        let word = *self.dice.pick(WORDS);
        self.string(word);
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        let escaped = self.dice.roll(8) == 0;
        for character in text.chars() {
            if escaped && self.dice.roll(2) == 0 {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    self.text.push_str(&format!("\\u{unit:04X}"));
                }
            } else {
                self.text.push(character);
            }
        }
        self.text.push('"');
    }
}

/// Half of the documents as they are; the others cut, or with a byte changed, lost or twice.
fn damaged(dice: &mut Dice, lines: bool) -> Vec<u8> {
    let mut bytes = Writer::document(dice, lines).into_bytes();
    let at = dice.roll(bytes.len() as u64) as usize;
    match dice.roll(8) {
        0 => bytes.truncate(at),
        1 => bytes[at] = *dice.pick(b"{}[]\",:\\ 0.e-tn\xff\x80\x00u"),
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, bytes[at]),
        _ => {}
    }
    bytes
}

// ---- the oracle ----

/// JSON with the order of its keys, and with keys that come twice.
enum Tree {
    Null,
    Bool(bool),
    Int(i64),
    /// Beyond `i64`, or with a fraction or an exponent.
    Float(f64),
    Text(String),
    List,
    Object(Vec<(String, Tree)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Tree;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Int(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(i64::try_from(value).map_or(Tree::Float(value as f64), Tree::Int))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Float(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Text(value.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
                while list.next_element::<Tree>()?.is_some() {}
                Ok(Tree::List)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Tree::Object(pairs))
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Cell {
    /// serde_json does not always round a float to the nearest; a last bit may differ.
    fn agrees(&self, other: &Cell) -> bool {
        match (self, other) {
            (Cell::Float(a), Cell::Float(b)) => a == b || (a - b).abs() <= 4.0 * f64::EPSILON * a.abs(),
            _ => self == other,
        }
    }
}

/// What one event should give. `Vague`: the tree has lost what the exact answer depends on.
enum Outcome {
    Row(i64, Vec<Cell>),
    Refused(Refusal),
    Vague,
}

/// The number a float stands for, when the float still shows it.
fn whole(value: f64) -> Result<i64, Misfit> {
    match () {
        _ if value.abs() > 9.0e15 => Err(Misfit::Vague),
        _ if value.fract() == 0.0 => Ok(value as i64),
        _ => Err(Misfit::Reason(Refusal::WrongType)),
    }
}

enum Misfit {
    Reason(Refusal),
    Vague,
}

fn number(text: &str) -> Option<Tree> {
    let tree: Tree = serde_json::from_str(text).ok()?;
    (matches!(tree, Tree::Int(_) | Tree::Float(_)) && text.trim() == text).then_some(tree)
}

fn cell(tree: &Tree, ty: FieldType, numeric_strings: bool) -> Result<Cell, Misfit> {
    match (ty, tree) {
        (_, Tree::Null) => Ok(Cell::Null),
        (FieldType::String, Tree::Text(text)) if text.len() > FIELD_BYTES_MAX => {
            Err(Misfit::Reason(Refusal::FieldTooLong))
        }
        (FieldType::String, Tree::Text(text)) => Ok(Cell::Str(text.clone())),
        (FieldType::Int, Tree::Int(value)) => Ok(Cell::Int(*value)),
        (FieldType::Int, Tree::Float(value)) => whole(*value).map(Cell::Int),
        (FieldType::Float, Tree::Int(value)) => Ok(Cell::Float(*value as f64)),
        (FieldType::Float, Tree::Float(value)) => Ok(Cell::Float(*value)),
        (FieldType::Bool, Tree::Bool(value)) => Ok(Cell::Bool(*value)),
        (FieldType::Int | FieldType::Float, Tree::Text(text)) if numeric_strings => {
            cell(&number(text).ok_or(Misfit::Reason(Refusal::WrongType))?, ty, false)
        }
        _ => Err(Misfit::Reason(Refusal::WrongType)),
    }
}

fn time(tree: &Tree) -> Result<Option<i64>, Misfit> {
    match tree {
        Tree::Null => Ok(None),
        Tree::Int(value) if (-62_135_596_800_000..=253_402_207_200_000).contains(value) => Ok(Some(*value)),
        Tree::Float(_) => Err(Misfit::Vague),
        Tree::Text(text) => match number(text) {
            Some(tree) => time(&tree),
            None => Err(Misfit::Reason(Refusal::BadTime)),
        },
        _ => Err(Misfit::Reason(Refusal::BadTime)),
    }
}

/// Walks the tree in the order of the text, as the scanner does.
struct Expecting<'s> {
    schema: &'s StreamSchema,
    row: Vec<Cell>,
    time: Option<i64>,
    misfit: Option<Misfit>,
}

impl Expecting<'_> {
    fn object(&mut self, path: &[&str], pairs: &[(String, Tree)]) {
        for (key, tree) in pairs {
            let path = [path, &[key.as_str()]].concat();
            if path == ["t"] {
                match time(tree) {
                    Ok(time) => self.time = time,
                    Err(misfit) => self.misfit(misfit),
                }
            }
            let schema = self.schema;
            for (id, spec) in schema.fields.iter().enumerate() {
                let spec_path: Vec<&str> = spec.path.iter().map(|key| &**key).collect();
                if spec_path == path {
                    match cell(tree, spec.ty, spec.numeric_strings) {
                        Ok(cell) => self.row[id] = cell,
                        Err(misfit) => self.misfit(misfit),
                    }
                }
            }
            let leads_on = schema
                .fields
                .iter()
                .any(|spec| spec.path.len() > path.len() && spec.path.iter().zip(&path).all(|(a, b)| **a == **b));
            match tree {
                Tree::Object(pairs) if leads_on => self.object(&path, pairs),
                Tree::Null => {}
                _ if leads_on => self.misfit(Misfit::Reason(Refusal::WrongType)),
                _ => {}
            }
        }
    }

    fn misfit(&mut self, misfit: Misfit) {
        self.misfit.get_or_insert(misfit);
    }
}

/// One object, alone in a record.
fn expected(schema: &StreamSchema, bytes: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(bytes) else { return Outcome::Refused(Refusal::NotUtf8) };
    if serde_json::from_str::<IgnoredAny>(text).is_err() || !text.trim_start().starts_with('{') {
        return Outcome::Refused(Refusal::Malformed);
    }
    // What is skipped may hold numbers and surrogates that a tree cannot.
    let Ok(Tree::Object(pairs)) = serde_json::from_str(text) else { return Outcome::Vague };
    let row = vec![Cell::Null; schema.fields.len()];
    let mut expecting = Expecting { schema, row, time: None, misfit: None };
    expecting.object(&[], &pairs);
    match (expecting.misfit, expecting.time) {
        (Some(Misfit::Vague), _) => Outcome::Vague,
        (Some(Misfit::Reason(reason)), _) => Outcome::Refused(reason),
        (None, None) => Outcome::Refused(Refusal::NoTime),
        (None, Some(time)) => Outcome::Row(time, expecting.row),
    }
}

fn row_of(out: &Batch, row: usize) -> Vec<Cell> {
    let cell = |column: &Column| match column {
        _ if column.is_null(row) => Cell::Null,
        Column::Absent => Cell::Null,
        Column::Str(spans) => Cell::Str(out.text(spans[row]).expect("valid UTF-8 (B1)").into()),
        Column::Int { values, .. } => Cell::Int(values[row]),
        Column::Float { values, .. } => Cell::Float(values[row]),
        Column::Bool { values, .. } => Cell::Bool(values[row]),
    };
    out.columns.iter().map(cell).collect()
}

fn run(decoder: &mut Decoder, records: &[Vec<u8>]) -> (Batch, Vec<RefusedRow>) {
    let (mut out, mut refused) = (Batch::default(), Vec::new());
    decoder.decode(batch_at(0, records), &mut out, &mut refused);
    (out, refused)
}

/// The story of each record: what [`describe`] says of it, without its number.
fn stories(schema: &StreamSchema, decoder: &mut Decoder, records: &[Vec<u8>]) -> Vec<String> {
    let (out, refused) = run(decoder, records);
    let mut stories = vec![String::new(); records.len()];
    for line in describe(schema, &out, &refused).lines() {
        let (record, rest) = line[1..].split_once(' ').unwrap();
        stories[record.parse::<usize>().unwrap()] += &format!("{rest}\n");
    }
    stories
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Every document gives the row or the refusal that serde_json and the declared types say, the decoder having
    /// learned from the documents before it. `C1`: none vanishes.
    #[test]
    fn documents_read_as_with_serde_json(seed in any::<u64>()) {
        let schema = schema();
        let mut dice = Dice(seed);
        let mut decoder = decoder(&schema);
        let records: Vec<Vec<u8>> = (0..20).map(|_| damaged(&mut dice, false)).collect();
        let (out, refused) = run(&mut decoder, &records);
        for (index, record) in records.iter().enumerate() {
            let rows: Vec<usize> = (0..out.rows()).filter(|row| out.record[*row] as usize == index).collect();
            let reasons: Vec<Refusal> = refused.iter().filter(|row| row.record as usize == index).map(|row| row.reason).collect();
            let text = String::from_utf8_lossy(record);
            prop_assert!(!rows.is_empty() || !reasons.is_empty(), "{} vanished", text);
            match expected(&schema, record) {
                Outcome::Vague => {}
                Outcome::Row(time, cells) => {
                    prop_assert_eq!(reasons, [], "{}", text);
                    prop_assert_eq!(rows.len(), 1, "{}", text);
                    prop_assert_eq!(out.time[rows[0]], time);
                    let got = row_of(&out, rows[0]);
                    prop_assert!(got.iter().zip(&cells).all(|(a, b)| a.agrees(b)), "{}: {:?} is not {:?}", text, got, cells);
                    prop_assert_eq!(out.text(out.raw[rows[0]]).unwrap(), text.trim_matches([' ', '\t', '\r', '\n']));
                }
                Outcome::Refused(reason @ (Refusal::Malformed | Refusal::NotUtf8)) => {
                    // A damaged document that spans lines may leave more than one refusal, and what starts a line with
                    // `{` in it, or ends one with `}`, may even be an event.
                    let by_lines = text.contains("\n{") || text.contains("}\n") || text.contains("}\r\n");
                    prop_assert!(rows.is_empty() || by_lines, "{}", text);
                    prop_assert!(reasons.contains(&reason), "{}: {:?}, not {}", text, reasons, reason);
                }
                Outcome::Refused(reason) => prop_assert_eq!(reasons, [reason], "{}", text),
            }
        }
    }

    /// `C2`: batches, neighbours and what was learned change nothing.
    #[test]
    fn a_record_gives_the_same_wherever_it_stands(seed in any::<u64>()) {
        let schema = schema();
        let mut dice = Dice(seed);
        let records: Vec<Vec<u8>> = (0..24).map(|_| damaged(&mut dice, false)).collect();
        let alone: Vec<String> =
            records.iter().flat_map(|record| stories(&schema, &mut decoder(&schema), std::slice::from_ref(record))).collect();
        prop_assert_eq!(&stories(&schema, &mut decoder(&schema), &records), &alone);

        let mut learned = decoder(&schema);
        let mut rest = &records[..];
        let mut cut = Vec::new();
        while !rest.is_empty() {
            let (chunk, more) = rest.split_at(1 + dice.roll(rest.len() as u64) as usize);
            cut.extend(stories(&schema, &mut learned, chunk));
            rest = more;
        }
        prop_assert_eq!(&cut, &alone);
        prop_assert_eq!(&stories(&schema, &mut learned, &records), &alone);
    }

    /// A bad line costs itself: the rows of a record of lines are those of the lines.
    #[test]
    fn bad_lines_cost_themselves(seed in any::<u64>()) {
        let schema = schema();
        let mut dice = Dice(seed);
        let lines: Vec<Vec<u8>> = (0..8).map(|_| damaged(&mut dice, true)).collect();
        let mut decoder = decoder(&schema);
        let (alone, _) = run(&mut decoder, &lines);
        let (joined, refused) = run(&mut decoder, &[lines.join(&b'\n')]);
        let rows = |out: &Batch| (0..out.rows()).map(|row| (out.time[row], row_of(out, row))).collect::<Vec<_>>();
        // A whole line after a broken one may be read as a part of it only when it does not start as an object does.
        let plain = lines.iter().all(|line| line.first() == Some(&b'{'));
        if plain {
            prop_assert_eq!(rows(&joined), rows(&alone), "{}", String::from_utf8_lossy(&lines.join(&b'\n')));
        }
        prop_assert!(joined.rows() + refused.len() > 0);
    }

    /// The same as an array: whole, or not at all.
    #[test]
    fn arrays_read_as_their_elements(seed in any::<u64>()) {
        let schema = schema();
        let mut dice = Dice(seed);
        let elements: Vec<Vec<u8>> = (0..1 + dice.roll(6)).map(|_| Writer::document(&mut dice, false).into_bytes()).collect();
        let mut decoder = decoder(&schema);
        let alone: String = stories(&schema, &mut decoder, &elements).concat();
        let array = [&b"[ "[..], &elements.join(&b","[..]), b"]"].concat();
        let reasons = |story: &str| {
            let mut lines: Vec<&str> = story.lines().map(|line| line.split(" at ").next().unwrap()).collect();
            lines.sort_unstable();
            lines.join("\n")
        };
        let whole = stories(&schema, &mut decoder, std::slice::from_ref(&array)).concat();
        prop_assert_eq!(reasons(&whole), reasons(&alone));
        let cut = dice.roll(array.len() as u64 - 1) as usize + 1;
        let (out, refused) = run(&mut decoder, &[array[..cut].to_vec()]);
        prop_assert_eq!((out.rows(), refused.len()), (0, 1));
    }

    /// Bytes of any kind at all.
    #[test]
    fn noise_is_refused(records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..20)) {
        let schema = schema();
        let mut decoder = decoder(&schema);
        let told = stories(&schema, &mut decoder, &records);
        prop_assert!(told.iter().all(|story| !story.is_empty()));
    }
}

/// More keys than a shape remembers, again and again: still the same answers, and bounded memory (`S2`).
#[test]
fn a_stream_without_a_shape_is_read_all_the_same() {
    let schema = schema();
    let mut decoder = Decoder::new(Arc::new(schema.clone()), &[0, 1]).unwrap();
    let records: Vec<Vec<u8>> = (0..30_000)
        .map(|i| format!(r#"{{"k{i}":1,"t":{i},"x{}":[],"service":"s","y{i}":{{}},"status":{i}}}"#, i * 7).into_bytes())
        .collect();
    for _ in 0..2 {
        let (out, refused) = run(&mut decoder, &records);
        assert_eq!((out.rows(), refused.len()), (30_000, 0));
        for row in 0..out.rows() {
            assert_eq!((out.time[row], row_of(&out, row)[1].clone()), (row as i64, Cell::Int(row as i64)));
        }
    }
}
