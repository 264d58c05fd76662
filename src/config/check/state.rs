//! What outlives the process, and how long.

use super::Checker;
use crate::config::checked::StateConfig;
use crate::config::defaults;
use crate::config::raw::{RawHistory, RawState};
use crate::edge::history::Retention;
use crate::rule::diagnostic::Code;
use crate::rule::yaml::read::Given;

impl Checker<'_> {
    pub fn state(&mut self, raw: &RawState) -> Option<StateConfig> {
        let history = self.history(raw.history.get());
        let (default, min, max) =
            (defaults::CHECKPOINT_EVERY, defaults::CHECKPOINT_EVERY_MIN, defaults::CHECKPOINT_EVERY_MAX);
        let checkpoint_every = self.length(&raw.checkpoint_every, "checkpoint_every", default, min, max);
        match &raw.dir {
            Given::Yes(dir) if !dir.value.trim().is_empty() => {
                Some(StateConfig { dir: self.folder.join(&dir.value), checkpoint_every, history })
            }
            Given::Yes(dir) => {
                self.log.error(Code::BadValue, dir.place, "`dir` is empty");
                None
            }
            Given::No => {
                self.missing(raw.place, "dir", "dir: /var/lib/foghorn");
                None
            }
            Given::Unusable => None,
        }
    }

    fn history(&mut self, raw: Option<&RawHistory>) -> Retention {
        let mut retention = Retention { keep: defaults::HISTORY_KEEP, rows_max: defaults::HISTORY_ROWS_MAX };
        if let Some(raw) = raw {
            if let Some(keep) = raw.keep.get().filter(|keep| keep.value.is_zero()) {
                self.log
                    .error(Code::BadDuration, keep.place, "records that are kept for no time are not kept")
                    .hint("leave `state` out where there should be no history");
            }
            retention.keep = raw.keep.or(retention.keep);
            self.bound(&raw.max_rows, &mut retention.rows_max);
        }
        retention
    }
}
