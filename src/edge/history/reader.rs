//! The file as readers have it: a question in, the newest records that answer it out.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use serde_json::json;

use super::HistoryError;
use super::schema;
use crate::engine::record::{Entry, Filter, Kind, Record, RunId};
use crate::model::WallTime;

/// A record and its place in the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Goes up with every record, over all runs.
    pub id: i64,
    pub entry: Entry,
}

impl Stored {
    /// As the API and the command line give it.
    pub fn to_json(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(&self.entry).expect("records are JSON");
        value["id"] = self.id.into();
        value
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Newest first.
    pub records: Vec<Stored>,
    /// The cursor ([`Filter::before`]) of the next page; `None` where this is the last.
    pub next: Option<i64>,
}

/// A history that is only read, while it is written or not.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Reader, HistoryError> {
        Ok(Reader { connection: schema::open_to_read(path)?, path: path.to_owned() })
    }

    /// Ends a question from another thread.
    pub fn interrupter(&self) -> super::InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    /// The newest records that are asked for.
    pub fn find(&self, filter: &Filter) -> Result<Page, HistoryError> {
        let failed = |source| HistoryError::Sqlite { doing: "read", path: self.path.clone(), source };
        let question = Question::of(filter);
        let mut statement = self.connection.prepare(&question.sql).map_err(failed)?;
        let rows = statement.query_map(params_from_iter(question.values), read_row).map_err(failed)?;
        let mut records = Vec::new();
        for row in rows {
            let (id, run, number, at, detail) = row.map_err(failed)?;
            let record: Record = serde_json::from_str(&detail).map_err(|source| HistoryError::Row {
                path: self.path.clone(),
                id,
                source,
            })?;
            let number = number.map(|number| number as u64);
            records.push(Stored { id, entry: Entry { run: RunId(run), number, at: WallTime(at), record } });
        }
        // One more than was asked for tells that there are more.
        let more = records.len() > filter.limit;
        records.truncate(filter.limit);
        let next = records.last().map(|last| last.id).filter(|_| more);
        Ok(Page { records, next })
    }
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<(i64, i64, Option<i64>, i64, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

/// SQL and the values for its placeholders. What people ask for only ever becomes a value.
struct Question {
    sql: String,
    values: Vec<Value>,
}

impl Question {
    fn of(filter: &Filter) -> Question {
        let mut question = Question { sql: String::new(), values: Vec::new() };
        let mut conditions = Vec::new();
        if let Some(before) = filter.before {
            conditions.push(format!("id < {}", question.value(before)));
        }
        if let Some(since) = filter.since {
            conditions.push(format!("at >= {}", question.value(since.0)));
        }
        if let Some(until) = filter.until {
            conditions.push(format!("at < {}", question.value(until.0)));
        }
        if !filter.kinds.is_empty() {
            let kinds: Vec<String> = filter.kinds.iter().map(|kind| question.value(kind.name().to_owned())).collect();
            // The plus keeps the index out where it would not help: a story has better ones, and alerts with deliveries
            // are most of the table, which would have to be sorted.
            let common = filter.kinds.iter().filter(|kind| matches!(kind, Kind::Alert | Kind::Delivery)).count();
            let plus = if filter.is_story() || (common > 0 && kinds.len() > 1) { "+" } else { "" };
            conditions.push(format!("{plus}kind IN ({})", kinds.join(", ")));
        }
        if filter.is_story() {
            let own = question.alert(filter);
            conditions.push(format!(
                "(({own}) OR (alert IS NULL AND group_key IN \
                 (SELECT group_key FROM records WHERE group_key IS NOT NULL AND {own})))"
            ));
        }
        if conditions.is_empty() {
            conditions.push("true".to_owned());
        }
        let limit = question.value(i64::try_from(filter.limit).unwrap_or(i64::MAX).saturating_add(1));
        question.sql = format!(
            "SELECT id, run, number, at, detail FROM records WHERE {} ORDER BY id DESC LIMIT {limit}",
            conditions.join(" AND ")
        );
        question
    }

    /// Records about the alert itself.
    fn alert(&mut self, filter: &Filter) -> String {
        let mut own = match &filter.alert {
            Some(alert) => format!("alert = {}", self.value(alert.clone())),
            None => "alert IS NOT NULL".to_owned(),
        };
        for (name, value) in &filter.labels {
            // The text is looked at first, as it was written: reading JSON costs ten times as much. Only a name with a
            // quote in it could be taken for another one that way, so JSON has the last word.
            let text = json!({ name.as_str(): value }).to_string();
            let text = self.value(text[1..text.len() - 1].to_owned());
            let (name, value) = (self.value(name.clone()), self.value(value.clone()));
            own += &format!(
                " AND instr(labels, {text}) > 0 \
                 AND EXISTS (SELECT 1 FROM json_each(labels) WHERE key = {name} AND value = {value})"
            );
        }
        own
    }

    /// The placeholder of a value.
    fn value(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }
}
