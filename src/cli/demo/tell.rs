//! What the demo says on the terminal: alerts as they move, notifications as they go, a summary at the end.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::alert::life::Change;
use crate::cli::load::World;
use crate::engine::journal::{Decision, JournalEntry};
use crate::engine::transcript::clean;
use crate::model::delivery::{AlertStatus, Notification};
use crate::model::time::{EventTime, WallTime};
use crate::runtime::{Live, Status};

/// Writes lines for people. Cheap to clone: clones share their tally.
#[derive(Clone)]
pub struct Teller {
    colours: bool,
    tally: Arc<Mutex<Tally>>,
}

#[derive(Default)]
struct Tally {
    /// By alert: pending, fired, resolved.
    moves: BTreeMap<String, [u32; 3]>,
    notifications: BTreeMap<String, u32>,
}

impl Teller {
    pub fn new(colours: bool) -> Self {
        Teller { colours, tally: Arc::default() }
    }

    pub fn welcome(&self, page: &str, brokers: &str, world: &World, once: bool) {
        let bold = Style::new().bold();
        let partitions: i32 = super::shop::TOPICS.iter().map(|(_, partitions)| partitions).sum();
        self.line(&format!(
            "{}  an embedded Kafka broker on {brokers}: {} topics, {partitions} partitions",
            self.paint(bold, "foghorn demo"),
            super::shop::TOPICS.len(),
        ));
        self.line(&format!("              {} rules watch {} streams", world.plan.rules.len(), world.streams.len()));
        self.line(&format!("              the page: {}", self.paint(bold.underline(), page)));
        self.line("");
        self.line("  A web shop goes about its day. In 12 seconds its payment gateway stops answering, and");
        self.line("  a little later somebody tries passwords. It is over after half a minute.");
        self.line(if once { "" } else { "  The story begins again every minute; Ctrl-C ends it.\n" });
    }

    /// Tells what happens until the engine is gone.
    pub async fn follow(self, mut live: broadcast::Receiver<Live>) {
        loop {
            match live.recv().await {
                Ok(Live::Journal(entry)) => self.journal(&entry),
                Ok(Live::Sent { receiver, notification }) => self.sent(&receiver, &notification),
                Err(broadcast::error::RecvError::Lagged(missed)) => self.line(&format!("  … {missed} lines missed")),
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn journal(&self, entry: &JournalEntry) {
        let (alert, change, at) = match &entry.decision {
            Decision::Alert { alert, change, at, .. } => (alert, change, at),
            Decision::Silenced { .. } | Decision::Unsilenced { .. } | Decision::Operated { .. } => {
                return self.line(&format!("{}  {}", clock_time(entry.at), clean(&entry.decision.to_string())));
            }
            _ => return,
        };
        let (index, word, colour) = match change {
            Change::Began => (0, "pending ", AnsiColor::Yellow),
            Change::Fired | Change::FiredAgain { .. } => (1, "FIRING  ", AnsiColor::Red),
            Change::Resolved => (2, "resolved", AnsiColor::Green),
            Change::Dropped => return self.alert_line(entry.at, *at, AnsiColor::BrightBlack, "calm    ", alert),
            Change::Refreshed | Change::Ignored(_) => return,
        };
        self.tally.lock().moves.entry(alert.rule.to_string()).or_default()[index] += 1;
        self.alert_line(entry.at, *at, colour, word, alert);
    }

    fn alert_line(
        &self,
        now: WallTime,
        at: EventTime,
        colour: AnsiColor,
        word: &str,
        alert: &crate::alert::life::AlertName,
    ) {
        let labels = alert.labels.with([("alertname", ""), ("severity", ""), ("team", "")]);
        let state = self.paint(colour.on_default().bold(), word);
        let delay = now.0 - at.0;
        let delay =
            self.paint(AnsiColor::BrightBlack.on_default(), &format!("{:.1} s after the fact", delay as f64 / 1e3));
        self.line(&format!("{}  {state}  {}{labels}  {delay}", clock_time(now), alert.rule));
    }

    fn sent(&self, receiver: &str, notification: &Notification) {
        *self.tally.lock().notifications.entry(receiver.to_owned()).or_default() += 1;
        let arrow = self.paint(AnsiColor::Cyan.on_default(), "  ──►");
        let firing = notification.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing).count();
        let resolved = notification.alerts.len() - firing;
        let counts = match (firing, resolved) {
            (0, n) => format!("{n} resolved"),
            (n, 0) => format!("{n} firing"),
            (n, m) => format!("{n} firing, {m} resolved"),
        };
        self.line(&format!("          {arrow} {receiver}: {} {counts}", notification.group_labels));
        for alert in &notification.alerts {
            if let Some((_, summary)) = alert.annotations.iter().find(|(name, _)| &**name == "summary") {
                self.line(&format!("                  {summary}"));
            }
        }
    }

    /// What came of it. `false` where nothing fired and resolved: then something is wrong.
    pub fn summary(&self, status: &Status, produced: u64) -> bool {
        let shards = status.shards();
        let events: u64 = shards.iter().flat_map(|(shard, _)| &shard.streams).map(|stream| stream.events).sum();
        let busy: f64 = shards.iter().map(|(_, busy)| busy.as_secs_f64()).sum();
        let tally = self.tally.lock();
        self.line("");
        self.line(&format!("{produced} records produced, {events} events judged in {busy:.2} s of a core"));
        for (alert, [pending, fired, resolved]) in &tally.moves {
            self.line(&format!("  {alert:<16} pending {pending}, fired {fired}, resolved {resolved}"));
        }
        for (receiver, count) in &tally.notifications {
            self.line(&format!("  {receiver:<16} {count} notifications"));
        }
        tally.moves.values().any(|[_, fired, resolved]| *fired > 0 && *resolved > 0)
    }

    fn paint(&self, style: Style, text: &str) -> String {
        match self.colours {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }

    /// A terminal that is gone is no reason to stop.
    pub fn line(&self, text: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }
}

/// `15:04:05.1` in the zone of the machine.
fn clock_time(at: WallTime) -> String {
    let Ok(stamp) = jiff::Timestamp::from_millisecond(at.0) else { return String::new() };
    let local = stamp.to_zoned(TimeZone::system());
    format!("{}.{}", local.strftime("%H:%M:%S"), at.0.rem_euclid(1_000) / 100)
}
