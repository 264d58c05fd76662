//! OTLP: what the OpenTelemetry Collector writes to `otlp_spans`, `otlp_logs` and `otlp_metrics`.
//!
//! A record is one export request (`TracesData`, `LogsData`, `MetricsData`), as protobuf or as JSON, told apart by its
//! first byte: `{`, or white space that no request in protobuf can start with, is JSON. One span, log record or data
//! point is one row. Protobuf is walked on the wire ([`wire`], [`proto`]), JSON on its text ([`json`]); both feed the
//! same [`cells::Writer`], so they cannot differ in what a value means.
//!
//! Fields: the built-ins of the signal ([`builtin_fields`]), `["resource", key]`, `["scope", "name"]`,
//! `["scope", "version"]`, `["scope", key]`, `["attributes", key]`, and for logs `["body", key]` of a body that is a map.
//!
//! - times (`start_time`, `end_time`, `time`, `observed_time`) are epoch milliseconds; the stream's time format does not
//!   matter, OTLP has only nanoseconds. A log record without a time has the time at which it was observed
//! - ids are lower-case hex, and null when empty or zero; `kind`, `status_code`, `temporality`, `type` are short names
//!   (`server`, `error`, `delta`, `histogram`), or the numbers when the field is an integer
//! - text that is not set (protobuf cannot tell it from empty) is null; an attribute's empty string is a string
//! - an attribute of another type is converted: a whole double to an integer, anything to a string (arrays, maps as
//!   JSON, bytes as base64); strings to numbers only when the field says `numeric_strings`. What cannot be converted
//!   refuses the event, or all events below, when it stands in their resource or scope
//! - a number point has `value`; histograms have `count`, `sum`, `min`, `max` and estimates `p50` … `p999`
//!   ([`buckets`]); a summary has `count`, `sum` and the percentiles it holds (0 and 1 being `min` and `max`). A point
//!   that says it has no recorded value is a row of nulls
//! - `O1` a request is read whole or not at all: half of a broken message would be guesses
//! - `O2` the order of the fields in a message does not matter: what is carried to rows (resource, scope, metric) is read
//!   before them wherever it stands
//!
//! More lenient than a generated decoder: strings nobody reads may be any bytes, a known field of another wire type is
//! passed over as unknown, and of two resources in one message the attributes of both count.

mod buckets;
mod cells;
mod json;
mod json_metrics;
mod plan;
mod point;
mod proto;
mod proto_metrics;
mod wire;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

pub use self::plan::{builtin_fields, time_sources};

use self::buckets::Buckets;
use self::cells::{Carried, Names, Writer};
use self::plan::Plan;
use self::wire::Range;
use crate::decode::DecoderError;
use crate::decode::fault::Fault;
use crate::decode::json::skip::Skipper;
use crate::decode::rows::Rows;
use crate::model::batch::RawRecord;
use crate::model::refusal::Refusal;
use crate::model::schema::{OtlpSignal, StreamSchema};

/// Reads the records of one stream of OTLP.
pub(super) struct OtlpDecoder {
    plan: Plan,
    names: Names,
    carried: Carried,
    buckets: Buckets,
    skipper: Skipper,
    scratch: Vec<u8>,
}

impl OtlpDecoder {
    pub fn new(schema: &StreamSchema, signal: OtlpSignal, needed: &[usize]) -> Result<OtlpDecoder, DecoderError> {
        Ok(OtlpDecoder {
            plan: Plan::new(schema, signal, needed)?,
            names: Names::default(),
            carried: Carried::default(),
            buckets: Buckets::default(),
            skipper: Skipper::default(),
            scratch: Vec::new(),
        })
    }

    pub fn begin_batch(&mut self, rows: &mut Rows<'_>) {
        self.names.begin_batch(rows);
    }

    pub fn record(&mut self, buf: &[u8], record: &RawRecord, rows: &mut Rows<'_>) {
        let from = record.start as usize;
        let message = Range { from, to: from + record.len as usize };
        let place = (record.timestamp, from);
        let writer = Writer::new(&self.plan, buf, rows, &mut self.carried, &self.names, place);
        let read = match buf[from] {
            _ if record.len == 0 => Err(Fault::malformed(from)),
            b'{' | b' ' | b'\t' | b'\r' => {
                json::Reader::new(writer, &mut self.buckets, &mut self.skipper, &mut self.scratch, message).request()
            }
            _ => proto::Walker::new(writer, &mut self.buckets).request(message),
        };
        match read {
            Ok(()) if rows.events() > 0 => {}
            Ok(()) => rows.refuse_record(Refusal::Malformed, 0),
            Err(fault) => rows.refuse_record(fault.reason, fault.at.min(message.to) - from),
        }
    }
}
