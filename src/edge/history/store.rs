//! The file as the writer has it: batches in, what is too old out.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::HistoryError;
use super::schema::{self, wal_of};
use crate::engine::record::{Before, Entry, Kind, Record, Restored, RulesRecord, RunId, RunRecord};
use crate::model::{Millis, WallTime};

/// Rows deleted in one transaction: a few milliseconds, so that the writer is never far behind its queue.
const PRUNE_SLICE: u64 = 1_000;

/// Pages that are free and stay so, for the next records.
const PAGES_SPARE: i64 = 256;

/// Pages given back to the file system at once.
const VACUUM_SLICE: i64 = 256;

/// How long records are kept, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub keep: Millis,
    pub rows_max: u64,
}

/// A record on its way to the file.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub entry: Entry,
    /// The desk made it again after a crash: it may be there already (`B3`).
    pub again: bool,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// By [`Kind`], in its order.
    pub kinds: [u64; Kind::ALL.len()],
    /// There already, or nothing new.
    pub passed: u64,
}

/// An open history.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    /// Which file it is: somebody may put another one in its place.
    identity: Option<(u64, u64)>,
    rows: u64,
    marks: Marks,
}

/// What later records need to know of earlier ones, kept apart so that retention does not take it away.
#[derive(Clone, Debug, Default, PartialEq)]
struct Marks {
    /// The journal number of the last record; 0 where the desk began anew since.
    last_number: u64,
    /// The last run that said it started.
    started: Option<RunId>,
    /// The last run that said it stopped.
    stopped: Option<RunId>,
    rules: Option<RulesRecord>,
}

impl Store {
    /// Opens a history, or begins one.
    pub fn open(path: &Path) -> Result<Store, HistoryError> {
        let connection = schema::open_to_write(path)?;
        let failed = |source| HistoryError::Sqlite { doing: "read", path: path.to_owned(), source };
        let rows: i64 = connection.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).map_err(failed)?;
        let marks = Marks::read(&connection).map_err(failed)?;
        Ok(Store { connection, path: path.to_owned(), identity: identity(path), rows: rows as u64, marks })
    }

    /// The journal number of the last record of this desk's life; 0 where there is none.
    pub fn last_journal_number(&self) -> u64 {
        self.marks.last_number
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Of the file and its log.
    pub fn bytes(&self) -> u64 {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        size(&self.path) + size(&wal_of(&self.path))
    }

    /// Whether what is open is what has the name. SQLite writes on into a file that was deleted, and nobody would know.
    pub fn is_in_place(&self) -> bool {
        identity(&self.path) == self.identity
    }

    /// Writes records in one transaction (`B2`).
    pub(super) fn write(&mut self, batch: &[Pending]) -> Result<Written, HistoryError> {
        let done = self.try_write(batch);
        done.map_err(|source| HistoryError::Sqlite { doing: "written", path: self.path.clone(), source })
    }

    fn try_write(&mut self, batch: &[Pending]) -> rusqlite::Result<Written> {
        let mut written = Written::default();
        let mut marks = self.marks.clone();
        let transaction = self.connection.transaction()?;
        for pending in batch {
            match marks.admit(pending) {
                Some(entry) => {
                    insert(&transaction, &entry)?;
                    written.kinds[entry.record.kind() as usize] += 1;
                }
                None => written.passed += 1,
            }
        }
        marks.write(&transaction, &self.marks)?;
        transaction.commit()?;
        self.marks = marks;
        self.rows += written.kinds.iter().sum::<u64>();
        Ok(written)
    }

    /// Removes a slice of what is too old or too much; `true` where there is more.
    pub fn prune(&mut self, retention: Retention, now: WallTime) -> Result<bool, HistoryError> {
        let done = self.try_prune(retention, now);
        done.map_err(|source| HistoryError::Sqlite { doing: "pruned", path: self.path.clone(), source })
    }

    fn try_prune(&mut self, retention: Retention, now: WallTime) -> rusqlite::Result<bool> {
        let excess = self.rows.saturating_sub(retention.rows_max).min(PRUNE_SLICE);
        let mut gone = 0;
        if excess > 0 {
            let oldest = "DELETE FROM records WHERE id IN (SELECT id FROM records ORDER BY id LIMIT ?1)";
            gone += self.connection.execute(oldest, [excess as i64])?;
        }
        let old = "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE at < ?1 ORDER BY at LIMIT ?2)";
        let before = now - retention.keep;
        let aged = self.connection.execute(old, [before.0, PRUNE_SLICE as i64])?;
        gone += aged;
        self.rows = self.rows.saturating_sub(gone as u64);
        if gone > 0 {
            self.give_back()?;
        }
        Ok(aged as u64 == PRUNE_SLICE || self.rows > retention.rows_max)
    }

    /// Returns some of the free pages to the file system.
    fn give_back(&self) -> rusqlite::Result<()> {
        let free: i64 = self.connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        let pages = (free - PAGES_SPARE).min(VACUUM_SLICE);
        if pages > 0 {
            // It works as it is stepped.
            let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(())
    }

    /// How many pages the file may have, so that tests fill it up.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: i64) {
        self.connection.pragma_update(None, "max_page_count", pages).expect("a pragma SQLite has");
    }

    #[cfg(test)]
    pub(super) fn pages(&self) -> i64 {
        self.connection.pragma_query_value(None, "page_count", |row| row.get(0)).expect("a pragma SQLite has")
    }
}

fn insert(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let record = &entry.record;
    let labels = record.alert().map(|(_, labels)| to_json(labels));
    let sql = "INSERT INTO records (run, number, at, kind, what, alert, labels, group_key, target, detail) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    transaction.prepare(sql)?.execute(params![
        entry.run.0,
        entry.number.map(|number| number as i64),
        entry.at.0,
        record.kind().name(),
        record.what(),
        record.alert().map(|(alert, _)| &**alert),
        labels,
        record.group().map(|group| &**group),
        record.target().map(|target| &**target),
        to_json(record),
    ])?;
    Ok(())
}

impl Marks {
    /// The entry as it is written, with what only the writer knows; `None` where it is there already.
    fn admit(&mut self, pending: &Pending) -> Option<Entry> {
        let mut entry = pending.entry.clone();
        if pending.again && entry.number.is_some_and(|number| number <= self.last_number) {
            return None;
        }
        self.last_number = entry.number.unwrap_or(self.last_number);
        match &mut entry.record {
            Record::Rules(rules) => {
                let current = rules.clone();
                *rules = current.clone().after(self.rules.as_ref())?;
                self.rules = Some(current);
            }
            Record::Run(RunRecord::Started { restored, before, .. }) => {
                *before = match self.started {
                    None => Before::None,
                    Some(run) if self.stopped == Some(run) => Before::Cleanly { run },
                    Some(run) => Before::Uncleanly { run },
                };
                self.started = Some(entry.run);
                if *restored == Restored::Nothing {
                    self.last_number = 0;
                }
            }
            Record::Run(RunRecord::Stopped { .. }) => self.stopped = Some(entry.run),
            Record::Alert(_) | Record::Delivery(_) | Record::Operator(_) | Record::Partition(_) => {}
        }
        Some(entry)
    }

    fn read(connection: &Connection) -> rusqlite::Result<Marks> {
        let number = |name: &str| -> rusqlite::Result<Option<i64>> {
            connection.query_row("SELECT value FROM marks WHERE name = ?1", [name], |row| row.get(0)).optional()
        };
        let rules: Option<String> =
            connection.query_row("SELECT value FROM marks WHERE name = 'rules'", [], |row| row.get(0)).optional()?;
        Ok(Marks {
            last_number: number("last_number")?.unwrap_or(0) as u64,
            started: number("started")?.map(RunId),
            stopped: number("stopped")?.map(RunId),
            // What cannot be read counts as not known: the next rules are then recorded without a comparison.
            rules: rules.and_then(|json| serde_json::from_str(&json).ok()),
        })
    }

    /// Writes what differs from `before`.
    fn write(&self, transaction: &Transaction<'_>, before: &Marks) -> rusqlite::Result<()> {
        let put = |name: &str, value: &dyn rusqlite::ToSql| {
            transaction.execute("INSERT OR REPLACE INTO marks (name, value) VALUES (?1, ?2)", params![name, value])
        };
        if self.last_number != before.last_number {
            put("last_number", &(self.last_number as i64))?;
        }
        if let Some(run) = self.started.filter(|_| self.started != before.started) {
            put("started", &run.0)?;
        }
        if let Some(run) = self.stopped.filter(|_| self.stopped != before.stopped) {
            put("stopped", &run.0)?;
        }
        if let Some(rules) = self.rules.as_ref().filter(|_| self.rules != before.rules) {
            put("rules", &to_json(rules))?;
        }
        Ok(())
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("records are JSON: names are strings and numbers finite")
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.exists().then_some((0, 0))
}
