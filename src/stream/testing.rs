//! Streams and batches for the tests of this module.

use std::sync::Arc;

use arrow::buffer::Buffer;

use crate::model::batch::{ARENA_SLACK, Batch, Column, StrSpan};
use crate::model::schema::*;
use crate::model::time::Millis;

/// One value of one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Str(text.to_owned())
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Cell::Int(value)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Cell::Float(value)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Cell::Bool(value)
    }
}

pub fn schema(name: &str, fields: &[(&str, FieldType)]) -> StreamSchema {
    StreamSchema {
        name: name.into(),
        format: Format::Json,
        time: TimeSpec { source: TimeSource::Record, format: TimeFormat::EpochMillis },
        fields: fields
            .iter()
            .map(|(name, ty)| FieldSpec {
                name: Arc::from(*name),
                ty: *ty,
                path: vec![Arc::from(*name)],
                numeric_strings: false,
                histogram: HistogramSpec::INT,
            })
            .collect(),
        exemplar: None,
        lateness: Millis::from_secs(10),
        idle_timeout: Millis::from_secs(30),
        stall_timeout: Millis::from_secs(60),
        future_max: Millis::from_secs(60),
        budgets: Budgets::default(),
    }
}

/// The stream most tests speak of.
pub fn requests() -> StreamSchema {
    schema(
        "requests",
        &[
            ("service", FieldType::String),
            ("env", FieldType::String),
            ("status", FieldType::Int),
            ("latency_ms", FieldType::Float),
            ("cached", FieldType::Bool),
            ("http.method", FieldType::String),
            ("bytes", FieldType::Int),
        ],
    )
}

/// A batch of `rows`, one second apart from the epoch on. Every third string stands in `extra`.
pub fn batch(schema: &StreamSchema, rows: &[Vec<Cell>]) -> Batch {
    let mut payload = Vec::new();
    let mut batch = Batch {
        time: (0..rows.len() as i64).map(|row| row * 1_000).collect(),
        record: vec![0; rows.len()],
        raw: vec![StrSpan::NULL; rows.len()],
        ..Batch::default()
    };
    let mut strings = 0;
    for (id, field) in schema.fields.iter().enumerate() {
        let cells = rows.iter().map(|row| &row[id]);
        let nulls = cells.clone().map(|cell| *cell == Cell::Null).collect();
        let column = match field.ty {
            FieldType::String => Column::Str(
                cells
                    .map(|cell| match cell {
                        Cell::Str(text) => {
                            strings += 1;
                            let arena = if strings % 3 == 0 { &mut batch.extra } else { &mut payload };
                            let (start, len) = (arena.len() as u32, text.len() as u32);
                            arena.extend_from_slice(text.as_bytes());
                            if strings % 3 == 0 { StrSpan::extra(start, len) } else { StrSpan::payload(start, len) }
                        }
                        _ => StrSpan::NULL,
                    })
                    .collect(),
            ),
            FieldType::Int => {
                Column::Int { values: cells.map(|cell| if let Cell::Int(v) = cell { *v } else { 0 }).collect(), nulls }
            }
            FieldType::Float => Column::Float {
                values: cells.map(|cell| if let Cell::Float(v) = cell { *v } else { 0.0 }).collect(),
                nulls,
            },
            FieldType::Bool => Column::Bool { values: cells.map(|cell| *cell == Cell::Bool(true)).collect(), nulls },
        };
        batch.columns.push(column);
    }
    payload.resize(payload.len() + ARENA_SLACK, 0);
    batch.payload = Buffer::from_vec(payload);
    batch
}

/// A column's entries as cells.
pub fn cells(batch: &Batch, column: &Column) -> Vec<Cell> {
    (0..column.len())
        .map(|row| match column {
            _ if column.is_null(row) => Cell::Null,
            Column::Absent => Cell::Null,
            Column::Str(spans) => Cell::Str(batch.text(spans[row]).expect("valid text").to_owned()),
            Column::Int { values, .. } => Cell::Int(values[row]),
            Column::Float { values, .. } => Cell::Float(values[row]),
            Column::Bool { values, .. } => Cell::Bool(values[row]),
        })
        .collect()
}
