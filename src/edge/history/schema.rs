//! The tables, and how a file of an older Foghorn becomes one of this.
//!
//! One wide table with the whole record as JSON beside the columns that are asked by: the JSON is the truth, columns and
//! indexes may be made anew from it by a migration. `PRAGMA user_version` counts the migrations that were applied.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::HistoryError;

/// Applied in order, each in a transaction. Never edit one that was released: add another.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE records (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL,
        number INTEGER,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        what TEXT NOT NULL,
        alert TEXT,
        labels TEXT,
        group_key TEXT,
        target TEXT,
        detail TEXT NOT NULL
    );
    CREATE INDEX records_kind ON records (kind);
    CREATE INDEX records_at ON records (at);
    CREATE INDEX records_alert ON records (alert) WHERE alert IS NOT NULL;
    CREATE INDEX records_group ON records (group_key) WHERE group_key IS NOT NULL;
    CREATE TABLE marks (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE VIEW history AS
        SELECT id, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch') AS time,
               kind, what, alert, labels, group_key, target, detail
        FROM records;
"];

/// The version this Foghorn writes.
pub(super) const KNOWN: i64 = MIGRATIONS.len() as i64;

/// How long the writer waits for somebody else's lock. Short: it tries again anyway.
const WRITE_BUSY_MAX: Duration = Duration::from_millis(500);

/// … and a reader, which has nothing better to do.
const READ_BUSY_MAX: Duration = Duration::from_secs(5);

/// Opens for writing; makes the folder, the file and its tables where they are missing.
pub(super) fn open_to_write(path: &Path) -> Result<Connection, HistoryError> {
    if let Some(folder) = path.parent() {
        make_folder(folder).map_err(|source| HistoryError::Folder { path: folder.to_owned(), source })?;
    }
    let failed = |source| HistoryError::Sqlite { doing: "opened", path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(WRITE_BUSY_MAX).map_err(failed)?;
    // Looked at before anything is written: not even the journal mode of a newer file is touched (`B4`).
    let version = version(&connection, path)?;
    if version == 0 {
        // Only an empty file takes it.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    migrate(&mut connection, version).map_err(failed)?;
    Ok(connection)
}

/// Opens for reading, whether the engine runs or not.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, HistoryError> {
    let nothing = || HistoryError::Nothing { path: path.to_owned() };
    let failed = |source| HistoryError::Sqlite { doing: "read", path: path.to_owned(), source };
    if !path.exists() {
        return Err(nothing());
    }
    let open = |name: &str, extra| {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | extra;
        let connection = Connection::open_with_flags(name, flags)?;
        connection.busy_timeout(READ_BUSY_MAX)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    let name = path.to_string_lossy();
    let connection = match open(&name, OpenFlags::empty()) {
        // Who may not write into the folder cannot make the files that WAL mode wants. Where there is no WAL, nobody
        // writes, and the file can be read as it is.
        Err(error) if is_unwritable(&error) && !wal_of(path).exists() => {
            let name = format!("file:{}?immutable=1", name.replace('%', "%25").replace('?', "%3f").replace('#', "%23"));
            open(&name, OpenFlags::SQLITE_OPEN_URI).map_err(failed)?
        }
        other => other.map_err(failed)?,
    };
    match version(&connection, path)? {
        0 => Err(nothing()),
        _ => Ok(connection),
    }
}

fn is_unwritable(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

pub(super) fn wal_of(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// The schema's version; 0 for a file without tables.
fn version(connection: &Connection, path: &Path) -> Result<i64, HistoryError> {
    let failed = |source| HistoryError::Sqlite { doing: "read", path: path.to_owned(), source };
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > KNOWN {
        return Err(HistoryError::Newer { path: path.to_owned(), found, known: KNOWN });
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    match found == 0 && tables > 0 {
        true => Err(HistoryError::Foreign { path: path.to_owned() }),
        false => Ok(found),
    }
}

fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(from as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Records name hosts and users: for the owner, and a group that may look.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    builder.create(folder)
}
