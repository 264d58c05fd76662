//! Metrics in protobuf. Field numbers are those of `opentelemetry/proto/metrics/v1`.

use super::cells::Any;
use super::plan::Slot;
use super::point::{Point, Type, carry_type};
use super::proto::Walker;
use super::wire::{Payload, Range, Wire, zigzag};
use crate::decode::fault::Fault;
use crate::model::batch::StrSpan;

impl Walker<'_, '_> {
    /// A `Metric`: what all its points share, then the points (`O2`).
    pub fn metric(&mut self, message: Range) -> Result<(), Fault> {
        let mark = self.writer.mark();
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (1, Payload::Bytes(text)) => self.carry_text(Slot::Metric, text),
                (2, Payload::Bytes(text)) => self.carry_text(Slot::Description, text),
                (3, Payload::Bytes(text)) => self.carry_text(Slot::Unit, text),
                _ => {}
            }
        }
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (5, Payload::Bytes(data)) => self.points(data, Type::Gauge)?,
                (7, Payload::Bytes(data)) => self.points(data, Type::Sum)?,
                (9, Payload::Bytes(data)) => self.points(data, Type::Histogram)?,
                (10, Payload::Bytes(data)) => self.points(data, Type::Exponential)?,
                (11, Payload::Bytes(data)) => self.points(data, Type::Summary)?,
                _ => {}
            }
        }
        self.writer.back_to(mark);
        Ok(())
    }

    /// `Gauge`, `Sum`, `Histogram`, `ExponentialHistogram`, `Summary`: alike, but for the point.
    fn points(&mut self, data: Range, ty: Type) -> Result<(), Fault> {
        let mark = self.writer.mark();
        let (mut temporality, mut monotonic) = (0, false);
        let mut wire = Wire::new(self.buf, data);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (2, Payload::Varint(number)) => temporality = number as i32,
                (3, Payload::Varint(number)) => monotonic = number != 0,
                _ => {}
            }
        }
        carry_type(&mut self.writer, ty, temporality.into(), monotonic, data.from);
        let mut wire = Wire::new(self.buf, data);
        while let Some((field, payload)) = wire.next()? {
            if let (1, Payload::Bytes(point)) = (field, payload) {
                self.writer.open(point.from)?;
                let numbers = match ty {
                    Type::Gauge | Type::Sum => self.number_point(point)?,
                    Type::Histogram => self.histogram_point(point)?,
                    Type::Exponential => self.exponential_point(point)?,
                    Type::Summary => self.summary_point(point)?,
                };
                numbers.close(ty, self.buckets, &mut self.writer, StrSpan::NULL, point.from);
            }
        }
        self.writer.back_to(mark);
        Ok(())
    }

    fn number_point(&mut self, message: Range) -> Result<Point, Fault> {
        let plan = self.writer.plan;
        let mut point = Point::EMPTY;
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (7, Payload::Bytes(attribute)) => self.attribute(attribute, &plan.attributes)?,
                (2, Payload::Fixed64(nanos)) => point.times.start = nanos,
                (3, Payload::Fixed64(nanos)) => point.times.time = nanos,
                (4, Payload::Fixed64(bits)) => point.value = Any::Double(f64::from_bits(bits)),
                (6, Payload::Fixed64(bits)) => point.value = Any::Int(bits as i64),
                (8, Payload::Varint(flags)) => point.flags = flags,
                _ => {}
            }
        }
        Ok(point)
    }

    fn histogram_point(&mut self, message: Range) -> Result<Point, Fault> {
        let plan = self.writer.plan;
        self.buckets.clear();
        let mut point = Point { count: Some(0), ..Point::EMPTY };
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (9, Payload::Bytes(attribute)) => self.attribute(attribute, &plan.attributes)?,
                (2, Payload::Fixed64(nanos)) => point.times.start = nanos,
                (3, Payload::Fixed64(nanos)) => point.times.time = nanos,
                (4, Payload::Fixed64(count)) => point.count = Some(count),
                (5, Payload::Fixed64(bits)) => point.sum = Some(f64::from_bits(bits)),
                (11, Payload::Fixed64(bits)) => point.min = Some(f64::from_bits(bits)),
                (12, Payload::Fixed64(bits)) => point.max = Some(f64::from_bits(bits)),
                (10, Payload::Varint(flags)) => point.flags = flags,
                (6, payload) if plan.percentiles => fixed64s(self.buf, payload, |bits| self.buckets.counts.push(bits))?,
                (7, payload) if plan.percentiles => {
                    fixed64s(self.buf, payload, |bits| self.buckets.bounds.push(f64::from_bits(bits)))?;
                }
                _ => {}
            }
        }
        Ok(point)
    }

    fn exponential_point(&mut self, message: Range) -> Result<Point, Fault> {
        let plan = self.writer.plan;
        self.buckets.clear();
        let mut point = Point { count: Some(0), ..Point::EMPTY };
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (1, Payload::Bytes(attribute)) => self.attribute(attribute, &plan.attributes)?,
                (2, Payload::Fixed64(nanos)) => point.times.start = nanos,
                (3, Payload::Fixed64(nanos)) => point.times.time = nanos,
                (4, Payload::Fixed64(count)) => point.count = Some(count),
                (5, Payload::Fixed64(bits)) => point.sum = Some(f64::from_bits(bits)),
                (12, Payload::Fixed64(bits)) => point.min = Some(f64::from_bits(bits)),
                (13, Payload::Fixed64(bits)) => point.max = Some(f64::from_bits(bits)),
                (10, Payload::Varint(flags)) => point.flags = flags,
                (6, Payload::Varint(scale)) => self.buckets.scale = zigzag(scale) as i32,
                (7, Payload::Fixed64(count)) => self.buckets.zero_count = count,
                (8, Payload::Bytes(range)) if plan.percentiles => {
                    range_of(self.buf, range, &mut self.buckets.positive)?
                }
                (9, Payload::Bytes(range)) if plan.percentiles => {
                    range_of(self.buf, range, &mut self.buckets.negative)?
                }
                _ => {}
            }
        }
        Ok(point)
    }

    fn summary_point(&mut self, message: Range) -> Result<Point, Fault> {
        let plan = self.writer.plan;
        let mut point = Point { count: Some(0), sum: Some(0.0), ..Point::EMPTY };
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (7, Payload::Bytes(attribute)) => self.attribute(attribute, &plan.attributes)?,
                (2, Payload::Fixed64(nanos)) => point.times.start = nanos,
                (3, Payload::Fixed64(nanos)) => point.times.time = nanos,
                (4, Payload::Fixed64(count)) => point.count = Some(count),
                (5, Payload::Fixed64(bits)) => point.sum = Some(f64::from_bits(bits)),
                (8, Payload::Varint(flags)) => point.flags = flags,
                (6, Payload::Bytes(pair)) => {
                    let (mut quantile, mut value) = (0.0, 0.0);
                    let mut wire = Wire::new(self.buf, pair);
                    while let Some((field, payload)) = wire.next()? {
                        match (field, payload) {
                            (1, Payload::Fixed64(bits)) => quantile = f64::from_bits(bits),
                            (2, Payload::Fixed64(bits)) => value = f64::from_bits(bits),
                            _ => {}
                        }
                    }
                    point.quantile(quantile, value);
                }
                _ => {}
            }
        }
        Ok(point)
    }
}

/// A repeated fixed64 or double, packed or not.
fn fixed64s(buf: &[u8], payload: Payload, mut each: impl FnMut(u64)) -> Result<(), Fault> {
    match payload {
        Payload::Fixed64(bits) => each(bits),
        Payload::Bytes(list) => {
            let mut wire = Wire::new(buf, list);
            while let Some(bits) = wire.packed_fixed64()? {
                each(bits);
            }
        }
        Payload::Varint(_) | Payload::Fixed32(_) => {}
    }
    Ok(())
}

/// `Buckets`: an offset and counts, packed or not.
fn range_of(buf: &[u8], message: Range, into: &mut (i32, Vec<u64>)) -> Result<(), Fault> {
    let mut wire = Wire::new(buf, message);
    while let Some((field, payload)) = wire.next()? {
        match (field, payload) {
            (1, Payload::Varint(offset)) => into.0 = zigzag(offset) as i32,
            (2, Payload::Varint(count)) => into.1.push(count),
            (2, Payload::Bytes(list)) => {
                let mut wire = Wire::new(buf, list);
                while let Some(count) = wire.packed_varint()? {
                    into.1.push(count);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
