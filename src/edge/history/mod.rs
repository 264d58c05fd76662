//! History on disk: records in one SQLite file, written behind the desk's back and read by whoever asks.
//!
//! ```text
//! desk ──bounded──► writer thread ──one transaction a batch──► history.db ◄── API, `foghorn history`, sqlite3
//! ```
//!
//! SQLite and not a log of our own, because the questions are not known beforehand: an audit asks by time, an incident
//! review by alert, and both may use `sqlite3`. In WAL mode readers and the writer never wait for each other. Paging
//! comes first: a disk that fails costs history and nothing else, so nothing here can stop or slow the engine.
//!
//! - `B1` who records never waits: what finds no room in the queue is dropped, and counted by what stands in the way
//! - `B2` a batch is written whole or not at all, and stays in hand until it is
//! - `B3` an entry that is made again after a crash is not written twice: see [`Recorder::made_again`]
//! - `B4` a file of a newer Foghorn is left as it is, by the writer as by readers

mod reader;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
pub use rusqlite::InterruptHandle;

pub use reader::{Page, Reader, Stored};
pub use store::{Retention, Store};
pub use writer::{Health, Recorder};

/// The file in the state directory.
pub const FILE_NAME: &str = "history.db";

/// The history of a state directory.
pub fn file_in(state: &Path) -> PathBuf {
    state.join(FILE_NAME)
}

/// Why history cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("there is no history at {}", .path.display())]
    Nothing { path: PathBuf },
    #[error(
        "{} was written by a newer Foghorn: its schema is version {found}, this one knows up to {known}; use that \
         version, or name another `state.dir`", .path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{} is a database, but not of Foghorn's making", .path.display())]
    Foreign { path: PathBuf },
    #[error("the folder {} cannot be made", .path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("record {id} of {} cannot be read", .path.display())]
    Row {
        path: PathBuf,
        id: i64,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} cannot be {doing}", .path.display())]
    Sqlite {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
}

impl HistoryError {
    /// The reason records are dropped for while this lasts.
    pub fn reason(&self) -> DropReason {
        match self {
            HistoryError::Newer { .. } => DropReason::NewerSchema,
            HistoryError::Folder { .. } | HistoryError::Nothing { .. } => DropReason::Unwritable,
            HistoryError::Foreign { .. } | HistoryError::Row { .. } => DropReason::Corrupt,
            HistoryError::Sqlite { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => DropReason::DiskFull,
                Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                    DropReason::Unwritable
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                    DropReason::Locked
                }
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DropReason::Corrupt,
                Some(ErrorCode::SystemIoFailure) => DropReason::Io,
                _ => DropReason::Failed,
            },
        }
    }

    /// Whether the question was given up because it took too long.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, HistoryError::Sqlite { source, .. }
            if source.sqlite_error_code() == Some(ErrorCode::OperationInterrupted))
    }
}

macro_rules! drop_reasons {
    ($( $variant:ident, $name:literal, $text:literal; )*) => {
        /// Why a record is not in the history. A closed list with stable names, as metrics label them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason {
            $( #[doc = $text] $variant, )*
        }

        impl DropReason {
            pub const ALL: &'static [DropReason] = &[$( DropReason::$variant, )*];

            pub const fn name(self) -> &'static str {
                match self { $( DropReason::$variant => $name, )* }
            }

            pub const fn text(self) -> &'static str {
                match self { $( DropReason::$variant => $text, )* }
            }
        }
    };
}

drop_reasons! {
    QueueFull, "queue_full", "more was recorded at once than the disk takes";
    DiskFull, "disk_full", "the disk is full";
    Unwritable, "unwritable", "the file, or its folder, cannot be opened or written";
    Locked, "locked", "another program holds the database";
    Io, "io", "the disk failed";
    Corrupt, "corrupt", "the file is damaged, or no history; move it away and a new one is begun";
    NewerSchema, "newer_schema", "the file was written by a newer Foghorn";
    Failed, "failed", "SQLite refused the record, which is a fault of Foghorn's";
}
