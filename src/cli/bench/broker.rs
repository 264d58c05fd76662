//! The other process of `foghorn bench`: a broker and a producer, kept apart so that their CPU time is not counted.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::cli::CommandError;
use crate::edge::clock;
use crate::edge::kafka::producer::{Outgoing, Producer, ProducerOptions};
use crate::edge::kafka::{EmbeddedCluster, KafkaSettings};
use crate::sim::traffic::Traffic;

const PARTITIONS: i32 = 8;

/// Events the producer may be ahead: what the embedded cluster holds without forgetting, with room.
const AHEAD_MAX: u64 = 60_000;

#[derive(Debug, clap::Args)]
pub struct BrokerArgs {
    #[arg(long)]
    topic: String,
    #[arg(long)]
    events: u64,
    #[arg(long)]
    groups: u64,
    #[arg(long)]
    packed: u32,
    #[arg(long)]
    rate: u64,
    #[arg(long)]
    brokers: Option<String>,
}

/// Prints where the broker is, then produces, never further ahead of what the other process says it has seen. Ends when
/// that one closes its end.
pub(in crate::cli) fn run(args: &BrokerArgs) -> Result<ExitCode, CommandError> {
    let embedded = match &args.brokers {
        Some(_) => None,
        None => Some(EmbeddedCluster::start([(&*args.topic, PARTITIONS)])?),
    };
    let brokers = args.brokers.clone().or_else(|| embedded.as_ref().map(|e| e.bootstrap().to_owned()));
    let brokers = brokers.unwrap_or_default();
    let producer = Producer::new(&KafkaSettings::new([brokers.clone()], "foghorn-bench"), &ProducerOptions::load())?;
    println!("{brokers}");
    std::io::stdout().flush()?;

    let (seen, gone) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let listener = std::thread::spawn({
        let (seen, gone) = (seen.clone(), gone.clone());
        move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                seen.store(line.trim().parse().unwrap_or(0), Ordering::Relaxed);
            }
            gone.store(true, Ordering::Relaxed);
        }
    });
    let mut traffic = Traffic::new(1, args.groups as usize, args.rate, clock::now().0);
    let (mut sent, mut message) = (0, Vec::new());
    let mut partition = 0;
    let bounded = embedded.is_some();
    while sent < args.events && !gone.load(Ordering::Relaxed) {
        if bounded && sent > seen.load(Ordering::Relaxed) + AHEAD_MAX {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        message.clear();
        let count = u64::from(args.packed).min(args.events - sent);
        for event in 0..count {
            if event > 0 {
                message.push(b'\n');
            }
            traffic.event(&mut message);
        }
        // Partitions take turns, so that none runs ahead of the others in event time.
        partition = (partition + 1) % PARTITIONS;
        let outgoing =
            Outgoing { topic: &args.topic, partition: Some(partition), payload: &message, ..Outgoing::default() };
        producer.send_patiently(outgoing)?;
        sent += count;
    }
    producer.flush(Duration::from_secs(30));
    let _ = listener.join();
    Ok(ExitCode::SUCCESS)
}
