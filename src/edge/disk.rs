//! The state directory: checkpoints and the desk's logs between them.
//!
//! ```text
//! state/
//!   lock                        held while a Foghorn runs
//!   instance                    its name in the consumer group
//!   checkpoint-0000000041.fog   the last few, each whole by itself
//!   checkpoint-0000000042.fog
//!   desk-0000000041.log         what the desk was told after checkpoint 41
//!   desk-0000000042.log
//! ```
//!
//! A checkpoint is written under another name, synced, renamed, and its directory synced; so a name that is there is a
//! file that is whole, as far as the disk keeps its word, and where it does not, the checksums say so and the
//! checkpoint before is taken, with the logs from there on. The logs begin when the state was *taken*, not when it was
//! written: a checkpoint that could not be written leaves no hole.
//!
//! - `D1` what [`StateDir::load`] gives is the newest whole checkpoint, and every input logged after it up to the first
//!   that is not whole
//! - `D2` nothing is removed that a load of any of the last [`KEPT`] checkpoints needs

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::crash_point::crash_point;
use crate::checkpoint::log::{self, LogEntry, LogError};
use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::engine::desk::DeskInput;
use crate::model::WallTime;

/// Checkpoints kept.
pub const KEPT: usize = 3;

/// Why the state directory is of no use.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the state directory {dir} cannot be used: {source}; it must be a directory this process may write to")]
    Unusable { dir: PathBuf, source: io::Error },
    #[error("the state directory {dir} is in use by another Foghorn; give each its own `state.dir`")]
    InUse { dir: PathBuf },
    #[error("{path} cannot be read: {source}")]
    Unreadable { path: PathBuf, source: CheckpointError },
    #[error("{path} cannot be read: {source}")]
    UnreadableLog { path: PathBuf, source: LogError },
    #[error("{path} cannot be read: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// A directory that is ours.
#[derive(Debug)]
pub struct StateDir {
    dir: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

/// What a directory held.
#[derive(Debug, Default)]
pub struct Loaded {
    pub checkpoint: Option<Checkpoint>,
    /// What the desk was told after it.
    pub entries: Vec<LogEntry>,
    /// The number of the next checkpoint.
    pub next: u64,
    /// The log that is gone on with, and how much of it is whole.
    pub log: Option<(PathBuf, u64)>,
    /// Files that should have been whole, and why they are not. They are kept under names that end in `.broken`.
    pub broken: Vec<(PathBuf, String)>,
}

/// A checkpoint that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    pub bytes: u64,
    pub took: Duration,
}

impl StateDir {
    /// Makes the directory where it is missing and takes it.
    ///
    /// # Errors
    /// It cannot be made or written to, or another Foghorn has it.
    pub fn open(dir: &Path) -> Result<StateDir, StateError> {
        let unusable = |source| StateError::Unusable { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(unusable)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"));
        let lock = lock.map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StateError::InUse { dir: dir.to_owned() }),
            Err(fs::TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let state = StateDir { dir: dir.to_owned(), _lock: lock };
        for (_, path) in state.numbered("checkpoint-", ".tmp")? {
            fs::remove_file(path).map_err(unusable)?; // what a crash left half written
        }
        Ok(state)
    }

    /// A name for whoever has this directory, the same over restarts: `foghorn-` and sixteen hex digits.
    ///
    /// # Errors
    /// The disk does not give or take it.
    pub fn instance(&self) -> io::Result<String> {
        let path = self.dir.join("instance");
        match fs::read_to_string(&path) {
            Ok(name) if name.starts_with("foghorn-") && !name.contains(char::is_whitespace) => return Ok(name),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let name = format!("foghorn-{:016x}", rand::random::<u64>());
        fs::write(&path, &name)?;
        Ok(name)
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    fn checkpoint_path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("checkpoint-{number:010}.fog"))
    }

    fn log_path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("desk-{number:010}.log"))
    }

    /// Files by number, ascending.
    fn numbered(&self, before: &str, after: &str) -> Result<Vec<(u64, PathBuf)>, StateError> {
        let unusable = |source| StateError::Unusable { dir: self.dir.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(unusable)? {
            let entry = entry.map_err(unusable)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(before)?.strip_suffix(after)?.parse().ok());
            found.extend(number.map(|number: u64| (number, entry.path())));
        }
        found.sort();
        Ok(found)
    }

    /// Reads what is there (`D1`).
    ///
    /// # Errors
    /// A file was written by a newer Foghorn, or the disk does not give it. Broken files are no error: see
    /// [`Loaded::broken`].
    pub fn load(&self) -> Result<Loaded, StateError> {
        let checkpoints = self.numbered("checkpoint-", ".fog")?;
        let logs = self.numbered("desk-", ".log")?;
        let highest = checkpoints.iter().chain(&logs).map(|(number, _)| *number).max().unwrap_or(0);
        let mut loaded = Loaded { next: highest + 1, ..Loaded::default() };
        for (_, path) in checkpoints.iter().rev() {
            match read_checkpoint(path) {
                Ok(checkpoint) => {
                    loaded.checkpoint = Some(checkpoint);
                    break;
                }
                Err(error) if error.is_broken() => loaded.set_aside(path, error.to_string()),
                Err(source) => return Err(StateError::Unreadable { path: path.clone(), source }),
            }
        }
        if let Some(number) = loaded.checkpoint.as_ref().map(|checkpoint| checkpoint.head.number) {
            load_logs(&mut loaded, logs.into_iter().filter(|(log, _)| *log >= number))?;
        }
        Ok(loaded)
    }

    /// Goes on with the log that was read last, behind its last whole entry; begins one where there was none.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn resume_log(&self, loaded: &mut Loaded) -> io::Result<DeskLog> {
        match &loaded.log {
            Some((path, whole)) => {
                let file = OpenOptions::new().append(true).open(path)?;
                file.set_len(*whole)?;
                file.sync_all()?;
                Ok(DeskLog { file, buffer: Vec::new() })
            }
            None => {
                loaded.next += 1;
                self.begin_log(loaded.next - 1)
            }
        }
    }

    /// Begins the log that follows checkpoint `number`.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn begin_log(&self, number: u64) -> io::Result<DeskLog> {
        let path = self.log_path(number);
        let begun = self.begin_log_at(&path, number);
        if begun.is_err() {
            let _ = fs::remove_file(&path); // room for the next try
        }
        begun
    }

    fn begin_log_at(&self, path: &Path, number: u64) -> io::Result<DeskLog> {
        File::create(path)?.write_all(&log::head(number))?;
        let file = OpenOptions::new().append(true).open(path)?;
        file.sync_all()?;
        self.sync_names()?;
        Ok(DeskLog { file, buffer: Vec::new() })
    }

    /// Writes a checkpoint so that it is there wholly or not at all.
    ///
    /// # Errors
    /// The disk does not take it; what was there before is as it was.
    pub fn save(&self, checkpoint: &Checkpoint) -> io::Result<Saved> {
        let started = Instant::now();
        let path = self.checkpoint_path(checkpoint.head.number);
        let half = path.with_extension("tmp");
        let written = self.write_synced(&half, checkpoint);
        if written.is_err() {
            let _ = fs::remove_file(&half); // room for the next try
        }
        let bytes = written?;
        crash_point("checkpoint_synced");
        fs::rename(&half, &path)?;
        self.sync_names()?;
        crash_point("checkpoint_renamed");
        self.prune();
        Ok(Saved { bytes, took: started.elapsed() })
    }

    fn write_synced(&self, path: &Path, checkpoint: &Checkpoint) -> io::Result<u64> {
        let file = File::create(path)?;
        let mut out = BufWriter::with_capacity(1 << 20, &file);
        let bytes = checkpoint::write(checkpoint, &mut out)?;
        out.flush()?;
        drop(out);
        crash_point("checkpoint_written");
        file.sync_all()?;
        Ok(bytes)
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    /// Removes what no load needs any more (`D2`). What cannot be removed is tried again with the next checkpoint.
    fn prune(&self) {
        let (Ok(checkpoints), Ok(logs)) = (self.numbered("checkpoint-", ".fog"), self.numbered("desk-", ".log")) else {
            return;
        };
        let Some(oldest) = checkpoints.len().checked_sub(KEPT).map(|first| checkpoints[first].0) else { return };
        let old = checkpoints.iter().chain(&logs).filter(|(number, _)| *number < oldest);
        old.for_each(|(_, path)| drop(fs::remove_file(path)));
    }
}

fn read_checkpoint(path: &Path) -> Result<Checkpoint, CheckpointError> {
    checkpoint::read(BufReader::with_capacity(1 << 20, File::open(path)?))
}

/// Reads log after log, each from where the one before was sealed (`L3` of the log).
fn load_logs(loaded: &mut Loaded, logs: impl Iterator<Item = (u64, PathBuf)>) -> Result<(), StateError> {
    let mut whole = true;
    for (_, path) in logs {
        let bytes = fs::read(&path).map_err(|source| StateError::Io { path: path.clone(), source })?;
        if !whole {
            // What it holds was built on what is missing. A log is begun before the one before it is sealed, so that it
            // may well hold nothing.
            match log::read(&bytes) {
                Ok(read) if read.entries.is_empty() => drop(fs::remove_file(&path)),
                _ => loaded.set_aside(&path, "the log before it has no end".into()),
            }
            continue;
        }
        match log::read(&bytes) {
            Ok(read) => {
                whole = read.sealed;
                loaded.entries.extend(read.entries);
                loaded.log = (!read.sealed).then_some((path, read.whole));
            }
            // Its head was being written when everything ended; nothing was acted on.
            Err(LogError::Foreign) => {
                whole = false;
                loaded.set_aside(&path, LogError::Foreign.to_string());
            }
            Err(source) => return Err(StateError::UnreadableLog { path, source }),
        }
    }
    Ok(())
}

impl Loaded {
    fn set_aside(&mut self, path: &Path, why: String) {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".broken");
        let _ = fs::rename(path, &aside); // a directory that cannot be written to says so soon enough
        self.broken.push((path.to_owned(), why));
    }
}

/// The log that is written now.
#[derive(Debug)]
pub struct DeskLog {
    file: File,
    buffer: Vec<u8>,
}

impl DeskLog {
    /// Hands one input to the system: it outlives this process, and a power cut after [`DeskLog::sync`].
    ///
    /// # Errors
    /// The disk does not take it. The log ends here then: what follows would be behind a hole.
    pub fn append(&mut self, at: WallTime, input: &DeskInput) -> io::Result<()> {
        self.buffer.clear();
        log::push(&mut self.buffer, at, input);
        self.file.write_all(&self.buffer)?;
        crash_point("log_written");
        Ok(())
    }

    /// Ends the log: the next one goes on from here, without a gap.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn seal(mut self) -> io::Result<()> {
        self.buffer.clear();
        log::seal(&mut self.buffer);
        self.file.write_all(&self.buffer)?;
        self.file.sync_data()
    }

    /// # Errors
    /// The disk does not keep it.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        crash_point("log_synced");
        Ok(())
    }
}
