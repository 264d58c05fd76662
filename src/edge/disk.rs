//! The state directory on a real disk, locked while a Foghorn runs. What is written in which order, and what of it counts
//! after a crash, is [`crate::checkpoint::dir`]'s; here are the files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::crash_point::crash_point;
use crate::checkpoint::dir::{Dir, Disk, LoadError, Log};
pub use crate::checkpoint::dir::{KEPT, Loaded};
use crate::checkpoint::log::LogError;
use crate::checkpoint::{Checkpoint, CheckpointError};

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
    path: PathBuf,
    dir: Dir<Files>,
    /// Locked as long as it is open.
    _lock: File,
}

/// The log that is written now.
pub type DeskLog = Log<Files>;

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
        let state = StateDir { path: dir.to_owned(), dir: Dir::new(Files { dir: dir.into() }), _lock: lock };
        state.dir.tidy().map_err(unusable)?;
        Ok(state)
    }

    /// A name for whoever has this directory, the same over restarts: `foghorn-` and sixteen hex digits.
    ///
    /// # Errors
    /// The disk does not give or take it.
    pub fn instance(&self) -> io::Result<String> {
        let path = self.path.join("instance");
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
        &self.path
    }

    /// See [`Dir::load`].
    ///
    /// # Errors
    /// A file was written by a newer Foghorn, or the disk does not give it.
    pub fn load(&self) -> Result<Loaded, StateError> {
        let path = |name: String| self.path.join(name);
        self.dir.load().map_err(|error| match error {
            LoadError::Names(source) => StateError::Unusable { dir: self.path.clone(), source },
            LoadError::Checkpoint { name, source } => StateError::Unreadable { path: path(name), source },
            LoadError::Log { name, source } => StateError::UnreadableLog { path: path(name), source },
            LoadError::Io { name, source } => StateError::Io { path: path(name), source },
        })
    }

    /// See [`Dir::resume_log`].
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn resume_log(&self, loaded: &mut Loaded) -> io::Result<DeskLog> {
        self.dir.resume_log(loaded)
    }

    /// See [`Dir::begin_log`].
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn begin_log(&self, number: u64) -> io::Result<DeskLog> {
        self.dir.begin_log(number)
    }

    /// See [`Dir::save`].
    ///
    /// # Errors
    /// The disk does not take it; what was there before is as it was.
    pub fn save(&self, checkpoint: &Checkpoint) -> io::Result<Saved> {
        let started = Instant::now();
        let bytes = self.dir.save(checkpoint)?;
        Ok(Saved { bytes, took: started.elapsed() })
    }
}

/// The files of one directory.
#[derive(Clone, Debug)]
pub struct Files {
    dir: Arc<Path>,
}

impl Disk for Files {
    type File = File;
    type Reader = BufReader<File>;

    fn names(&self) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().into_string().ok());
        fs::read_dir(&self.dir)?.filter_map(|entry| name(entry).transpose()).collect()
    }

    fn read(&self, name: &str) -> io::Result<BufReader<File>> {
        Ok(BufReader::with_capacity(1 << 20, File::open(self.dir.join(name))?))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        File::create(self.dir.join(name))
    }

    fn resume(&self, name: &str, keep: u64) -> io::Result<File> {
        let mut file = OpenOptions::new().write(true).open(self.dir.join(name))?;
        file.set_len(keep)?;
        file.seek(SeekFrom::End(0))?;
        Ok(file)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn pass(&self, point: &'static str) -> io::Result<()> {
        crash_point(point);
        Ok(())
    }
}
