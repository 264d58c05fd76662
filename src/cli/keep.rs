//! History for the commands that run an engine: begun before anything happens, ended after everything has.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::CommandError;
use crate::edge::clock;
use crate::edge::history::{Recorder, Retention, file_in};
use crate::engine::record::{Before, Record, Restored, RulesRecord, RunRecord};
use crate::model::time::WallTime;

/// How long the end of a run waits for its last records.
const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

/// Begins the history of a run in a state directory.
pub(super) fn open(dir: &Path, retention: Retention, started: WallTime) -> Result<Arc<Recorder>, CommandError> {
    let recorder = Recorder::start(&file_in(dir), retention, started)?;
    tracing::info!("history is kept in {}", recorder.path().display());
    Ok(Arc::new(recorder))
}

/// Records that the run has begun, what it began with, and the rules it goes by.
pub(super) fn started(recorder: &Recorder, restored: Restored, rules: &RulesRecord) {
    let now = clock::now();
    let run = RunRecord::Started {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        restored,
        before: Before::None, // the writer knows
    };
    recorder.record(now, Record::Run(run));
    recorder.record(now, Record::Rules(rules.clone()));
}

/// Records that the run is over, and waits until all of it is written.
pub(super) fn stopped(recorder: &Recorder, why: &str) {
    recorder.record(clock::now(), Record::Run(RunRecord::Stopped { why: why.to_owned() }));
    recorder.stop(LAST_WORDS_MAX); // what is lost is logged and counted there
}
