//! SQL expressions over one stream's fields: filters (`where`, `FILTER (WHERE …)`) and computed columns.
//!
//! The language is SQL because people know it, parsed and planned by DataFusion because a grammar, a type system and
//! two hundred functions are not ours to write. What is ours is the running of it: a filter is split at its ANDs, and
//! what is simple runs on our own columns ([`native`]); the rest runs as DataFusion's physical expressions on an Arrow
//! view of the columns they read and the rows that are left ([`columns`]).
//!
//! - `E1` a filter keeps a row exactly if the whole condition is TRUE for it in SQL's three-valued logic
//! - `E2` a row's outcome depends on that row alone: not on the other rows of the batch, not on the clock, not on
//!   chance (functions of the clock or of chance are refused at load)
//! - `E3` a row whose value cannot be computed (integer division by zero, a text that is no number) has the value null,
//!   is counted, and harms no other row
//! - `E4` field names are matched exactly; `"double quotes"` for names that are not plain words. An unquoted `a.b` is the
//!   field `a.b`
//!
//! Division of two ints is integer division, as in SQL; ints wrap on overflow, as in DataFusion; a NaN equals itself
//! and is above all numbers, as in PostgreSQL.

mod check;
mod columns;
mod native;
mod parse;
mod plan;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Schema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::sql::sqlparser::ast;

use crate::model::batch::{Batch, Column};
use crate::model::schema::{FieldType, StreamSchema};
use columns::{Input, Program};
use native::Native;
use plan::Planner;

pub use datafusion::sql::sqlparser;
pub use parse::{
    AggregateCall, ArgAst, DEPTH_MAX, FilterAst, TEXT_BYTES_MAX, canonical, parse_aggregate, parse_scalar,
};
pub use plan::EVENT_TIME;

/// Why an expression is not taken: a sentence, the place in the text, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// The whole expression.
    pub text: String,
    /// Bytes of `text`.
    pub span: Range<usize>,
    pub message: String,
    pub hint: Option<String>,
}

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Filter {
    canonical: Arc<str>,
    fields: Vec<usize>,
    /// Cheap ones first.
    native: Vec<Native>,
    rest: Option<Program>,
}

impl Filter {
    pub fn compile(sql: &str, schema: &StreamSchema) -> Result<Filter, ExprError> {
        Filter::from_ast(&parse_scalar(sql)?, sql, schema)
    }

    /// `sql` is the text that `ast` was parsed from, or that it is a part of: places in errors refer to it.
    pub fn from_ast(ast: &ast::Expr, sql: &str, schema: &StreamSchema) -> Result<Filter, ExprError> {
        let planner = Planner::new(schema);
        let checked = check::condition(ast, sql, schema, &planner)?;
        let field = |name: &str| schema.field(name).map(|(id, _)| id);
        let (mut native, mut rest) = (Vec::new(), Vec::new());
        for part in split_conjunction_owned(checked.expr.clone()) {
            match Native::compile(&part, &field) {
                Some(part) => native.push(part),
                None => rest.push(part),
            }
        }
        native.sort_by_key(Native::cost);
        let rest = match conjunction(rest) {
            Some(rest) => Some(program(&rest, DataType::Boolean, schema, &planner).map_err(|e| checked.failed(e))?),
            None => None,
        };
        Ok(Filter { canonical: canonical(&checked.ast).into(), fields: fields(&checked.expr, schema), native, rest })
    }

    /// Ids of the fields it reads, ascending.
    pub fn fields(&self) -> &[usize] {
        &self.fields
    }

    /// Filters with the same canonical text over the same stream keep the same rows.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Keeps the rows of `sel` where the condition is TRUE. `sel` must ascend and stays ascending.
    pub fn select(&mut self, batch: &Batch, sel: &mut Vec<u32>) {
        for part in &self.native {
            part.select(batch, sel);
        }
        let Some(rest) = &mut self.rest else { return };
        let values = rest.run(batch, sel);
        let values = values.as_boolean();
        let mut at = 0;
        sel.retain(|_| {
            at += 1;
            values.is_valid(at - 1) && values.value(at - 1)
        });
    }

    /// `mask[at]` becomes whether the condition is TRUE for row `sel[at]`. `sel` must ascend.
    pub fn mask(&mut self, batch: &Batch, sel: &[u32], mask: &mut Vec<bool>) {
        mask.clear();
        mask.resize(sel.len(), true);
        if let ([only], None) = (&self.native[..], &self.rest) {
            return only.hits(batch, sel, mask);
        }
        let mut kept = sel.to_vec();
        self.select(batch, &mut kept);
        let mut kept = kept.into_iter().peekable();
        for (hit, row) in mask.iter_mut().zip(sel) {
            *hit = kept.next_if_eq(row).is_some();
        }
    }

    /// Rows whose condition could not be computed (`E3`) since the last call.
    pub fn take_failed(&mut self) -> u64 {
        self.rest.as_mut().map_or(0, |rest| std::mem::take(&mut rest.failed))
    }

    /// What was wrong with the latest of them.
    pub fn failure(&self) -> Option<&str> {
        self.rest.as_ref()?.failure.as_deref()
    }
}

/// The condition in its one spelling.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

/// A compiled computed column.
#[derive(Clone, Debug)]
pub struct Derived {
    canonical: Arc<str>,
    fields: Vec<usize>,
    ty: FieldType,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    /// It is a field of the stream.
    Field(usize),
    Program(Program),
}

impl Derived {
    pub fn compile(sql: &str, schema: &StreamSchema) -> Result<Derived, ExprError> {
        Derived::from_ast(&parse_scalar(sql)?, sql, schema)
    }

    /// `sql` is the text that `ast` was parsed from, or that it is a part of: places in errors refer to it.
    pub fn from_ast(ast: &ast::Expr, sql: &str, schema: &StreamSchema) -> Result<Derived, ExprError> {
        let planner = Planner::new(schema);
        let (checked, ty) = check::value(ast, sql, schema, &planner)?;
        let field = match &checked.expr {
            Expr::Column(column) => schema.field(&column.name),
            _ => None,
        };
        let how = match field {
            Some((id, _)) => How::Field(id),
            None => How::Program(
                program(&checked.expr, plan::arrow_type(ty), schema, &planner).map_err(|e| checked.failed(e))?,
            ),
        };
        Ok(Derived { canonical: canonical(&checked.ast).into(), fields: fields(&checked.expr, schema), ty, how })
    }

    pub fn ty(&self) -> FieldType {
        self.ty
    }

    /// Ids of the fields it reads, ascending.
    pub fn fields(&self) -> &[usize] {
        &self.fields
    }

    /// Expressions with the same canonical text over the same stream have the same values.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The field this is, where nothing is computed: its column can be read as it stands.
    pub fn as_field(&self) -> Option<usize> {
        match self.how {
            How::Field(id) => Some(id),
            How::Program(_) => None,
        }
    }

    /// A column of `batch.rows()` entries with the values of the rows in `sel`, null elsewhere. New strings are put
    /// into `batch.extra`.
    pub fn eval(&mut self, batch: &mut Batch, sel: &[u32]) -> Column {
        match &mut self.how {
            How::Field(id) => pick(&batch.columns[*id], self.ty, sel, batch.rows()),
            How::Program(program) => {
                let values = program.run(batch, sel);
                let (column, overflow) = columns::spread(&values, batch, sel);
                if overflow > 0 {
                    program.failed += overflow;
                    program.failure = Some("the batch has no room for more made strings".to_owned());
                }
                column
            }
        }
    }

    /// Rows whose value could not be computed (`E3`) since the last call.
    pub fn take_failed(&mut self) -> u64 {
        match &mut self.how {
            How::Field(_) => 0,
            How::Program(program) => std::mem::take(&mut program.failed),
        }
    }

    /// What was wrong with the latest of them.
    pub fn failure(&self) -> Option<&str> {
        match &self.how {
            How::Field(_) => None,
            How::Program(program) => program.failure.as_deref(),
        }
    }
}

/// The rows `sel` of a field's column, null elsewhere.
fn pick(column: &Column, ty: FieldType, sel: &[u32], rows: usize) -> Column {
    let mut nulls = vec![true; rows];
    for row in sel {
        nulls[*row as usize] = column.is_null(*row as usize);
    }
    match (column, ty) {
        (Column::Str(spans), _) => Column::Str(
            spans
                .iter()
                .zip(nulls)
                .map(|(span, null)| if null { crate::model::StrSpan::NULL } else { *span })
                .collect(),
        ),
        (Column::Int { values, .. }, _) => Column::Int { values: values.clone(), nulls },
        (Column::Float { values, .. }, _) => Column::Float { values: values.clone(), nulls },
        (Column::Bool { values, .. }, _) => Column::Bool { values: values.clone(), nulls },
        (Column::Absent, FieldType::String) => Column::Str(vec![crate::model::StrSpan::NULL; rows]),
        (Column::Absent, FieldType::Int) => Column::Int { values: vec![0; rows], nulls },
        (Column::Absent, FieldType::Float) => Column::Float { values: vec![0.0; rows], nulls },
        (Column::Absent, FieldType::Bool) => Column::Bool { values: vec![false; rows], nulls },
    }
}

fn program(
    expr: &Expr,
    output: DataType,
    schema: &StreamSchema,
    planner: &Planner,
) -> Result<Program, datafusion::common::DataFusionError> {
    let (physical, fields) = planner.physical(expr)?;
    let inputs = fields
        .iter()
        .map(|field| match schema.field(field.name()) {
            Some((id, _)) => Input::Field(id),
            None => Input::EventTime,
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let program = Program { expr: physical, inputs, schema, output, failed: 0, failure: None };
    program.try_out()?;
    Ok(program)
}

fn fields(expr: &Expr, schema: &StreamSchema) -> Vec<usize> {
    let mut fields: Vec<usize> =
        expr.column_refs().iter().filter_map(|column| schema.field(&column.name)).map(|(id, _)| id).collect();
    fields.sort_unstable();
    fields
}
