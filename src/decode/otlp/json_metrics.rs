//! Metrics in OTLP JSON.

use super::cells::{Any, List};
use super::json::{Reader, Token};
use super::plan::Slot;
use super::point::{Point, Type, carry_type};
use crate::decode::fault::Fault;
use crate::model::batch::StrSpan;
use crate::model::refusal::Refusal;

impl Reader<'_, '_> {
    /// A metric: what all its points share, then the points (`O2`).
    pub fn metric(&mut self, at: usize) -> Result<usize, Fault> {
        let mark = self.writer.mark();
        let mut data = None;
        let after = self.object(at, |reader, key, at| {
            let ty = match key {
                b"name" => return reader.carry_text(Slot::Metric, at),
                b"description" => return reader.carry_text(Slot::Description, at),
                b"unit" => return reader.carry_text(Slot::Unit, at),
                b"gauge" => Type::Gauge,
                b"sum" => Type::Sum,
                b"histogram" => Type::Histogram,
                b"exponentialHistogram" => Type::Exponential,
                b"summary" => Type::Summary,
                _ => return reader.skip(at),
            };
            data = Some((at, ty));
            reader.skip(at)
        })?;
        if let Some((at, ty)) = data {
            self.inside(Some(at), |reader, at| reader.points(at, ty))?;
        }
        self.writer.back_to(mark);
        Ok(after)
    }

    /// `gauge`, `sum`, `histogram` and so on: alike, but for the point.
    fn points(&mut self, at: usize, ty: Type) -> Result<usize, Fault> {
        let mark = self.writer.mark();
        let (mut temporality, mut monotonic, mut points) = (Token::Null, Token::Null, None);
        let after = self.object(at, |reader, key, at| match key {
            b"aggregationTemporality" => reader.keep(at, &mut temporality),
            b"isMonotonic" => reader.keep(at, &mut monotonic),
            b"dataPoints" => {
                points = Some(at);
                reader.skip(at)
            }
            _ => reader.skip(at),
        })?;
        let wrong = Fault { reason: Refusal::WrongType, at };
        let temporality = match self.listed(List::Temporality, "AGGREGATION_TEMPORALITY_", temporality) {
            Some(Any::Enum(number, _) | Any::Int(number)) => number,
            _ => {
                self.writer.carry_fault(wrong);
                0
            }
        };
        let monotonic = match monotonic {
            Token::Bool(monotonic) => monotonic,
            Token::Null => false,
            _ => {
                self.writer.carry_fault(wrong);
                false
            }
        };
        carry_type(&mut self.writer, ty, temporality, monotonic, at);
        self.inside(points, |reader, at| reader.array(at, |reader, at| reader.point(at, ty)))?;
        self.writer.back_to(mark);
        Ok(after)
    }

    fn point(&mut self, at: usize, ty: Type) -> Result<usize, Fault> {
        let plan = self.writer.plan;
        self.writer.open(at)?;
        self.buckets.clear();
        let mut point = Point::EMPTY;
        if matches!(ty, Type::Histogram | Type::Exponential | Type::Summary) {
            point.count = Some(0);
        }
        if ty == Type::Summary {
            point.sum = Some(0.0);
        }
        let after = self.object(at, |reader, key, at| match key {
            b"attributes" => reader.attributes(at, &plan.attributes, false),
            b"startTimeUnixNano" => reader.nanos(at, &mut point.times.start),
            b"timeUnixNano" => reader.nanos(at, &mut point.times.time),
            b"flags" => reader.count(at, &mut point.flags),
            b"asInt" => {
                let (token, after) = reader.token(at)?;
                match (reader.integer(token), token) {
                    (Some(value), _) => point.value = Any::Int(value),
                    (None, Token::Null) => {}
                    (None, _) => reader.wrong(at),
                }
                Ok(after)
            }
            b"asDouble" => {
                let mut value = None;
                let after = reader.number(at, &mut value)?;
                point.value = value.map_or(point.value, Any::Double);
                Ok(after)
            }
            b"count" => {
                let mut count = 0;
                let after = reader.count(at, &mut count)?;
                point.count = Some(count);
                Ok(after)
            }
            b"sum" => reader.number(at, &mut point.sum),
            b"min" => reader.number(at, &mut point.min),
            b"max" => reader.number(at, &mut point.max),
            b"quantileValues" => reader.array(at, |reader, at| {
                let (mut quantile, mut value) = (None, None);
                let after = reader.object(at, |reader, key, at| match key {
                    b"quantile" => reader.number(at, &mut quantile),
                    b"value" => reader.number(at, &mut value),
                    _ => reader.skip(at),
                })?;
                point.quantile(quantile.unwrap_or(0.0), value.unwrap_or(0.0));
                Ok(after)
            }),
            _ if !plan.percentiles => reader.skip(at),
            b"bucketCounts" => reader.array(at, |reader, at| {
                let mut count = 0;
                let after = reader.count(at, &mut count)?;
                reader.buckets.counts.push(count);
                Ok(after)
            }),
            b"explicitBounds" => reader.array(at, |reader, at| {
                let mut bound = None;
                let after = reader.number(at, &mut bound)?;
                reader.buckets.bounds.push(bound.unwrap_or(0.0));
                Ok(after)
            }),
            b"scale" => {
                let (scale, after) = reader.small(at)?;
                reader.buckets.scale = scale;
                Ok(after)
            }
            b"zeroCount" => {
                let mut count = 0;
                let after = reader.count(at, &mut count)?;
                reader.buckets.zero_count = count;
                Ok(after)
            }
            b"positive" => reader.range_of(at, true),
            b"negative" => reader.range_of(at, false),
            _ => reader.skip(at),
        })?;
        let raw = StrSpan::payload(at as u32, (after - at) as u32);
        point.close(ty, self.buckets, &mut self.writer, raw, at);
        Ok(after)
    }

    /// `{"offset": …, "bucketCounts": […]}`
    fn range_of(&mut self, at: usize, positive: bool) -> Result<usize, Fault> {
        self.object(at, |reader, key, at| match key {
            b"offset" => {
                let (offset, after) = reader.small(at)?;
                reader.range(positive).0 = offset;
                Ok(after)
            }
            b"bucketCounts" => reader.array(at, |reader, at| {
                let mut count = 0;
                let after = reader.count(at, &mut count)?;
                reader.range(positive).1.push(count);
                Ok(after)
            }),
            _ => reader.skip(at),
        })
    }

    fn range(&mut self, positive: bool) -> &mut (i32, Vec<u64>) {
        if positive { &mut self.buckets.positive } else { &mut self.buckets.negative }
    }

    fn number(&mut self, at: usize, into: &mut Option<f64>) -> Result<usize, Fault> {
        let (token, after) = self.token(at)?;
        match (self.double(token), token) {
            (Some(value), _) => *into = Some(value),
            (None, Token::Null) => {}
            (None, _) => self.wrong(at),
        }
        Ok(after)
    }

    fn count(&mut self, at: usize, into: &mut u64) -> Result<usize, Fault> {
        let (token, after) = self.token(at)?;
        match (self.integer(token).map(u64::try_from), token) {
            (Some(Ok(count)), _) => *into = count,
            (None, Token::Null) => {}
            _ => self.wrong(at),
        }
        Ok(after)
    }

    fn small(&mut self, at: usize) -> Result<(i32, usize), Fault> {
        let (token, after) = self.token(at)?;
        match (self.integer(token).map(i32::try_from), token) {
            (Some(Ok(value)), _) => Ok((value, after)),
            (None, Token::Null) => Ok((0, after)),
            _ => {
                self.wrong(at);
                Ok((0, after))
            }
        }
    }

    fn wrong(&mut self, at: usize) {
        self.writer.misfit(Fault { reason: Refusal::WrongType, at });
    }
}
