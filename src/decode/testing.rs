//! Streams and batches for the tests of this module, and batches as text.

use std::fmt::Write;
use std::sync::Arc;

use super::Decoder;
use crate::model::batch::{Batch, Column, RawBatch, RawBatchBuilder, RefusedRow};
use crate::model::schema::{
    Budgets, FieldSpec, FieldType, Format, HistogramSpec, StreamSchema, TimeFormat, TimeSource, TimeSpec,
};
use crate::model::time::Millis;

pub fn path(keys: &[&str]) -> Vec<Arc<str>> {
    keys.iter().map(|key| Arc::from(*key)).collect()
}

pub fn time_at(keys: &[&str], format: TimeFormat) -> TimeSpec {
    TimeSpec { source: TimeSource::Path(path(keys)), format }
}

pub fn field(name: &str, ty: FieldType, keys: &[&str]) -> FieldSpec {
    FieldSpec { name: name.into(), ty, path: path(keys), numeric_strings: false, histogram: HistogramSpec::INT }
}

pub fn stream(format: Format, time: TimeSpec, fields: Vec<FieldSpec>) -> StreamSchema {
    StreamSchema {
        name: "events".into(),
        format,
        time,
        fields,
        exemplar: None,
        lateness: Millis(0),
        idle_timeout: Millis(0),
        stall_timeout: Millis(0),
        future_max: Millis(0),
        budgets: Budgets::default(),
    }
}

/// Records of one partition.
pub fn batch<R: AsRef<[u8]>>(records: impl IntoIterator<Item = R>) -> RawBatch {
    batch_at(0, records)
}

/// Records of one partition, from this offset on.
pub fn batch_at<R: AsRef<[u8]>>(offset: i64, records: impl IntoIterator<Item = R>) -> RawBatch {
    let mut builder = RawBatchBuilder::default();
    let source = builder.source(&Arc::from("topic"), 0);
    for (index, record) in records.into_iter().enumerate() {
        builder.push(source, offset + index as i64, 7_000, record.as_ref());
    }
    builder.finish()
}

/// A decoder of all fields.
pub fn decoder(schema: &StreamSchema) -> Decoder {
    let all: Vec<usize> = (0..schema.fields.len()).collect();
    Decoder::new(Arc::new(schema.clone()), &all).unwrap()
}

/// What becomes of the records, as text; see [`describe`].
pub fn decode<R: AsRef<[u8]>>(schema: &StreamSchema, records: impl IntoIterator<Item = R>) -> String {
    let mut out = Batch::default();
    let mut refused = Vec::new();
    decoder(schema).decode(batch(records), &mut out, &mut refused);
    describe(schema, &out, &refused)
}

/// `#record @time field=value …` a row, then `#record reason at byte` a refusal.
pub fn describe(schema: &StreamSchema, out: &Batch, refused: &[RefusedRow]) -> String {
    let mut text = String::new();
    for row in 0..out.rows() {
        write!(text, "#{} @{}", out.record[row], out.time[row]).unwrap();
        for (spec, column) in schema.fields.iter().zip(&out.columns) {
            write!(text, " {}={}", spec.name, value(out, column, row)).unwrap();
        }
        text.push('\n');
    }
    for row in refused {
        writeln!(text, "#{} {} at {}", row.record, row.reason, row.at).unwrap();
    }
    text
}

/// One value: strings quoted, floats with a point, `-` for null.
pub fn value(out: &Batch, column: &Column, row: usize) -> String {
    match column {
        _ if column.is_null(row) => "-".into(),
        Column::Absent => "-".into(),
        Column::Str(spans) => format!("{:?}", out.text(spans[row]).expect("valid UTF-8 (B1)")),
        Column::Int { values, .. } => values[row].to_string(),
        Column::Float { values, .. } => format!("{:?}", values[row]),
        Column::Bool { values, .. } => values[row].to_string(),
    }
}

/// A file of the shared test data, looked for beside the repository and, for a worktree, one level further out.
pub fn shared(name: &str) -> Option<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = ["../shared/data", "../../shared/data"]
        .iter()
        .find_map(|folder| std::fs::read_to_string(root.join(folder).join(name)).ok());
    if found.is_none() {
        eprintln!("SKIPPED: no ../shared/data/{name} here; this test needs the shared data set");
    }
    found
}

/// A seeded source of choices; proptest gives the seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.roll(of.len() as u64) as usize]
    }

    pub fn some<T>(&mut self, most: u64, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.roll(most + 1)).map(|_| make(self)).collect()
    }

    pub fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.roll(3) > 0).then(|| make(self))
    }
}
