//! Stage 1 and stage 2 together against an oracle too simple to be wrong: all values of each pane in a list.
//!
//! Two sources record events in batches of any size, close panes when they like, and what they hand out arrives in any
//! order, early or late, as bytes. Whatever the split, every answer must be that of the list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hdrhistogram::Histogram;
use proptest::prelude::*;

use super::tiers::TierLimits;
use super::*;
use crate::model::batch::{Batch, RawBatchBuilder, StrSpan};
use crate::model::refusal::{Refusal, RefusalCounts};
use crate::model::schema::HistogramSpec;
use crate::model::time::Millis;

const PANE: i64 = 10_000;
const GROUPS: u32 = 5;
const SOURCES: usize = 2;
const QUANTILES: [f64; 8] = [0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0];

#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    gid: u32,
    pane: i64,
    time: i64,
    /// Eighths, so that float sums of the oracle are exact; NaN, negative and infinite ones among them.
    value: f64,
    flag: bool,
    /// One of 90 texts, or null.
    text: Option<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    Record {
        source: usize,
        samples: Vec<(u32, i64, f64, u8)>,
        batch: usize,
    },
    /// Many values around one place.
    Burst {
        source: usize,
        gid: u32,
        back: i64,
        count: usize,
        around: f64,
    },
    Close {
        source: usize,
        lag: i64,
    },
    Deliver {
        share: f64,
        from_the_back: bool,
    },
    /// Nobody looks at every second one, so groups also go on unread.
    Advance {
        by: i64,
        look: bool,
    },
    Remove {
        gid: u32,
    },
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        12 => (0i64..40_000).prop_map(|eighths| eighths as f64 / 8.0),
        3 => (0i64..40).prop_map(|whole| whole as f64),
        1 => Just(1e9),
        1 => Just(0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => (1i64..100).prop_map(|eighths| -eighths as f64 / 8.0),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let sample = (0..GROUPS, -4i64..=2, value(), any::<u8>());
    prop_oneof![
        6 => (0..SOURCES, prop::collection::vec(sample, 1..40), 1usize..60)
            .prop_map(|(source, samples, batch)| Step::Record { source, samples, batch }),
        1 => (0..SOURCES, 0..GROUPS, 0i64..3, prop::sample::select(vec![30, 70, 300, 1500]), 0.0..4000f64)
            .prop_map(|(source, gid, back, count, around)| Step::Burst { source, gid, back, count, around }),
        4 => (0..SOURCES, 0i64..3).prop_map(|(source, lag)| Step::Close { source, lag }),
        4 => (0.0..1.0f64, any::<bool>()).prop_map(|(share, from_the_back)| Step::Deliver { share, from_the_back }),
        5 => (prop_oneof![8 => Just(1i64), 2 => 2i64..6, 1 => 10i64..40], any::<bool>())
            .prop_map(|(by, look)| Step::Advance { by, look }),
        1 => (0..GROUPS).prop_map(|gid| Step::Remove { gid }),
    ]
}

fn histogram(digits: u8) -> HistogramSpec {
    HistogramSpec { unit: 0.25, highest: 3000.0, digits }
}

fn plan(digits: u8) -> WindowPlan {
    let accs = vec![
        AccSpec::Count,
        AccSpec::Count,
        AccSpec::Count,
        AccSpec::Moments,
        AccSpec::Min,
        AccSpec::Max,
        AccSpec::Histogram(histogram(digits)),
        AccSpec::Distinct,
        AccSpec::TopK(4),
        AccSpec::Last,
    ];
    let mut views: Vec<ViewSpec> = (0..accs.len()).map(|acc| ViewSpec { acc, panes: 6, offset: 0 }).collect();
    for (acc, panes, offset) in
        [(0, 5, 20), (3, 2, 4), (4, 3, 3), (5, 1, 0), (6, 12, 0), (6, 4, 8), (7, 9, 2), (9, 1, 1)]
    {
        views.push(ViewSpec { acc, panes, offset });
    }
    WindowPlan { pane: Millis(PANE), accs, views }
}

/// What the sources hold, what is under way, what arrived.
struct World {
    plan: Arc<WindowPlan>,
    sources: Vec<OpenPanes>,
    held: Vec<BTreeMap<(u32, i64), Vec<Sample>>>,
    travelling: Vec<(u32, i64, Vec<u8>, Vec<Sample>)>,
    reader: PartialReader,
    windows: Windows,
    arrived: BTreeMap<(u32, i64), Vec<Sample>>,
    /// What the windows of each group held at the last look.
    seen: BTreeMap<u32, Vec<usize>>,
    refused: RefusalCounts,
    saturated: u64,
    taken: Vec<Sample>,
    now: i64,
}

impl World {
    fn new(digits: u8) -> World {
        let plan = Arc::new(plan(digits));
        let limits = TierLimits { quiet: 40, middle: 120, runs: 15, unread: 2 };
        World {
            sources: (0..SOURCES).map(|_| OpenPanes::new(plan.clone())).collect(),
            held: vec![BTreeMap::new(); SOURCES],
            travelling: Vec::new(),
            reader: PartialReader::new(&plan),
            windows: Windows::with_limits(plan.clone(), Some(limits)),
            plan,
            arrived: BTreeMap::new(),
            seen: BTreeMap::new(),
            refused: RefusalCounts::default(),
            saturated: 0,
            taken: Vec::new(),
            now: 1000,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Record { source, samples, batch } => {
                let sample = |(at, (gid, ahead, value, text)): (usize, (u32, i64, f64, u8))| {
                    let pane = self.now + 1 + ahead;
                    let text = (text % 8 > 0).then_some(text % 90);
                    let time = pane * PANE + (at as i64 * 37 + i64::from(gid)) % PANE;
                    Sample { gid, pane, time, value, flag: at % 3 == 0, text }
                };
                let samples: Vec<Sample> = samples.into_iter().enumerate().map(sample).collect();
                samples.chunks(batch).for_each(|batch| self.record(source, batch));
            }
            Step::Burst { source, gid, back, count, around } => {
                let pane = self.now + 1 - back;
                let sample = |at: usize| {
                    let value = ((around * 8.0).round() + (at * at % 800) as f64) / 8.0;
                    Sample {
                        gid,
                        pane,
                        time: pane * PANE + at as i64,
                        value,
                        flag: at.is_multiple_of(7),
                        text: Some(1),
                    }
                };
                let samples: Vec<Sample> = (0..count).map(sample).collect();
                samples.chunks(400).for_each(|batch| self.record(source, batch));
            }
            Step::Close { source, lag } => self.close(source, self.now + 1 - lag),
            Step::Deliver { share, from_the_back } => self.deliver(share, from_the_back),
            Step::Advance { by, look } => {
                self.move_on(by);
                if look {
                    self.check();
                }
            }
            Step::Remove { gid } => {
                self.windows.remove(gid);
                self.arrived.retain(|(other, _), _| *other != gid);
                self.seen.remove(&gid);
                assert_eq!(self.windows.last_pane(gid), None);
            }
        }
    }

    fn record(&mut self, source: usize, samples: &[Sample]) {
        let mut raw = RawBatchBuilder::default();
        let texts: Vec<String> = (0..90).map(|text| format!("text-{text:02}")).collect();
        let origin = raw.source(&"t".into(), 0);
        raw.push(origin, 0, 0, texts.concat().as_bytes());
        let mut batch = Batch::default();
        batch.reset(raw.finish());
        let span = |text: Option<u8>| text.map_or(StrSpan::NULL, |text| StrSpan::payload(u32::from(text) * 7, 7));
        let gids: Vec<u32> = samples.iter().map(|sample| sample.gid).collect();
        let panes: Vec<i64> = samples.iter().map(|sample| self.plan.pane_of(sample.time)).collect();
        let times: Vec<i64> = samples.iter().map(|sample| sample.time).collect();
        let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        let flags: Vec<bool> = samples.iter().map(|sample| sample.flag).collect();
        let spans: Vec<StrSpan> = samples.iter().map(|sample| span(sample.text)).collect();
        let numbers = AccInput { mask: None, values: AccValues::Numbers(&values) };
        let words = AccInput { mask: None, values: AccValues::Texts { batch: &batch, spans: &spans } };
        let rows = AccInput { mask: None, values: AccValues::None };
        let flagged = AccInput { mask: Some(&flags), values: AccValues::None };
        let inputs = [rows, flagged, words, numbers, numbers, numbers, numbers, words, words, numbers];
        let stats = self.sources[source].record(&gids, &panes, &times, &inputs, &mut self.refused);
        self.saturated += stats.saturated;
        self.taken.extend_from_slice(samples);
        for sample in samples {
            self.held[source].entry((sample.gid, sample.pane)).or_default().push(*sample);
        }
    }

    fn close(&mut self, source: usize, through: i64) {
        let mut order = Vec::new();
        let (held, travelling) = (&mut self.held[source], &mut self.travelling);
        self.sources[source].close_through(through, |gid, pane, partial| {
            order.push((pane, gid));
            let mut bytes = Vec::new();
            partial.encode(&mut bytes);
            let samples = held.remove(&(gid, pane)).expect("only what was recorded is handed out");
            travelling.push((gid, pane, bytes, samples));
        });
        assert!(order.is_sorted(), "O2");
        assert!(held.keys().all(|(_, pane)| *pane > through));
    }

    fn deliver(&mut self, share: f64, from_the_back: bool) {
        let count = (self.travelling.len() as f64 * share).ceil() as usize;
        let kept = self.travelling.len() - count;
        let mut arriving = match from_the_back {
            true => self.travelling.split_off(kept),
            false => self.travelling.drain(..count).collect(),
        };
        if from_the_back {
            arriving.reverse();
        }
        for (gid, pane, bytes, samples) in arriving {
            let partial = self.reader.read(&bytes).expect("what stage 1 writes is valid");
            let held = self.windows.merge(gid, pane, &partial);
            assert_eq!(held, pane > self.now - i64::from(self.plan.retention_max()));
            if held {
                self.arrived.entry((gid, pane)).or_default().extend(samples);
                assert!(self.windows.last_pane(gid) >= Some(pane));
            }
        }
    }

    fn advance(&mut self, by: i64) {
        self.move_on(by);
        self.check();
    }

    fn move_on(&mut self, by: i64) {
        self.now += by;
        self.windows.advance_to(self.now);
        let oldest = self.now - i64::from(self.plan.retention_max());
        self.arrived.retain(|(_, pane), _| *pane > oldest);
    }

    fn inside(&self, gid: u32, view: &ViewSpec) -> Vec<Sample> {
        let end = self.now - i64::from(view.offset);
        let start = end - i64::from(view.panes) + 1;
        self.arrived.range((gid, start)..=(gid, end)).flat_map(|(_, samples)| samples.iter().copied()).collect()
    }

    fn check(&mut self) {
        let mut touched = Vec::new();
        self.windows.take_touched(&mut touched);
        assert!(touched.is_sorted());
        let touched: BTreeSet<u32> = touched.into_iter().collect();
        for gid in 0..GROUPS {
            let mut contents = Vec::new();
            for (at, view) in self.plan.views.iter().enumerate() {
                let samples = self.inside(gid, view);
                self.check_view(gid, at, &samples);
                contents.push(samples.len());
            }
            if self.seen.insert(gid, contents.clone()).is_some_and(|before| before != contents) {
                assert!(touched.contains(&gid), "group {gid} changed");
            }
            let empty = !self.arrived.keys().any(|(other, _)| *other == gid);
            assert_eq!(self.windows.is_empty(gid), empty);
        }
        for strand in &self.windows.strands {
            let groups = (0..GROUPS).filter(|gid| strand.heads.get(*gid).is_some());
            assert_eq!(strand.heap, groups.map(|gid| strand.group_heap(gid)).sum::<usize>(), "bytes are accounted for");
        }
    }

    fn check_view(&self, gid: u32, at: usize, samples: &[Sample]) {
        let windows = &self.windows;
        let view = &self.plan.views[at];
        let finite: Vec<f64> = samples.iter().map(|sample| sample.value).filter(|value| value.is_finite()).collect();
        let sum = (!finite.is_empty()).then(|| finite.iter().sum::<f64>());
        let place = format!("group {gid}, {view:?} at {}", self.now);
        match (view.acc, &self.plan.accs[view.acc]) {
            (0, _) => assert_eq!(windows.count(gid, at), samples.len() as u64, "{place}"),
            (1, _) => {
                let flagged = samples.iter().filter(|sample| sample.flag).count();
                assert_eq!(windows.count(gid, at), flagged as u64, "{place}");
            }
            (2, _) => {
                let present = samples.iter().filter(|sample| sample.text.is_some()).count();
                assert_eq!(windows.count(gid, at), present as u64, "{place}");
            }
            (_, AccSpec::Moments) => {
                assert_eq!(windows.count(gid, at), finite.len() as u64, "{place}");
                assert_eq!(windows.sum(gid, at), sum, "{place}");
                let average = sum.map(|sum| sum / finite.len() as f64);
                assert_eq!(windows.avg(gid, at), average, "{place}");
                let variance = average.map(|average| {
                    finite.iter().map(|value| (value - average).powi(2)).sum::<f64>() / finite.len() as f64
                });
                let (got, expected) = (windows.stddev(gid, at), variance.map(f64::sqrt));
                let near = got.zip(expected).is_none_or(|(a, b)| (a - b).abs() <= 1e-9 * b + 1e-9);
                assert!(near && got.is_some() == expected.is_some(), "{place}: {got:?} against {expected:?}");
            }
            (_, AccSpec::Min) => assert_eq!(windows.min(gid, at), finite.iter().copied().reduce(f64::min), "{place}"),
            (_, AccSpec::Max) => assert_eq!(windows.max(gid, at), finite.iter().copied().reduce(f64::max), "{place}"),
            (_, AccSpec::Last) => {
                let key = |sample: &&Sample| (sample.time, (sample.value * 8.0) as i64);
                let last = samples.iter().filter(|sample| sample.value.is_finite()).max_by_key(key);
                assert_eq!(windows.last(gid, at), last.map(|sample| sample.value), "{place}");
            }
            (_, AccSpec::Distinct) => {
                let texts: BTreeSet<u8> = samples.iter().filter_map(|sample| sample.text).collect();
                assert_eq!(windows.distinct(gid, at), texts.len() as f64, "{place}");
            }
            (_, AccSpec::TopK(k)) => {
                let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
                samples.iter().filter_map(|sample| sample.text).for_each(|text| *counts.entry(text).or_default() += 1);
                let mut entries: Vec<(String, u64)> =
                    counts.into_iter().map(|(text, count)| (format!("text-{text:02}"), count)).collect();
                entries.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                entries.truncate(*k);
                assert_eq!(windows.topk(gid, at), TopK { entries, error: 0 }, "{place}");
            }
            (_, AccSpec::Histogram(spec)) => self.check_quantiles(gid, at, spec, &finite, &place),
            (_, AccSpec::Count) => unreachable!("all counts are above"),
        }
    }

    fn check_quantiles(&self, gid: u32, at: usize, spec: &HistogramSpec, values: &[f64], place: &str) {
        let high = (spec.highest / spec.unit).ceil() as u64;
        let mut oracle: Histogram<u64> = Histogram::new_with_bounds(1, high, spec.digits).expect("valid bounds");
        for value in values.iter().filter(|value| **value >= 0.0) {
            oracle.saturating_record(((value / spec.unit).round() as u64).min(high));
        }
        assert_eq!(self.windows.count(gid, at), oracle.len(), "{place}");
        for quantile in QUANTILES {
            let expected = (!oracle.is_empty()).then(|| oracle.value_at_quantile(quantile) as f64 * spec.unit);
            assert_eq!(self.windows.quantile(gid, at, quantile), expected, "q{quantile}, {place}");
            let near = expected.unwrap_or(0.0);
            for threshold in [near, near.next_up(), near.next_down(), near * 0.9 + 1.0, 500.0, -1.0, 1e12] {
                for cmp in Cmp::ALL {
                    let test = self.windows.quantile_test(at, quantile, cmp, threshold).expect("it is a histogram");
                    let holds = expected.map(|value| cmp.holds(value, threshold));
                    assert_eq!(
                        self.windows.quantile_holds(gid, at, &test),
                        holds,
                        "q{quantile} {cmp:?} {threshold}, {place}"
                    );
                }
            }
        }
    }

    /// Nothing comes any more: everything is handed out, every window runs empty, memory goes back.
    fn fall_silent(&mut self) {
        for source in 0..SOURCES {
            self.close(source, i64::MAX);
        }
        self.deliver(1.0, false);
        (0..3).for_each(|_| self.advance(1));
        self.advance(i64::from(self.plan.retention_max()) + 3);
        for strand in &self.windows.strands {
            assert_eq!(strand.heap, 0, "S3");
        }
        for source in 0..SOURCES {
            (0..3).for_each(|_| self.close(source, i64::MAX));
            assert!(self.sources[source].bytes() < 80_000, "{} bytes", self.sources[source].bytes());
        }
        let odd = |which: fn(f64) -> bool| self.taken.iter().filter(|sample| which(sample.value)).count() as u64;
        assert_eq!(self.refused.get(Refusal::Negative), odd(|value| value < 0.0 && value.is_finite()));
        assert_eq!(self.refused.get(Refusal::NotANumber), 5 * odd(f64::is_infinite), "five accumulators read it");
        assert_eq!(self.saturated, odd(|value| value >= 3000.125 && value.is_finite()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_answer_is_that_of_a_list_of_values(digits in 1u8..=3, steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new(digits);
        world.windows.advance_to(world.now);
        steps.into_iter().for_each(|step| world.take(step));
        world.advance(1);
        world.fall_silent();
    }
}
