//! The state directory: checkpoints and the desk's logs between them.
//!
//! ```text
//! state/
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
//! What is done in which order stands here, once, over a [`Disk`] that is handed in: the real one (`edge/disk.rs`) and
//! the simulated one that loses what was not synced (`sim/storm/disk.rs`) go through the same steps.
//!
//! - `D1` what [`Dir::load`] gives is the newest whole checkpoint, and every input logged after it up to the first
//!   that is not whole
//! - `D2` nothing is removed that a load of any of the last [`KEPT`] checkpoints needs

use std::io::{self, BufWriter, Read, Write};

use super::log::{self, LogEntry, LogError};
use super::{Checkpoint, CheckpointError};
use crate::engine::desk::DeskInput;
use crate::model::WallTime;

/// Checkpoints kept.
pub const KEPT: usize = 3;

/// One directory of files.
pub trait Disk: Clone {
    type File: Write;
    type Reader: Read;

    fn names(&self) -> io::Result<Vec<String>>;
    fn read(&self, name: &str) -> io::Result<Self::Reader>;
    /// An empty file, in place of what has the name.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// A file to be gone on with behind its first `keep` bytes.
    fn resume(&self, name: &str, keep: u64) -> io::Result<Self::File>;
    /// Makes what was written to a file outlive a power cut.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Makes files made, renamed and removed so outlive it.
    fn sync_names(&self) -> io::Result<()>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// A place at which a test may end the process. An error says that it has ended.
    fn pass(&self, point: &'static str) -> io::Result<()>;
}

/// The directory of one engine.
#[derive(Clone, Debug)]
pub struct Dir<D> {
    disk: D,
}

/// What a directory held.
#[derive(Debug, Default)]
pub struct Loaded {
    pub checkpoint: Option<Checkpoint>,
    /// What the desk was told after it.
    pub entries: Vec<LogEntry>,
    /// The number of the next checkpoint.
    pub next: u64,
    /// The log that is gone on with.
    pub log: Option<OpenLog>,
    /// Files that should have been whole, and why they are not. They are kept under names that end in `.broken`.
    pub broken: Vec<(String, String)>,
}

/// A log that has no end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLog {
    pub name: String,
    pub version: u32,
    /// Bytes up to the end of its last whole entry.
    pub whole: u64,
}

/// Why nothing can be loaded although there may be something.
#[derive(Debug)]
pub enum LoadError {
    Names(io::Error),
    Checkpoint { name: String, source: CheckpointError },
    Log { name: String, source: LogError },
    Io { name: String, source: io::Error },
}

pub fn checkpoint_name(number: u64) -> String {
    format!("checkpoint-{number:010}.fog")
}

pub fn log_name(number: u64) -> String {
    format!("desk-{number:010}.log")
}

impl<D: Disk> Dir<D> {
    pub fn new(disk: D) -> Dir<D> {
        Dir { disk }
    }

    /// Removes what a crash left half written.
    ///
    /// # Errors
    /// The disk does not let it.
    pub fn tidy(&self) -> io::Result<()> {
        let half = self.numbered("checkpoint-", ".tmp")?;
        half.iter().try_for_each(|(_, name)| self.disk.remove(name))
    }

    /// Files by number, ascending.
    fn numbered(&self, before: &str, after: &str) -> io::Result<Vec<(u64, String)>> {
        let number = |name: &str| name.strip_prefix(before)?.strip_suffix(after)?.parse().ok();
        let names = self.disk.names()?.into_iter();
        let mut found: Vec<(u64, String)> = names.filter_map(|name| Some((number(&name)?, name))).collect();
        found.sort();
        Ok(found)
    }

    /// Reads what is there (`D1`).
    ///
    /// # Errors
    /// A file was written by a newer Foghorn, or the disk does not give it. Broken files are no error: see
    /// [`Loaded::broken`].
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let checkpoints = self.numbered("checkpoint-", ".fog").map_err(LoadError::Names)?;
        let logs = self.numbered("desk-", ".log").map_err(LoadError::Names)?;
        let highest = checkpoints.iter().chain(&logs).map(|(number, _)| *number).max().unwrap_or(0);
        let mut loaded = Loaded { next: highest + 1, ..Loaded::default() };
        for (_, name) in checkpoints.into_iter().rev() {
            match self.read_checkpoint(&name) {
                Ok(checkpoint) => {
                    loaded.checkpoint = Some(checkpoint);
                    break;
                }
                Err(error) if error.is_broken() => self.set_aside(&mut loaded, name, error.to_string()),
                Err(source) => return Err(LoadError::Checkpoint { name, source }),
            }
        }
        if let Some(number) = loaded.checkpoint.as_ref().map(|checkpoint| checkpoint.head.number) {
            self.load_logs(&mut loaded, logs.into_iter().filter(|(log, _)| *log >= number))?;
        }
        Ok(loaded)
    }

    fn read_checkpoint(&self, name: &str) -> Result<Checkpoint, CheckpointError> {
        super::read(self.disk.read(name)?)
    }

    /// Reads log after log, each from where the one before was sealed (`L3` of the log).
    fn load_logs(&self, loaded: &mut Loaded, logs: impl Iterator<Item = (u64, String)>) -> Result<(), LoadError> {
        let mut whole = true;
        for (_, name) in logs {
            let mut bytes = Vec::new();
            let read = self.disk.read(&name).and_then(|mut file| file.read_to_end(&mut bytes));
            read.map_err(|source| LoadError::Io { name: name.clone(), source })?;
            match log::read(&bytes) {
                // A log is begun before the one before it is sealed, so that it may well hold nothing.
                Ok(read) if !whole && read.entries.is_empty() => drop(self.disk.remove(&name)),
                // What it holds was built on what is missing.
                _ if !whole => self.set_aside(loaded, name, "the log before it has no end".into()),
                Ok(read) => {
                    whole = read.sealed;
                    loaded.entries.extend(read.entries);
                    loaded.log = (!read.sealed).then_some(OpenLog { name, version: read.version, whole: read.whole });
                }
                // Its head was being written when everything ended; nothing was acted on.
                Err(LogError::Foreign) => {
                    whole = false;
                    self.set_aside(loaded, name, LogError::Foreign.to_string());
                }
                Err(source) => return Err(LoadError::Log { name, source }),
            }
        }
        Ok(())
    }

    fn set_aside(&self, loaded: &mut Loaded, name: String, why: String) {
        let _ = self.disk.rename(&name, &format!("{name}.broken")); // a directory that cannot be written to says so soon
        loaded.broken.push((name, why));
    }

    /// Goes on with the log that was read last, behind its last whole entry; begins one where there was none. One of an
    /// older version is ended, and another begun: what is new in this one must not stand under its number.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn resume_log(&self, loaded: &mut Loaded) -> io::Result<Log<D>> {
        let Some(OpenLog { name, version, whole }) = &loaded.log else { return self.begin_next_log(loaded) };
        let file = self.disk.resume(name, *whole)?;
        self.disk.sync(&file)?;
        let log = Log { disk: self.disk.clone(), file, buffer: Vec::new() };
        if *version == log::LOG_VERSION {
            return Ok(log);
        }
        let next = self.begin_next_log(loaded)?;
        log.seal()?;
        Ok(next)
    }

    fn begin_next_log(&self, loaded: &mut Loaded) -> io::Result<Log<D>> {
        loaded.next += 1;
        self.begin_log(loaded.next - 1)
    }

    /// Begins the log that follows checkpoint `number`.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn begin_log(&self, number: u64) -> io::Result<Log<D>> {
        let name = log_name(number);
        let begun = self.begin_named(&name, number);
        if begun.is_err() {
            let _ = self.disk.remove(&name); // room for the next try
        }
        begun
    }

    fn begin_named(&self, name: &str, number: u64) -> io::Result<Log<D>> {
        let mut file = self.disk.create(name)?;
        file.write_all(&log::head(number))?;
        self.disk.sync(&file)?;
        self.disk.sync_names()?;
        Ok(Log { disk: self.disk.clone(), file, buffer: Vec::new() })
    }

    /// Writes a checkpoint so that it is there wholly or not at all, and says how many bytes it has.
    ///
    /// # Errors
    /// The disk does not take it; what was there before is as it was.
    pub fn save(&self, checkpoint: &Checkpoint) -> io::Result<u64> {
        let name = checkpoint_name(checkpoint.head.number);
        let half = name.replace(".fog", ".tmp");
        let written = self.write_synced(&half, checkpoint);
        if written.is_err() {
            let _ = self.disk.remove(&half); // room for the next try
        }
        let bytes = written?;
        self.disk.pass("checkpoint_synced")?;
        self.disk.rename(&half, &name)?;
        self.disk.sync_names()?;
        self.disk.pass("checkpoint_renamed")?;
        self.prune();
        Ok(bytes)
    }

    fn write_synced(&self, name: &str, checkpoint: &Checkpoint) -> io::Result<u64> {
        let mut out = BufWriter::with_capacity(1 << 20, self.disk.create(name)?);
        let bytes = super::write(checkpoint, &mut out)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.disk.pass("checkpoint_written")?;
        self.disk.sync(&file)?;
        Ok(bytes)
    }

    /// Removes what no load needs any more (`D2`). What cannot be removed is tried again with the next checkpoint.
    fn prune(&self) {
        let (Ok(checkpoints), Ok(logs)) = (self.numbered("checkpoint-", ".fog"), self.numbered("desk-", ".log")) else {
            return;
        };
        let Some(oldest) = checkpoints.len().checked_sub(KEPT).map(|first| checkpoints[first].0) else { return };
        let old = checkpoints.iter().chain(&logs).filter(|(number, _)| *number < oldest);
        old.for_each(|(_, name)| drop(self.disk.remove(name)));
    }
}

/// The log that is written now.
#[derive(Debug)]
pub struct Log<D: Disk> {
    disk: D,
    file: D::File,
    buffer: Vec<u8>,
}

impl<D: Disk> Log<D> {
    /// Hands one input to the system: it outlives this process, and a power cut after [`Log::sync`].
    ///
    /// # Errors
    /// The disk does not take it. The log ends here then: what follows would be behind a hole.
    pub fn append(&mut self, at: WallTime, input: &DeskInput) -> io::Result<()> {
        self.buffer.clear();
        log::push(&mut self.buffer, at, input);
        self.file.write_all(&self.buffer)?;
        self.disk.pass("log_written")
    }

    /// Ends the log: the next one goes on from here, without a gap.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn seal(mut self) -> io::Result<()> {
        self.buffer.clear();
        log::seal(&mut self.buffer);
        self.file.write_all(&self.buffer)?;
        self.disk.sync(&self.file)
    }

    /// # Errors
    /// The disk does not keep it.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.file)?;
        self.disk.pass("log_synced")
    }
}
