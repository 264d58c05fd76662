//! How often, how fast and how long to try again.
//!
//! Exponential backoff with full jitter: a receiver that comes back must not meet all its senders at once. The jitter
//! comes from a generator of our own with a given seed, so that the same inputs give the same retries on every
//! machine; nothing here needs to be unpredictable.

use serde::{Deserialize, Serialize};

use crate::model::Millis;

/// When to try again and when to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first failure waits up to this long, each further one up to twice as long as the one before.
    pub backoff_base: Millis,
    /// No wait is longer than this, unless the receiver asks for it.
    pub backoff_max: Millis,
    /// Failed attempts after which a notification is given up. Being throttled is no failure.
    pub attempts_max: u32,
    /// A notification whose next attempt would come later than this after its first is given up.
    pub give_up_after: Millis,
    /// What a receiver may ask for by Retry-After; more is cut to this, so that no header mutes a receiver for good.
    pub retry_after_max: Millis,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            backoff_base: Millis::from_secs(1),
            backoff_max: Millis::from_secs(60),
            attempts_max: 60,
            give_up_after: Millis::from_secs(30 * 60),
            retry_after_max: Millis::from_secs(60 * 60),
        }
    }
}

impl RetryPolicy {
    /// The longest wait after `failures` failures in a row (1 for the first).
    pub fn backoff_cap(&self, failures: u32) -> Millis {
        let doublings = failures.saturating_sub(1).min(32);
        let cap = self.backoff_base.0.saturating_mul(1i64 << doublings);
        Millis(cap.clamp(1, self.backoff_max.0.max(1)))
    }

    /// Full jitter: anywhere up to the cap, at least a millisecond.
    pub fn backoff(&self, failures: u32, jitter: &mut Jitter) -> Millis {
        Millis(1 + jitter.below(self.backoff_cap(failures).0))
    }

    /// How long to wait when the receiver asked for `after`: at least that, and spread out a little.
    pub fn asked(&self, after: Millis, jitter: &mut Jitter) -> Millis {
        self.honoured(after) + Millis(jitter.below(self.backoff_base.0.max(1)))
    }

    /// What of a receiver's Retry-After is honoured.
    pub fn honoured(&self, after: Millis) -> Millis {
        Millis(after.0.clamp(0, self.retry_after_max.0))
    }
}

/// SplitMix64: a few lines, a full period, and good enough to spread retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jitter {
    state: u64,
}

impl Jitter {
    pub const fn new(seed: u64) -> Jitter {
        Jitter { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// `0..bound`; `bound` must be positive. The high half of the product: without the bias of a remainder.
    pub fn below(&mut self, bound: i64) -> i64 {
        assert!(bound > 0, "nothing is below {bound}");
        ((u128::from(self.next()) * bound as u128) >> 64) as i64
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(policy: RetryPolicy, seed: u64, expect: Expect) {
        let mut jitter = Jitter::new(seed);
        let waits: Vec<String> = (1..=9)
            .map(|failures| format!("{} of {}", policy.backoff(failures, &mut jitter), policy.backoff_cap(failures)))
            .collect();
        expect.assert_eq(&waits.join(", "));
    }

    #[test]
    fn waits_double_up_to_a_cap_and_the_same_seed_gives_the_same_waits() {
        check(
            RetryPolicy::default(),
            7,
            expect![
                "390ms of 1s, 34ms of 2s, 3s604ms of 4s, 4s664ms of 8s, 7s240ms of 16s, 7s982ms of 32s, 28s78ms of 1m, 19s685ms of 1m, 8s56ms of 1m"
            ],
        );
        check(
            RetryPolicy::default(),
            8,
            expect![
                "619ms of 1s, 1s224ms of 2s, 2s757ms of 4s, 4s289ms of 8s, 1s22ms of 16s, 11s996ms of 32s, 57s249ms of 1m, 21s416ms of 1m, 4s807ms of 1m"
            ],
        );
        let tiny = RetryPolicy { backoff_base: Millis(0), backoff_max: Millis(0), ..RetryPolicy::default() };
        check(
            tiny,
            7,
            expect![
                "1ms of 1ms, 1ms of 1ms, 1ms of 1ms, 1ms of 1ms, 1ms of 1ms, 1ms of 1ms, 1ms of 1ms, 1ms of 1ms, 1ms of 1ms"
            ],
        );
    }

    #[test]
    fn the_generator_is_the_published_one() {
        // The first outputs of SplitMix64 for seed 1234567, as the reference implementation prints them.
        let mut jitter = Jitter::new(1_234_567);
        assert_eq!([jitter.next(), jitter.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn a_receiver_gets_the_time_it_asks_for_within_reason() {
        let (policy, mut jitter) = (RetryPolicy::default(), Jitter::new(1));
        let wait = policy.asked(Millis::from_secs(30), &mut jitter);
        assert!((30_000..31_000).contains(&wait.0), "{wait}");
        assert_eq!(policy.honoured(Millis::from_secs(86_400)), policy.retry_after_max);
        assert_eq!(policy.honoured(Millis(-5)), Millis::ZERO);
    }
}
