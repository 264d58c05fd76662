//! The thread that writes, and the handle that the engine has of it.
//!
//! Who records puts a value into a bounded queue and goes on (`B1`). The thread gathers what came within a fifth of a
//! second into one transaction, since a transaction costs the same with one record or with hundreds. While the file
//! cannot be written, the batch stays in hand and the queue fills up behind it: a disk that is full for a moment costs
//! nothing, one that stays full costs what finds no room, under the name of what is wrong. It is tried again every
//! second, with the file opened anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never, select, unbounded};
use parking_lot::Mutex;

use super::store::{Pending, Retention, Store, Written};
use super::{DropReason, HistoryError};
use crate::edge::clock;
use crate::engine::journal::JournalEntry;
use crate::engine::record::{Entry, Kind, Record, RunId};
use crate::model::{Millis, WallTime};

/// Records that may wait for the disk: minutes of a bad night, a few megabytes.
pub const QUEUE: usize = 8_192;

/// Records written in one transaction.
const BATCH_MAX: usize = 500;

/// How long the first record of a batch waits for company.
const BATCH_EVERY: Duration = Duration::from_millis(200);

/// How long after a failure it is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How often old records are looked for, and the size of the file.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// How long records that found no room are a problem worth showing.
const DROPS_SHOWN_FOR: Millis = Millis::from_secs(300);

/// What the engine has of its history. Shared; recording never waits.
#[derive(Debug)]
pub struct Recorder {
    run: RunId,
    path: PathBuf,
    mail: Sender<Pending>,
    control: Sender<Control>,
    shared: Arc<Shared>,
    again: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    last_number: u64,
}

/// How the history is, for metrics and the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    pub path: PathBuf,
    pub written: Vec<(Kind, u64)>,
    pub dropped: Vec<(DropReason, u64)>,
    pub bytes: u64,
    pub rows: u64,
    /// When records last reached the file.
    pub last_write: Option<WallTime>,
    /// What is wrong, if anything is.
    pub problem: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    written: [AtomicU64; Kind::ALL.len()],
    dropped: [AtomicU64; DropReason::ALL.len()],
    bytes: AtomicU64,
    rows: AtomicU64,
    /// 0 for never.
    last_write: AtomicI64,
    last_drop: AtomicI64,
    /// What stands in the way.
    trouble: Mutex<Option<(DropReason, String)>>,
}

enum Control {
    /// Tries to write all that is waiting, and says whether it is written.
    Flush(Sender<bool>),
    /// … and ends.
    Stop(Sender<bool>),
}

impl Recorder {
    /// Opens the history of this run and starts its thread. A history that cannot be opened is trouble, not a failure:
    /// paging goes first. It shows in [`Recorder::health`] and in the log, and mends by itself.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(path: &Path, retention: Retention, started: WallTime) -> std::io::Result<Recorder> {
        let (mail, mailbox) = bounded(QUEUE);
        let (control, controls) = unbounded();
        let shared = Arc::new(Shared::default());
        let mut writer = Writer {
            path: path.to_owned(),
            retention,
            shared: shared.clone(),
            store: None,
            batch: Vec::new(),
            due: None,
            retry_at: None,
            tidy_at: Instant::now(),
        };
        writer.open();
        let last_number = writer.store.as_ref().map_or(0, Store::last_journal_number);
        let thread =
            std::thread::Builder::new().name("history".into()).spawn(move || writer.run(&mailbox, &controls))?;
        Ok(Recorder {
            run: RunId(started.0),
            path: path.to_owned(),
            mail,
            control,
            shared,
            again: AtomicBool::new(false),
            thread: Mutex::new(Some(thread)),
            last_number,
        })
    }

    /// The journal number of the last record that was there when this run began; 0 where there was none.
    pub fn last_journal_number(&self) -> u64 {
        self.last_number
    }

    /// Says whether the entries that follow are made again from logged inputs after a crash: of these, what is written
    /// already is passed over (`B3`). The writer compares numbers itself, so that it holds for what was still on its
    /// way, too.
    pub fn made_again(&self, again: bool) {
        self.again.store(again, Ordering::Relaxed);
    }

    /// Records what the desk decided, if it is worth a record.
    pub fn entry(&self, entry: &JournalEntry) {
        if let Some(record) = Record::of(entry) {
            self.send(Some(entry.number), entry.at, record);
        }
    }

    /// Records what is none of the desk's decisions.
    pub fn record(&self, at: WallTime, record: Record) {
        self.send(None, at, record);
    }

    fn send(&self, number: Option<u64>, at: WallTime, record: Record) {
        let entry = Entry { run: self.run, number, at, record };
        let again = self.again.load(Ordering::Relaxed);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.mail.try_send(Pending { entry, again })
        {
            let reason = self.shared.trouble.lock().as_ref().map_or(DropReason::QueueFull, |(reason, _)| *reason);
            self.shared.count_drop(reason, 1);
        }
    }

    /// Waits until everything recorded so far is written, at most `patience`; whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        let (done, answer) = bounded(1);
        self.control.send(Control::Flush(done)).is_ok() && answer.recv_timeout(patience).unwrap_or(false)
    }

    /// Writes what is left and ends the thread; whether all was written. Waits at most `patience`.
    pub fn stop(&self, patience: Duration) -> bool {
        let (done, answer) = bounded(1);
        let written = self.control.send(Control::Stop(done)).is_ok() && answer.recv_timeout(patience).unwrap_or(false);
        if written && let Some(thread) = self.thread.lock().take() {
            let _ = thread.join(); // it has answered, so it is on its way out
        }
        written
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn health(&self, now: WallTime) -> Health {
        let shared = &self.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let dropped: Vec<(DropReason, u64)> =
            DropReason::ALL.iter().map(|reason| (*reason, count(&shared.dropped[*reason as usize]))).collect();
        let last_write = shared.last_write.load(Ordering::Relaxed);
        Health {
            path: self.path.clone(),
            written: Kind::ALL.iter().map(|kind| (*kind, count(&shared.written[*kind as usize]))).collect(),
            problem: shared.problem(now, dropped.iter().map(|(_, count)| count).sum()),
            dropped,
            bytes: count(&shared.bytes),
            rows: count(&shared.rows),
            last_write: (last_write != 0).then_some(WallTime(last_write)),
        }
    }
}

impl Shared {
    fn count_drop(&self, reason: DropReason, count: u64) {
        self.dropped[reason as usize].fetch_add(count, Ordering::Relaxed);
        self.last_drop.store(clock::now().0, Ordering::Relaxed);
    }

    fn problem(&self, now: WallTime, dropped: u64) -> Option<String> {
        if let Some((reason, text)) = &*self.trouble.lock() {
            return Some(format!("{}: {text}; {dropped} records dropped so far", reason.text()));
        }
        let last_drop = WallTime(self.last_drop.load(Ordering::Relaxed));
        (last_drop.0 != 0 && now.since(last_drop) < DROPS_SHOWN_FOR)
            .then(|| format!("records were dropped, the last at {last_drop}; {dropped} in all"))
    }
}

/// What the thread has.
struct Writer {
    path: PathBuf,
    retention: Retention,
    shared: Arc<Shared>,
    /// `None` while it cannot be opened.
    store: Option<Store>,
    /// Taken from the queue and not yet written.
    batch: Vec<Pending>,
    /// When the batch is to be written.
    due: Option<Instant>,
    /// Set while something is wrong.
    retry_at: Option<Instant>,
    tidy_at: Instant,
}

impl Writer {
    fn run(mut self, mail: &Receiver<Pending>, controls: &Receiver<Control>) {
        let closed = never();
        loop {
            // A full batch holds the queue back; while something is wrong that is how the queue fills.
            let open = if self.batch.len() < BATCH_MAX { mail } else { &closed };
            select! {
                recv(controls) -> control => match control {
                    Ok(Control::Flush(done)) => {
                        let _ = done.send(self.write_all(mail)); // nobody waits any more
                    }
                    Ok(Control::Stop(done)) => {
                        let written = self.write_all(mail);
                        self.abandon(mail);
                        self.store = None; // closed before anyone is told: the last one out removes the log
                        let _ = done.send(written);
                        return;
                    }
                    Err(_) => {
                        self.write_all(mail);
                        return self.abandon(mail);
                    }
                },
                recv(open) -> pending => if let Ok(pending) = pending {
                    self.take(pending);
                },
                default(self.idle_for()) => {}
            }
            self.step();
        }
    }

    fn take(&mut self, pending: Pending) {
        self.due.get_or_insert_with(|| Instant::now() + BATCH_EVERY);
        self.batch.push(pending);
    }

    /// How long there is nothing to do, unless something comes.
    fn idle_for(&self) -> Duration {
        let write_at = self.retry_at.or(self.due);
        write_at.map_or(self.tidy_at, |at| at.min(self.tidy_at)).saturating_duration_since(Instant::now())
    }

    /// Does what is due.
    fn step(&mut self) {
        let now = Instant::now();
        match self.retry_at {
            Some(at) if at <= now => self.retry(),
            Some(_) => {}
            None => {
                if self.batch.len() >= BATCH_MAX || self.due.is_some_and(|due| due <= now) {
                    self.write();
                }
            }
        }
        if self.tidy_at <= now {
            self.tidy();
        }
    }

    /// Tries again what failed.
    fn retry(&mut self) {
        self.open();
        if self.store.is_some() && self.write() {
            self.fine();
        }
    }

    /// Writes the batch; whether nothing is left of it.
    fn write(&mut self) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        if self.store.as_ref().is_none_or(|store| !store.is_in_place()) {
            self.open();
        }
        let Some(store) = &mut self.store else { return false };
        match store.write(&self.batch) {
            Ok(written) => {
                self.wrote(written);
                true
            }
            Err(error) => {
                self.trouble(&error);
                // No other try will go better, and what comes behind must not suffer.
                if error.reason() == DropReason::Failed {
                    self.shared.count_drop(DropReason::Failed, self.batch.len() as u64);
                    self.batch.clear();
                    self.due = None;
                }
                false
            }
        }
    }

    fn wrote(&mut self, written: Written) {
        for (counter, count) in self.shared.written.iter().zip(written.kinds) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
        self.shared.last_write.store(clock::now().0, Ordering::Relaxed);
        self.batch.clear();
        self.due = None;
        self.fine();
        let excess = self.store.as_ref().is_some_and(|store| store.rows() > self.retention.rows_max);
        if excess {
            self.tidy_at = Instant::now();
        }
    }

    /// Everything in hand and in the queue; whether it is written.
    fn write_all(&mut self, mail: &Receiver<Pending>) -> bool {
        loop {
            while self.batch.len() < BATCH_MAX
                && let Ok(pending) = mail.try_recv()
            {
                self.take(pending);
            }
            if self.batch.is_empty() {
                return true;
            }
            if !self.write() {
                return false;
            }
        }
    }

    /// Counts what can no longer be written.
    fn abandon(&mut self, mail: &Receiver<Pending>) {
        let left = self.batch.len() + mail.try_iter().count();
        if left > 0 {
            let reason = self.shared.trouble.lock().as_ref().map_or(DropReason::Failed, |(reason, _)| *reason);
            self.shared.count_drop(reason, left as u64);
            tracing::error!("{left} records were not written to {}: {}", self.path.display(), reason.text());
        }
    }

    fn open(&mut self) {
        self.store = None;
        match Store::open(&self.path) {
            Ok(store) => {
                self.store = Some(store);
                self.measure();
            }
            Err(error) => self.trouble(&error),
        }
    }

    /// A slice of retention, and the size of the file.
    fn tidy(&mut self) {
        self.tidy_at = Instant::now() + TIDY_EVERY;
        let Some(store) = &mut self.store else { return };
        match store.prune(self.retention, clock::now()) {
            Ok(true) => self.tidy_at = Instant::now(),
            Ok(false) => {}
            Err(error) => self.trouble(&error),
        }
        self.measure();
    }

    fn measure(&self) {
        if let Some(store) = &self.store {
            self.shared.bytes.store(store.bytes(), Ordering::Relaxed);
            self.shared.rows.store(store.rows(), Ordering::Relaxed);
        }
    }

    /// The file is opened anew before it is tried again: what failed may be the connection, or the file a new one.
    fn trouble(&mut self, error: &HistoryError) {
        self.store = None;
        self.retry_at = Some(Instant::now() + RETRY_EVERY);
        let text = with_causes(error);
        let mut trouble = self.shared.trouble.lock();
        if trouble.as_ref().is_none_or(|(reason, _)| *reason != error.reason()) {
            tracing::error!(reason = error.reason().name(), "history is not written: {text}");
        }
        *trouble = Some((error.reason(), text));
    }

    fn fine(&mut self) {
        self.retry_at = None;
        if self.shared.trouble.lock().take().is_some() {
            tracing::info!("history is written again to {}", self.path.display());
            self.measure();
        }
    }
}

fn with_causes(error: &HistoryError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text += &format!(": {source}");
        cause = source.source();
    }
    text
}
