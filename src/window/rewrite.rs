//! Partials of one plan as partials of another: what lets windows outlive a change of the rules.
//!
//! A reload that adds a rule to a feed adds accumulators to its partials. The obvious way out, to start that feed anew,
//! would make every unchanged rule beside the new one wait for a whole window. A part is written alike whatever
//! stands around it, so a partial can be cut into its parts and put together in another order; accumulators that
//! the old plan did not have are empty, and who reads them must know since when they are whole.

use super::codec::put_varint;
use super::distinct::DistinctSet;
use super::moments::Moments;
use super::partial::{PARTIAL_VERSION, PartialError, PartialReader, put_extreme, put_last, put_log_head};
use super::plan::AccSpec;
use super::topk::TopValues;

/// Where the new partial takes a part from.
#[derive(Debug)]
enum From {
    Old(usize),
    Empty(Vec<u8>),
}

#[derive(Debug)]
pub struct PartialRewriter {
    reader: PartialReader,
    parts: Vec<From>,
    /// The plans are the same: bytes are only checked.
    same: bool,
}

impl PartialRewriter {
    /// `parts`: for each accumulator of the new plan, its place in the old one, where it was there.
    ///
    /// # Panics
    /// Where a place is not in `old`, or the accumulator there is another.
    pub fn new(old: &[AccSpec], new: &[AccSpec], parts: &[Option<usize>]) -> PartialRewriter {
        assert_eq!(new.len(), parts.len(), "one source for each accumulator");
        let part = |(spec, place): (&AccSpec, &Option<usize>)| match place {
            Some(place) => {
                assert_eq!(old[*place], *spec, "an accumulator stays what it is");
                From::Old(*place)
            }
            None => From::Empty(empty(spec)),
        };
        PartialRewriter {
            reader: PartialReader::of(old),
            parts: new.iter().zip(parts).map(part).collect(),
            same: old.len() == new.len() && parts.iter().enumerate().all(|(at, place)| *place == Some(at)),
        }
    }

    /// Puts the rewritten partial into `out`, which is cleared.
    ///
    /// # Errors
    /// The bytes are no partial of the old plan.
    pub fn rewrite(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), PartialError> {
        let partial = self.reader.read(bytes)?;
        out.clear();
        if self.same {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        out.push(PARTIAL_VERSION);
        for part in &self.parts {
            match part {
                From::Old(place) => out.extend_from_slice(partial.part(*place)),
                From::Empty(bytes) => out.extend_from_slice(bytes),
            }
        }
        Ok(())
    }
}

/// The part of an accumulator that saw nothing.
fn empty(spec: &AccSpec) -> Vec<u8> {
    let mut out = Vec::new();
    match spec {
        AccSpec::Count => put_varint(&mut out, 0),
        AccSpec::Moments => Moments::default().encode(&mut out),
        AccSpec::Min | AccSpec::Max => put_extreme(&mut out, None),
        AccSpec::Last => put_last(&mut out, None),
        AccSpec::Histogram(_) => put_log_head(&mut out, 0),
        AccSpec::Distinct => DistinctSet::default().encode(&mut out),
        AccSpec::TopK(_) => TopValues::default().encode(&mut out),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::HistogramSpec;

    fn all() -> Vec<AccSpec> {
        vec![
            AccSpec::Count,
            AccSpec::Moments,
            AccSpec::Min,
            AccSpec::Max,
            AccSpec::Last,
            AccSpec::Histogram(HistogramSpec::INT),
            AccSpec::Distinct,
            AccSpec::TopK(3),
        ]
    }

    #[test]
    fn what_saw_nothing_is_read_as_a_whole_partial_of_every_accumulator() {
        let mut out = Vec::new();
        PartialRewriter::new(&[], &all(), &[None; 8]).rewrite(&[PARTIAL_VERSION], &mut out).expect("an empty partial");
        PartialReader::of(&all()).read(&out).expect("empty parts are parts");
    }

    #[test]
    fn parts_keep_their_bytes_when_the_order_changes_and_one_is_new() {
        let (old, new) =
            ([AccSpec::Count, AccSpec::Max, AccSpec::Last], [AccSpec::Last, AccSpec::Moments, AccSpec::Count]);
        let mut bytes = vec![PARTIAL_VERSION];
        put_varint(&mut bytes, 300);
        put_extreme(&mut bytes, Some(7.5));
        put_last(&mut bytes, Some((-4, 2.5)));
        let mut out = Vec::new();
        let mut rewriter = PartialRewriter::new(&old, &new, &[Some(2), None, Some(0)]);
        rewriter.rewrite(&bytes, &mut out).expect("a partial of the old plan");
        let mut expected = vec![PARTIAL_VERSION];
        put_last(&mut expected, Some((-4, 2.5)));
        Moments::default().encode(&mut expected);
        put_varint(&mut expected, 300);
        assert_eq!(out, expected);
        assert!(rewriter.rewrite(&out, &mut Vec::new()).is_err(), "bytes of the new plan are none of the old");
    }
}
