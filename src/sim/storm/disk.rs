//! A disk that forgets what was not synced.
//!
//! What is written is seen at once by whoever reads, and outlives the process. A power cut leaves of each file what was
//! synced and some of what came after, the last of it torn; and of the names as they were when names were last synced, some
//! of what was done to them since, in order. A full disk takes a part of a write and then nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Cursor, Write};
use std::rc::Rc;

use rand::Rng;
use rand::rngs::StdRng;

use crate::checkpoint::CRASH_POINTS;
use crate::checkpoint::dir::Disk;

#[derive(Clone, Debug, Default)]
pub struct SimDisk(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    files: Vec<Content>,
    /// Names as processes see them.
    names: BTreeMap<String, usize>,
    /// Names as a power cut would leave them at least.
    synced_names: BTreeMap<String, usize>,
    since: Vec<NameOp>,
    full: bool,
    /// The process ends when it passes this point for the time that is counted down.
    trap: Option<(&'static str, u32)>,
    dead: bool,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
}

#[derive(Clone, Debug)]
enum NameOp {
    Set(String, usize),
    Gone(String),
}

/// An open file.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl SimDisk {
    /// Whether the process that used it has ended.
    pub fn is_dead(&self) -> bool {
        self.0.borrow().dead
    }

    pub fn set_full(&self, full: bool) {
        self.0.borrow_mut().full = full;
    }

    /// Ends the process when it passes `point` for the `times`th time.
    pub fn set_trap(&self, point: &'static str, times: u32) {
        self.0.borrow_mut().trap = Some((point, times));
    }

    /// A new process comes to the disk.
    pub fn restart(&self) {
        let mut state = self.0.borrow_mut();
        (state.dead, state.trap) = (false, None);
    }

    /// Takes away what was not synced.
    pub fn cut_power(&self, dice: &mut StdRng) {
        let mut state = self.0.borrow_mut();
        let kept = dice.random_range(0..=state.since.len());
        let mut names = state.synced_names.clone();
        for op in state.since.drain(..).take(kept) {
            match op {
                NameOp::Set(name, file) => drop(names.insert(name, file)),
                NameOp::Gone(name) => drop(names.remove(&name)),
            }
        }
        (state.names, state.synced_names) = (names.clone(), names);
        for file in &mut state.files {
            let unsynced = file.bytes.len() - file.synced;
            let kept = file.synced + dice.random_range(0..=unsynced);
            // Room that was given to the file and never filled reads as zeros.
            if dice.random_bool(0.3) {
                file.bytes[kept..].fill(0);
            } else {
                file.bytes.truncate(kept);
            }
            file.synced = file.bytes.len();
        }
    }

    /// Damages the newest file whose name begins so.
    pub fn rot(&self, before: &str, dice: &mut StdRng) {
        let mut state = self.0.borrow_mut();
        let newest = state.names.iter().rfind(|(name, _)| name.starts_with(before) && name.ends_with(".fog"));
        if let Some(file) = newest.map(|(_, file)| *file)
            && !state.files[file].bytes.is_empty()
        {
            let at = dice.random_range(0..state.files[file].bytes.len());
            state.files[file].bytes[at] ^= 0x55;
        }
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.alive()?;
        self.0.borrow().names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn alive(&self) -> io::Result<()> {
        match self.is_dead() {
            true => Err(io::Error::other("the process has ended")),
            false => Ok(()),
        }
    }
}

impl State {
    fn set(&mut self, op: NameOp) {
        match op.clone() {
            NameOp::Set(name, file) => drop(self.names.insert(name, file)),
            NameOp::Gone(name) => drop(self.names.remove(&name)),
        }
        self.since.push(op);
    }
}

impl Write for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.alive()?;
        let mut state = self.disk.0.borrow_mut();
        let taken = if state.full { bytes.len() / 2 } else { bytes.len() };
        state.files[self.file].bytes.extend_from_slice(&bytes[..taken]);
        match state.full {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Reader = Cursor<Vec<u8>>;

    fn names(&self) -> io::Result<Vec<String>> {
        self.alive()?;
        Ok(self.0.borrow().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Cursor<Vec<u8>>> {
        let file = self.file(name)?;
        Ok(Cursor::new(self.0.borrow().files[file].bytes.clone()))
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        self.alive()?;
        let mut state = self.0.borrow_mut();
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let known = state.names.get(name).copied();
        let file = known.unwrap_or(state.files.len());
        match known {
            Some(file) => state.files[file] = Content::default(),
            None => {
                state.files.push(Content::default());
                state.set(NameOp::Set(name.to_owned(), file));
            }
        }
        Ok(SimFile { disk: self.clone(), file })
    }

    fn resume(&self, name: &str, keep: u64) -> io::Result<SimFile> {
        let file = self.file(name)?;
        let mut state = self.0.borrow_mut();
        let content = &mut state.files[file];
        content.bytes.truncate(keep as usize);
        content.synced = content.synced.min(keep as usize);
        Ok(SimFile { disk: self.clone(), file })
    }

    fn sync(&self, file: &SimFile) -> io::Result<()> {
        self.alive()?;
        let mut state = self.0.borrow_mut();
        let content = &mut state.files[file.file];
        content.synced = content.bytes.len();
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.alive()?;
        let mut state = self.0.borrow_mut();
        state.synced_names = state.names.clone();
        state.since.clear();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.file(from)?;
        let mut state = self.0.borrow_mut();
        state.set(NameOp::Set(to.to_owned(), file));
        state.set(NameOp::Gone(from.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.file(name)?;
        self.0.borrow_mut().set(NameOp::Gone(name.to_owned()));
        Ok(())
    }

    fn pass(&self, point: &'static str) -> io::Result<()> {
        debug_assert!(CRASH_POINTS.contains(&point), "{point} is no place to end at");
        let mut state = self.0.borrow_mut();
        if let Some((wanted, times)) = &mut state.trap
            && *wanted == point
        {
            *times -= 1;
            state.dead = *times == 0;
        }
        drop(state);
        self.alive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_power_cut_leaves_what_was_synced_and_a_kill_leaves_everything() {
        for seed in 0..50 {
            let mut dice = StdRng::seed_from_u64(seed);
            let disk = SimDisk::default();
            let mut file = disk.create("a").expect("room");
            file.write_all(b"kept").expect("room");
            disk.sync(&file).expect("alive");
            disk.sync_names().expect("alive");
            file.write_all(b" or not").expect("room");
            drop(disk.create("b").expect("room"));
            assert_eq!(disk.read("a").expect("there").into_inner(), b"kept or not");
            disk.cut_power(&mut dice);
            assert!(disk.read("a").expect("there").into_inner().starts_with(b"kept"));
        }
    }

    #[test]
    fn a_trap_ends_the_process_at_its_place_and_nothing_is_written_after() {
        let disk = SimDisk::default();
        disk.set_trap("log_synced", 2);
        assert!(disk.pass("log_synced").is_ok() && disk.pass("log_written").is_ok());
        assert!(disk.pass("log_synced").is_err());
        assert!(disk.create("a").is_err());
        disk.restart();
        assert!(disk.create("a").is_ok());
    }
}
