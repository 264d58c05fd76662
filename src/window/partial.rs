//! What some events contribute to one pane of one group, as bytes.
//!
//! Stage 1 and stage 2 meet in this value (design D4): across a channel today, across a Kafka topic later. So there is
//! one form, the encoded one. A quiet group's pane is some twenty bytes, which stage 2 copies to where it keeps them;
//! building structs in between would cost more than it would tell.
//!
//! A partial is the version byte and then one *part* for each accumulator of the plan, in its order:
//!
//! | accumulator | part |
//! | --- | --- |
//! | count | varint |
//! | moments | varint count; unless zero, sum and sum of squares as length byte and two's complement |
//! | min, max | 0, or 1 and the float |
//! | last | 0, or 1, the time as zigzag varint and the float |
//! | histogram | varint 2·samples, then 16-bit bucket indexes in any order; or 2·samples + 1, byte length, runs |
//! | distinct, topk | see there |
//!
//! Partials of one pane are additive: any grouping of the events, merged in any order, answers alike.
//!
//! - `P1` [`PartialReader::read`] takes exactly the bytes that a correct writer could have written for this plan, as
//!   far as memory safety, bounds and termination of every later step depend on it; it never panics

use super::codec::{check_runs, put_varint, samples, take, take_u64, unzigzag, varint, zigzag};
use super::distinct::DistinctSet;
use super::histogram::Geometry;
use super::moments::Moments;
use super::plan::{AccSpec, WindowPlan};
use super::topk::TopValues;

/// First byte of every partial. A new layout gets a new number, and readers keep the old ones.
pub const PARTIAL_VERSION: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartialError {
    #[error("a pane partial is empty")]
    Empty,
    #[error("a pane partial has version {0}, this Foghorn reads version {PARTIAL_VERSION}")]
    Version(u8),
    #[error("the part of accumulator {acc} of a pane partial is damaged or belongs to another plan")]
    Part { acc: usize },
    #[error("a pane partial has {extra} bytes after its last part; it belongs to another plan")]
    TooLong { extra: usize },
}

/// A borrowed partial: whole, checked bytes.
#[derive(Clone, Copy, Debug)]
pub struct PanePartial<'a> {
    bytes: &'a [u8],
    /// Where each part ends.
    ends: &'a [u32],
}

impl<'a> PanePartial<'a> {
    /// The encoded form, version byte first.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Appends the encoded form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.bytes);
    }

    /// What an accumulator that counts has counted.
    pub fn count(&self, acc: usize) -> u64 {
        varint(self.part(acc), &mut 0).unwrap_or_default()
    }

    /// The encoded part of one accumulator.
    #[inline]
    pub(super) fn part(&self, acc: usize) -> &'a [u8] {
        let start = if acc == 0 { 1 } else { self.ends[acc - 1] as usize };
        &self.bytes[start..self.ends[acc] as usize]
    }
}

/// Writes one partial after the other into the same buffers.
#[derive(Debug, Default)]
pub(super) struct PartialWriter {
    pub(super) bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl PartialWriter {
    #[inline]
    pub(super) fn start(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.push(PARTIAL_VERSION);
    }

    #[inline]
    pub(super) fn end_part(&mut self) {
        self.ends.push(self.bytes.len() as u32);
    }

    #[inline]
    pub(super) fn partial(&self) -> PanePartial<'_> {
        PanePartial { bytes: &self.bytes, ends: &self.ends }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 4
    }
}

/// Reads partials made elsewhere.
#[derive(Debug)]
pub struct PartialReader {
    accs: Vec<(AccSpec, Option<Geometry>)>,
    ends: Vec<u32>,
}

impl PartialReader {
    pub fn new(plan: &WindowPlan) -> PartialReader {
        PartialReader::of(&plan.accs)
    }

    /// Reads partials of these accumulators.
    pub fn of(accs: &[AccSpec]) -> PartialReader {
        let geometry = |spec: &AccSpec| match spec {
            AccSpec::Histogram(spec) => Some(Geometry::new(spec)),
            _ => None,
        };
        PartialReader { accs: accs.iter().map(|spec| (*spec, geometry(spec))).collect(), ends: Vec::new() }
    }

    /// Checks the bytes (`P1`) and finds their parts.
    pub fn read<'a>(&'a mut self, bytes: &'a [u8]) -> Result<PanePartial<'a>, PartialError> {
        match bytes.first() {
            None => return Err(PartialError::Empty),
            Some(&PARTIAL_VERSION) => {}
            Some(&version) => return Err(PartialError::Version(version)),
        }
        self.ends.clear();
        let mut at = 1;
        for (acc, (spec, geometry)) in self.accs.iter().enumerate() {
            check_part(spec, geometry.as_ref(), bytes, &mut at)
                .filter(|()| u32::try_from(at).is_ok())
                .ok_or(PartialError::Part { acc })?;
            self.ends.push(at as u32);
        }
        match bytes.len() - at {
            0 => Ok(PanePartial { bytes, ends: &self.ends }),
            extra => Err(PartialError::TooLong { extra }),
        }
    }
}

/// Moves `at` behind a part that is what it should be.
fn check_part(spec: &AccSpec, geometry: Option<&Geometry>, bytes: &[u8], at: &mut usize) -> Option<()> {
    match spec {
        AccSpec::Count => varint(bytes, at).map(drop),
        AccSpec::Moments => Moments::decode(bytes, at).map(drop),
        AccSpec::Min | AccSpec::Max => match decode_extreme(bytes, at)? {
            Some(value) if !value.is_finite() => None,
            _ => Some(()),
        },
        AccSpec::Last => match decode_last(bytes, at)? {
            Some((_, value)) if !value.is_finite() => None,
            _ => Some(()),
        },
        AccSpec::Histogram(_) => {
            let samples = SampleSet::decode(bytes, at)?;
            samples.check(geometry?.buckets()).then_some(())
        }
        AccSpec::Distinct => DistinctSet::decode(bytes, at).map(drop),
        AccSpec::TopK(_) => TopValues::decode(bytes, at).map(drop),
    }
}

/// Samples one partial may claim: leaves room to add up 65,536 of them.
const SAMPLES_MAX: u64 = 1 << 48;

/// The samples of one pane, as a partial carries them.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampleSet<'a> {
    pub(super) samples: u64,
    pub(super) form: SampleForm<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum SampleForm<'a> {
    /// Little-endian bucket indexes.
    Log(&'a [u8]),
    /// See [`super::codec::Runs`].
    Runs(&'a [u8]),
}

impl<'a> SampleSet<'a> {
    #[inline]
    pub(super) fn decode(bytes: &'a [u8], at: &mut usize) -> Option<SampleSet<'a>> {
        let head = varint(bytes, at)?;
        let samples = head >> 1;
        let form = match head & 1 {
            0 => SampleForm::Log(take(bytes, at, usize::try_from(samples).ok()?.checked_mul(2)?)?),
            _ => {
                let length = usize::try_from(varint(bytes, at)?).ok()?;
                SampleForm::Runs(take(bytes, at, length)?)
            }
        };
        Some(SampleSet { samples, form })
    }

    fn check(&self, buckets: usize) -> bool {
        match self.form {
            SampleForm::Log(log) => samples(log).all(|bucket| usize::from(bucket) < buckets),
            SampleForm::Runs(runs) => self.samples <= SAMPLES_MAX && check_runs(runs, buckets, self.samples),
        }
    }
}

#[inline]
pub(super) fn put_log_head(out: &mut Vec<u8>, samples: usize) {
    put_varint(out, (samples as u64) << 1);
}

pub(super) fn put_runs(out: &mut Vec<u8>, samples: u64, runs: &[u8]) {
    put_varint(out, samples << 1 | 1);
    put_varint(out, runs.len() as u64);
    out.extend_from_slice(runs);
}

pub(super) fn put_extreme(out: &mut Vec<u8>, value: Option<f64>) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}

pub(super) fn decode_extreme(bytes: &[u8], at: &mut usize) -> Option<Option<f64>> {
    match take(bytes, at, 1)?[0] {
        0 => Some(None),
        1 => Some(Some(f64::from_bits(take_u64(bytes, at)?))),
        _ => None,
    }
}

pub(super) fn put_last(out: &mut Vec<u8>, last: Option<(i64, f64)>) {
    match last {
        None => out.push(0),
        Some((time, value)) => {
            out.push(1);
            put_varint(out, zigzag(time));
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}

pub(super) fn decode_last(bytes: &[u8], at: &mut usize) -> Option<Option<(i64, f64)>> {
    match take(bytes, at, 1)?[0] {
        0 => Some(None),
        1 => {
            let time = unzigzag(varint(bytes, at)?);
            Some(Some((time, f64::from_bits(take_u64(bytes, at)?))))
        }
        _ => None,
    }
}

/// The later one; at the same time, the greater value.
pub(super) fn later(a: (i64, f64), b: (i64, f64)) -> (i64, f64) {
    match a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)) {
        std::cmp::Ordering::Less => b,
        _ => a,
    }
}
