//! Foghorn's own metrics in Prometheus' text format, made from [`Status`] at each scrape.
//!
//! The engine counts in plain integers on its own threads and publishes copies; a registry of shared atomics would put
//! a contended cache line on the hot path to save a copy four times a second.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::alert::group::SkipReason;
use crate::alert::life::Life;
use crate::alert::silence::SilenceState;
use crate::api::Api;
use crate::edge::kafka::ConsumerStats;
use crate::edge::process;
use crate::engine::cells::Held;
use crate::engine::record::PartitionEvent;
use crate::model::time::{EventTime, WallTime};
use crate::runtime::ReloadOutcome;

/// Every metric, for the README and its test.
pub const NAMES: &[&str] = &[
    "foghorn_build_info",
    "foghorn_records_consumed_total",
    "foghorn_record_bytes_total",
    "foghorn_records_repeated_total",
    "foghorn_events_decoded_total",
    "foghorn_refused_total",
    "foghorn_values_saturated_total",
    "foghorn_watermark_delay_seconds",
    "foghorn_rule_groups",
    "foghorn_rule_active_groups",
    "foghorn_rule_evaluations_total",
    "foghorn_evaluation_seconds_total",
    "foghorn_shard_busy_seconds_total",
    "foghorn_window_bytes",
    "foghorn_alerts",
    "foghorn_notifications_total",
    "foghorn_notifications_waiting",
    "foghorn_notifications_suppressed_total",
    "foghorn_silences",
    "foghorn_checkpoint_age_seconds",
    "foghorn_checkpoint_number",
    "foghorn_checkpoint_bytes",
    "foghorn_checkpoint_duration_seconds",
    "foghorn_checkpoint_failures_total",
    "foghorn_checkpoint_stall_seconds",
    "foghorn_checkpoint_stall_seconds_max",
    "foghorn_kafka_lag",
    "foghorn_kafka_gaps_total",
    "foghorn_kafka_lost_records_total",
    "foghorn_partitions",
    "foghorn_partition_arrivals_total",
    "foghorn_partition_departures_total",
    "foghorn_history_records_total",
    "foghorn_history_dropped_total",
    "foghorn_history_bytes",
    "foghorn_history_last_write_age_seconds",
    "foghorn_config_last_reload_successful",
    "foghorn_config_last_reload_success_timestamp_seconds",
    "foghorn_config_reloads_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_start_time_seconds",
];

/// The whole exposition.
pub fn text(api: &Api, now: WallTime) -> Result<String, fmt::Error> {
    let mut scrape = Scrape(Registry::default());
    scrape.gauge("foghorn_build_info", "Foghorn's version", [(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)]);
    streams(api, now, &mut scrape);
    rules(api, &mut scrape);
    shards(api, &mut scrape);
    people(api, &mut scrape);
    silences(api, now, &mut scrape);
    state(api, now, &mut scrape);
    partitions(api, &mut scrape);
    records(api, now, &mut scrape);
    reloads(api, &mut scrape);
    own_process(&mut scrape);
    let mut out = String::new();
    text::encode(&mut out, &scrape.0)?;
    Ok(out)
}

type Sample<'a> = (Vec<(&'a str, &'a str)>, f64);

/// One scrape's registry, filled from snapshots.
struct Scrape(Registry);

impl Scrape {
    /// `name` ends with `_total`, which the exposition format adds by itself.
    fn counter<'a>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample<'a>>) {
        let family = Family::<Vec<(String, String)>, Counter<f64, AtomicU64>>::default();
        for (labels, value) in samples {
            family.get_or_create(&owned(labels)).inc_by(value);
        }
        self.0.register(name.trim_end_matches("_total"), help, family);
    }

    fn gauge<'a>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample<'a>>) {
        let family = Family::<Vec<(String, String)>, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in samples {
            family.get_or_create(&owned(labels)).set(value);
        }
        self.0.register(name, help, family);
    }
}

fn owned(labels: Vec<(&str, &str)>) -> Vec<(String, String)> {
    labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn streams(api: &Api, now: WallTime, scrape: &mut Scrape) {
    let streams = api.streams();
    let per_stream = |read: fn(&super::StreamView) -> f64| -> Vec<Sample<'_>> {
        streams.iter().map(|stream| (vec![("stream", &*stream.name)], read(stream))).collect()
    };
    scrape.counter("foghorn_records_consumed_total", "Kafka records taken", per_stream(|s| s.records as f64));
    scrape.counter("foghorn_record_bytes_total", "Payload bytes of records taken", per_stream(|s| s.bytes as f64));
    scrape.counter(
        "foghorn_records_repeated_total",
        "Records seen before (redelivered after a rebalance) and dropped",
        per_stream(|s| s.repeats as f64),
    );
    scrape.counter("foghorn_events_decoded_total", "Events decoded from records", per_stream(|s| s.events as f64));
    let refused = streams.iter().flat_map(|stream| {
        stream
            .refused
            .iter()
            .map(|(reason, count)| (vec![("stream", &*stream.name), ("reason", reason.name())], count as f64))
    });
    scrape.counter(
        "foghorn_refused_total",
        "Records, events, values and groups that were not taken, by reason",
        refused,
    );
    let delay = streams.iter().filter_map(|stream| {
        let watermark = stream.watermark.filter(|at| *at != EventTime::MAX)?;
        Some((vec![("stream", &*stream.name)], (now.0 - watermark.0) as f64 / 1e3))
    });
    scrape.gauge("foghorn_watermark_delay_seconds", "How far the stream's watermark is behind the clock", delay);
    let kafka = api.kafka();
    let partitions: Vec<(String, String, i64)> = kafka
        .iter()
        .flat_map(|stats| &stats.partitions)
        .filter_map(|p| Some((p.source.topic.to_string(), p.source.partition.to_string(), p.lag?)))
        .collect();
    let lag = partitions
        .iter()
        .map(|(topic, partition, lag)| (vec![("topic", &**topic), ("partition", &**partition)], *lag as f64));
    scrape.gauge("foghorn_kafka_lag", "Records in the partition that were not taken yet", lag);
    gaps(&kafka.unwrap_or_default(), scrape);
}

fn gaps(kafka: &ConsumerStats, scrape: &mut Scrape) {
    let gaps = [("retention", kafka.gaps), ("rewind", kafka.rewinds)];
    let gaps = gaps.map(|(reason, count)| (vec![("reason", reason)], count as f64));
    scrape.counter("foghorn_kafka_gaps_total", "Times Kafka did not hold what was to be read next, by reason", gaps);
    scrape.counter(
        "foghorn_kafka_lost_records_total",
        "Records that retention deleted before they were read, at most",
        [(vec![], kafka.lost_records as f64)],
    );
}

fn rules(api: &Api, scrape: &mut Scrape) {
    let rules = api.rules();
    let per_rule = |read: fn(&super::RuleView) -> f64| -> Vec<Sample<'_>> {
        rules.iter().map(|rule| (vec![("group", &*rule.group), ("rule", &*rule.name)], read(rule))).collect()
    };
    scrape.gauge("foghorn_rule_groups", "Groups the rule watches", per_rule(|r| r.groups as f64));
    scrape.gauge("foghorn_rule_active_groups", "Groups that are pending or firing", per_rule(|r| r.active as f64));
    scrape.counter("foghorn_rule_evaluations_total", "Groups judged", per_rule(|r| r.evaluations as f64));
    let states = [("pending", 0), ("firing", 1), ("resolved", 2)];
    let mut counts = [0u64; 3];
    for alert in api.status.alerts.iter() {
        counts[match alert.life {
            Life::Pending { .. } => 0,
            Life::Firing { .. } => 1,
            Life::Resolved { .. } => 2,
        }] += 1;
    }
    let alerts = states.into_iter().map(|(state, at)| (vec![("state", state)], counts[at] as f64));
    scrape.gauge("foghorn_alerts", "Alerts by state; resolved ones while the page still shows them", alerts);
}

fn shards(api: &Api, scrape: &mut Scrape) {
    let shards = api.status.shards();
    let names: Vec<String> = (0..shards.len()).map(|shard| shard.to_string()).collect();
    let busy = shards.iter().zip(&names).map(|((_, busy), name)| (vec![("shard", &**name)], busy.as_secs_f64()));
    scrape.counter("foghorn_shard_busy_seconds_total", "Time the shard was at work", busy);
    let judging =
        shards.iter().zip(&names).map(|((status, _), name)| (vec![("shard", &**name)], status.judging.as_secs_f64()));
    scrape.counter("foghorn_evaluation_seconds_total", "Time spent closing panes and judging rules", judging);
    let bytes = shards.iter().zip(&names).map(|((s, _), name)| (vec![("shard", &**name)], s.window_bytes as f64));
    scrape.gauge("foghorn_window_bytes", "Memory of windows", bytes);
    let saturated = shards.iter().map(|(status, _)| status.saturated as f64).sum();
    scrape.counter(
        "foghorn_values_saturated_total",
        "Values above a histogram's range, which count as its highest",
        [(vec![], saturated)],
    );
}

fn people(api: &Api, scrape: &mut Scrape) {
    let receivers = api.receivers();
    let sent = receivers.iter().flat_map(|receiver| {
        receiver.outcomes.iter().map(|(outcome, count)| {
            let labels =
                vec![("receiver", &*receiver.name), ("integration", &*receiver.integration), ("outcome", *outcome)];
            (labels, *count as f64)
        })
    });
    scrape.counter("foghorn_notifications_total", "Delivery attempts by what became of them", sent);
    let waiting = receivers.iter().map(|receiver| {
        (vec![("receiver", &*receiver.name), ("integration", &*receiver.integration)], receiver.waiting as f64)
    });
    scrape.gauge("foghorn_notifications_waiting", "Notifications that are queued or under way", waiting);
}

fn silences(api: &Api, now: WallTime, scrape: &mut Scrape) {
    let desk = api.status.desk.lock();
    let count = |state| desk.silences.iter().filter(|silence| silence.state(now) == state).count() as f64;
    let states = SilenceState::ALL.map(|state| (vec![("state", state.name())], count(state)));
    scrape.gauge("foghorn_silences", "Silences by state; expired ones while they are kept", states);
    let counts = |reason: &&'static str| desk.suppressed.get(reason).copied().unwrap_or(0) as f64;
    let reasons = SkipReason::NAMES.iter().map(|reason| (vec![("reason", *reason)], counts(reason)));
    scrape.counter(
        "foghorn_notifications_suppressed_total",
        "Times a group had come to its moment and said nothing to a receiver, by reason",
        reasons,
    );
}

/// Without a state directory there is nothing to say.
fn state(api: &Api, now: WallTime, scrape: &mut Scrape) {
    let report = api.status.state.report();
    if !report.kept {
        return;
    }
    let mut gauge = |name: &str, help: &str, value: f64| scrape.gauge(name, help, [(vec![], value)]);
    if let Some((number, at, saved)) = report.saved {
        let age = now.since(at).to_std().as_secs_f64();
        gauge("foghorn_checkpoint_age_seconds", "Since the newest checkpoint was safe on disk", age);
        gauge("foghorn_checkpoint_number", "The newest checkpoint's number, counted over all restarts", number as f64);
        gauge("foghorn_checkpoint_bytes", "The newest checkpoint's size", saved.bytes as f64);
        let took = saved.took.as_secs_f64();
        gauge("foghorn_checkpoint_duration_seconds", "How long the newest checkpoint took to write", took);
    }
    let (stall, longest) = (report.stall.as_secs_f64(), report.stall_max.as_secs_f64());
    gauge("foghorn_checkpoint_stall_seconds", "How long a shard took no records for the newest checkpoint", stall);
    gauge("foghorn_checkpoint_stall_seconds_max", "The longest a shard took no records for a checkpoint", longest);
    scrape.counter(
        "foghorn_checkpoint_failures_total",
        "Checkpoints and log entries that could not be written",
        [(vec![], report.failures as f64)],
    );
}

/// Nothing where partitions do not move.
fn partitions(api: &Api, scrape: &mut Scrape) {
    let Some(Held { ours, unclaimed }) = api.status.held() else { return };
    let held = [("held", ours), ("unconfirmed", unclaimed)];
    let held = held.map(|(state, count)| (vec![("state", state)], count as f64));
    scrape.gauge("foghorn_partitions", "Partitions of this member of the group, by state", held);
    let counted = |kind: &'static str| (vec![("kind", kind)], api.status.moves(kind) as f64);
    let (arrivals, departures) = (PartitionEvent::ARRIVALS.map(counted), PartitionEvent::DEPARTURES.map(counted));
    scrape.counter("foghorn_partition_arrivals_total", "Partitions that came to this member, by how", arrivals);
    scrape.counter("foghorn_partition_departures_total", "Partitions that went from this member, by how", departures);
}

/// Nothing where no history is kept.
fn records(api: &Api, now: WallTime, scrape: &mut Scrape) {
    let Some(health) = api.status.history().map(|history| history.health(now)) else { return };
    let written = health.written.iter().map(|(kind, count)| (vec![("kind", kind.name())], *count as f64));
    scrape.counter("foghorn_history_records_total", "Records written to the history", written);
    let dropped = health.dropped.iter().map(|(reason, count)| (vec![("reason", reason.name())], *count as f64));
    scrape.counter("foghorn_history_dropped_total", "Records that are not in the history, by reason", dropped);
    scrape.gauge("foghorn_history_bytes", "Size of the history and its log", [(vec![], health.bytes as f64)]);
    let age = health.last_write.map(|at| (vec![], now.since(at).as_secs_f64()));
    scrape.gauge("foghorn_history_last_write_age_seconds", "How long ago records were last written", age);
}

fn reloads(api: &Api, scrape: &mut Scrape) {
    let report = api.status.reloads.report();
    let successful = f64::from(u8::from(report.successful));
    let at = report.success_at.0 as f64 / 1e3;
    scrape.gauge(
        "foghorn_config_last_reload_successful",
        "Whether the files were taken when they were last read",
        [(vec![], successful)],
    );
    scrape.gauge(
        "foghorn_config_last_reload_success_timestamp_seconds",
        "When files were last taken, since the epoch",
        [(vec![], at)],
    );
    let counts = ReloadOutcome::ALL.iter().zip(report.counts);
    let counts = counts.map(|(outcome, count)| (vec![("outcome", outcome.name())], count as f64));
    scrape.counter("foghorn_config_reloads_total", "Reloads by what became of them", counts);
}

fn own_process(scrape: &mut Scrape) {
    let Some(own) = process::usage() else { return };
    scrape.counter("process_cpu_seconds_total", "CPU time of the process", [(vec![], own.cpu_seconds)]);
    scrape.gauge("process_resident_memory_bytes", "Resident memory", [(vec![], own.resident_bytes as f64)]);
    scrape.gauge("process_open_fds", "Open file descriptors", [(vec![], own.open_files as f64)]);
    scrape.gauge("process_start_time_seconds", "Start of the process since the epoch", [(vec![], own.started_seconds)]);
}
