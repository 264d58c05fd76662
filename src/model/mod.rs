//! The words of Foghorn. Every other module speaks them; this one knows no other.
//!
//! One word, one meaning:
//!
//! | word | meaning |
//! | --- | --- |
//! | event | one record's row: an event time and the fields of its stream |
//! | stream | a named source of events with a schema ([`schema::StreamSchema`]) |
//! | group | one set of group-by values of a rule |
//! | pane | a fixed slice of event time for one group: counts and a histogram |
//! | window | a run of panes |
//! | watermark | no event earlier than this is expected any more |
//! | verdict | breach, normal or unknown: what a condition says of one group at one tick |
//! | signal | what a rule tells the desk about one group ([`signal::Signal`]) |
//! | alert | what the desk keeps of one label set that fires |
//! | notification | what is said about one group of alerts to one receiver, at one time |
//! | delivery | one attempt to hand a notification to one integration |
//! | position | topic, partition, offset |
//! | refusal | a named, counted reason for which something was not taken |
//!
//! Times come in two types, because *when it happened* and *when we act* must not mix: [`time::EventTime`] and
//! [`time::WallTime`]. Nothing in here reads a clock.

pub mod batch;
pub mod delivery;
pub mod labels;
pub mod position;
pub mod refusal;
pub mod schema;
pub mod signal;
pub mod time;

pub use batch::{Batch, Column, RawBatch, RawRecord, StrSpan};
pub use delivery::{AlertStatus, AlertView, Delivery, DeliveryId, Notification, Outcome, SendReason, ThreadHandle};
pub use labels::{Fingerprint, Labels};
pub use position::{Gap, Loss, Position, SourceId};
pub use refusal::Refusal;
pub use schema::{FieldSpec, FieldType, StreamSchema};
pub use signal::{Comparison, Contributor, Evidence, Exemplar, RuleMeta, Signal, Transition, UnknownReason, Verdict};
pub use time::{EventTime, Millis, WallTime};
