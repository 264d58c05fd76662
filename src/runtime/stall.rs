//! Watches every stream's watermark on the wall clock: a silent source must not mean a silent pager (design D1).

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::edge::clock;
use crate::engine::plan::Plan;
use crate::engine::shard::{SourceReport, Stall, StallChange};
use crate::model::position::SourceId;
use crate::model::time::{EventTime, Millis};
use crate::runtime::desk::DeskMail;
use crate::runtime::status::Status;

/// A watermark may stand still for this long, or for twice the stream's idle timeout where that is longer.
pub const STILL_MAX: Millis = Millis::from_secs(60);

pub(super) struct StallWatch {
    streams: Vec<Watched>,
}

struct Watched {
    name: Arc<str>,
    stall: Stall,
    /// Whom the desk was told of.
    told: Option<SourceId>,
}

impl StallWatch {
    pub fn new(plan: &Plan) -> StallWatch {
        let watched = plan.streams.iter().map(|stream| Watched {
            name: stream.schema.name.clone(),
            stall: Stall::new(STILL_MAX.max(stream.schema.idle_timeout + stream.schema.idle_timeout)),
            told: None,
        });
        StallWatch { streams: watched.collect() }
    }

    /// Looks at where all watermarks stand and tells the desk what changed.
    pub async fn look(&mut self, status: &Status, desk: &mpsc::Sender<DeskMail>) {
        let shards = status.shards();
        let now = clock::now();
        for (at, watched) in self.streams.iter_mut().enumerate() {
            let of_stream = || shards.iter().filter_map(move |(shard, _)| shard.streams.get(at));
            let sources: Vec<&SourceReport> = of_stream().flat_map(|stream| &stream.sources).collect();
            if sources.is_empty() {
                continue; // nothing is ours to watch
            }
            let watermark = of_stream().filter_map(|stream| stream.watermark).min().unwrap_or(EventTime::MIN);
            match watched.stall.observe(now, watermark) {
                Some(StallChange::Stalled { since, watermark }) => {
                    let slowest = sources.iter().min_by_key(|source| source.watermark).expect("there are some");
                    watched.told = Some(slowest.source.clone());
                    let (stream, source) = (watched.name.clone(), slowest.source.clone());
                    let mail = DeskMail::Stalled { stream, source, watermark, still_for: now.since(since) };
                    let _ = desk.send(mail).await; // a desk that is gone has nothing left to hear
                }
                Some(StallChange::Recovered { .. }) => {
                    if let Some(source) = watched.told.take() {
                        let _ = desk.send(DeskMail::Recovered { stream: watched.name.clone(), source }).await;
                    }
                }
                None => {}
            }
        }
    }
}
