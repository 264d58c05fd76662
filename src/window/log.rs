//! Samples of quiet groups: bucket indexes in order of pane, in a ring that is no larger than it must be.
//!
//! A `VecDeque` with two differences that matter a million times: 24 bytes instead of 32, and room that is asked for in
//! the sizes allocators serve anyway instead of by doubling.

use super::codec::samples;
use super::storage::{prefetch, roomy};

#[derive(Clone, Debug, Default)]
pub(super) struct SampleLog {
    room: Box<[u16]>,
    head: u32,
    len: u32,
}

impl SampleLog {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The samples from `start` to `end`, in two pieces where the ring wraps.
    #[inline]
    pub(super) fn parts(&self, start: usize, end: usize) -> (&[u16], &[u16]) {
        debug_assert!(start <= end && end <= self.len());
        let room = self.room.len();
        let (from, to) = (self.head as usize + start, self.head as usize + end);
        match (from < room, to <= room) {
            (_, true) => (&self.room[from..to], &[]),
            (true, false) => (&self.room[from..], &self.room[..to - room]),
            (false, false) => (&self.room[from - room..to - room], &[]),
        }
    }

    /// Little-endian samples, to the end.
    pub(super) fn extend_bytes(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len() / 2);
        let room = self.room.len();
        let mut at = self.head as usize + self.len();
        if at >= room {
            at -= room;
        }
        let (upper, lower) = bytes.split_at(bytes.len().min((room - at) * 2));
        self.room[at..].iter_mut().zip(samples(upper)).for_each(|(to, sample)| *to = sample);
        self.room.iter_mut().zip(samples(lower)).for_each(|(to, sample)| *to = sample);
        self.len += (bytes.len() / 2) as u32;
    }

    pub(super) fn extend(&mut self, samples: impl Iterator<Item = u16>) {
        for sample in samples {
            self.reserve(1);
            let at = self.head as usize + self.len();
            let room = self.room.len();
            self.room[if at < room { at } else { at - room }] = sample;
            self.len += 1;
        }
    }

    /// Puts `more` behind the first `at` samples.
    pub(super) fn insert(&mut self, at: usize, more: &[u16]) {
        let mut all = Vec::with_capacity(self.len() + more.len());
        let ((a, b), (c, d)) = (self.parts(0, at), self.parts(at, self.len()));
        [a, b, more, c, d].iter().for_each(|part| all.extend_from_slice(part));
        self.set(&all, roomy(all.len() * 2) / 2);
    }

    #[inline]
    pub(super) fn drop_front(&mut self, count: usize) {
        let head = self.head as usize + count;
        self.head = if head < self.room.len() { head } else { head - self.room.len() } as u32;
        self.len -= count as u32;
    }

    #[inline]
    pub(super) fn reserve(&mut self, more: usize) {
        if self.len() + more > self.room.len() {
            self.resize(roomy((self.len() + more) * 2) / 2);
        }
    }

    /// Gives room back where much more is held than used.
    #[inline]
    pub(super) fn settle(&mut self) {
        if self.room.len() > 32 && self.len() < self.room.len() / 8 * 5 {
            self.resize(roomy(self.len() * 2) / 2);
        }
    }

    fn resize(&mut self, room: usize) {
        let (a, b) = self.parts(0, self.len());
        let all = [a, b].concat();
        self.set(&all, room);
    }

    fn set(&mut self, all: &[u16], room: usize) {
        let mut fresh = vec![0; room];
        fresh[..all.len()].copy_from_slice(all);
        *self = SampleLog { room: fresh.into(), head: 0, len: all.len() as u32 };
    }

    /// Asks for both ends.
    #[inline]
    pub(super) fn prefetch(&self) {
        let end = self.head as usize + self.len();
        let end = if end < self.room.len() { end } else { end - self.room.len() };
        prefetch(self.room.as_ptr().wrapping_add(self.head as usize));
        prefetch(self.room.as_ptr().wrapping_add(end));
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.room.len() * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn it_is_a_deque(steps in prop::collection::vec((0u8..5, 0usize..60), 1..60)) {
            let (mut log, mut deque, mut next) = (SampleLog::default(), VecDeque::new(), 0u16);
            for (what, count) in steps {
                let more: Vec<u16> = (next..next + count as u16).collect();
                next += count as u16;
                match what {
                    0 => {
                        let mut bytes = Vec::new();
                        super::super::codec::put_samples(&mut bytes, &more);
                        log.extend_bytes(&bytes);
                        deque.extend(more);
                    }
                    1 => {
                        log.extend(more.iter().copied());
                        deque.extend(more);
                    }
                    2 => {
                        log.drop_front(count.min(deque.len()));
                        deque.drain(..count.min(deque.len()));
                    }
                    3 => {
                        let at = (count * 3).min(deque.len());
                        log.insert(at, &more);
                        let tail = deque.split_off(at);
                        deque.extend(more.into_iter().chain(tail));
                    }
                    _ => log.settle(),
                }
                prop_assert_eq!(log.len(), deque.len());
                let (start, end) = (deque.len() / 3, deque.len() - deque.len() / 4);
                let (a, b) = log.parts(start, end);
                prop_assert_eq!([a, b].concat(), deque.range(start..end).copied().collect::<Vec<_>>());
            }
        }
    }
}
