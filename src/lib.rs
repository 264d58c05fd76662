//! Foghorn: alerts straight off the Kafka stream. This page is the architecture.
//!
//! ```text
//! Kafka ──► edge/kafka ──► decode ──► stream ──► window ──► rule ──► alert ──► notify ──► edge/http, edge/smtp ──► people
//!             batches      columns    filter,    panes,     verdict,  group,    request,
//!             + positions  (Arrow)    group id   HDR rings  hold      route     outbox
//!                          └──────── shard: event time, O(events) ──────┘└── desk: wall time, O(signals) ──┘
//! ```
//!
//! Two machines, both pure. A [`engine::shard::Shard`] (one a thread) turns records into panes, windows, verdicts and
//! signals, in event time only. The [`engine::desk::Desk`] turns signals into alerts, groups, notifications and deliveries;
//! wall time is handed in with each input. [`runtime`] drives them on threads for `run`, [`engine::local`] in one loop for
//! `replay` and `test`: the same `handle` functions either way.
//!
//! Modules, in the order data meets them, and what each may use besides [`model`] (`tests/tidy.rs` holds the code to it):
//!
//! | module | what | may use |
//! | --- | --- | --- |
//! | [`model`] | the words: times, labels, positions, schemas, batches, signals, notifications, refusals | nothing |
//! | [`decode`] | bytes → columns, within budgets | |
//! | [`stream`] | filter, computed columns, group ids, watermarks | |
//! | [`window`] | open panes, partials, sliding windows | |
//! | [`rule`] | rule files, conditions, holds, templates | stream, window, decode |
//! | [`alert`] | one alert's life, routing, groups | |
//! | [`notify`] | notification → request, response → outcome, outbox, retry | alert |
//! | [`engine`] | shard, desk, plan, journal, transcript | all above |
//! | [`checkpoint`] | the state of both machines as one file, and the directory it lies in | engine |
//! | [`sim`] | scenarios, made-up traffic, the storm | engine, checkpoint and above |
//! | [`edge`] | Kafka, files, disk, HTTP, SMTP, clock, log: the only I/O | notify, engine, checkpoint |
//! | [`runtime`] | threads and bounded channels | engine, checkpoint, edge, notify, alert |
//! | [`config`], [`api`], [`cli`] | what people touch; nobody depends on them | anything |
//!
//! What holds everywhere:
//!
//! - nothing above `edge` and `runtime` knows a clock, a socket, a file, a thread or ambient randomness, or iterates a map
//!   in random order;
//! - what is said depends on the events alone: not on batch sizes, shard counts or the order partitions arrive in
//!   (`tests/invariance.rs`);
//! - what is not taken is refused by name and counted ([`model::Refusal`]); what overflows has a named bound;
//! - an unknown verdict never fires and never resolves.
//!
//! Invariants have short ids (`W2`, `H1`, …) in the module that keeps them; tests and asserts cite them.

pub mod model;

pub mod decode;
pub mod stream;
pub mod window;

pub mod rule;

pub mod alert;
pub mod notify;

pub mod checkpoint;
pub mod engine;
pub mod sim;

pub mod edge;
pub mod runtime;

pub mod api;
pub mod cli;
pub mod config;
