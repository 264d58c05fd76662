//! Sixteen and eight bytes at a time.
//!
//! On x86-64 a [`Block`] is an SSE2 register, which every such machine has, so there is nothing to detect at run time
//! (AVX2 was tried and changes nothing: the scan is bound by branches, not by width). Elsewhere the same three
//! questions are answered on two 64-bit words. Both are compared bit for bit in the tests below.
//!
//! Loads take the whole arena and are bounds-checked; [`ARENA_SLACK`](crate::model::batch::ARENA_SLACK) (`B4`) is why
//! the check never fails for a position inside a record.

/// Bytes of a [`Block`].
pub(super) const BLOCK: usize = 16;

pub(super) use imp::Block;

#[cfg(target_arch = "x86_64")]
mod imp {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };

    /// Sixteen bytes.
    #[derive(Clone, Copy)]
    pub struct Block(__m128i);

    impl Block {
        #[inline(always)]
        pub fn new(bytes: &[u8; 16]) -> Block {
            // SAFETY: the reference is to sixteen readable bytes; the load has no alignment requirement.
            Block(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
        }

        /// One bit a byte that equals the other block's.
        #[inline(always)]
        pub fn equal(self, other: Block) -> u32 {
            // SAFETY: SSE2 is part of x86-64.
            unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(self.0, other.0)) as u32 }
        }

        /// One bit a byte at which a run of plain string characters stops: `"`, `\`, or below 0x20.
        #[inline(always)]
        pub fn string_stops(self) -> u32 {
            // SAFETY: SSE2 is part of x86-64.
            unsafe {
                let quote = _mm_cmpeq_epi8(self.0, _mm_set1_epi8(b'"' as i8));
                let escape = _mm_cmpeq_epi8(self.0, _mm_set1_epi8(b'\\' as i8));
                let control = _mm_cmpeq_epi8(_mm_min_epu8(self.0, _mm_set1_epi8(0x1f)), self.0);
                _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, escape), control)) as u32
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod imp {
    pub use super::portable::Block;
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;

    /// Sixteen bytes.
    #[derive(Clone, Copy)]
    pub struct Block([u64; 2]);

    impl Block {
        #[inline(always)]
        pub fn new(bytes: &[u8; 16]) -> Block {
            let half = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("sixteen bytes"));
            Block([half(0), half(8)])
        }

        #[inline(always)]
        pub fn equal(self, other: Block) -> u32 {
            let half = |i: usize| gather(zeros(self.0[i] ^ other.0[i]));
            half(0) | half(1) << 8
        }

        #[inline(always)]
        pub fn string_stops(self) -> u32 {
            let half = |word: u64| {
                let quote = zeros(word ^ (ONES * b'"' as u64));
                let escape = zeros(word ^ (ONES * b'\\' as u64));
                let control = zeros(word & (ONES * 0xe0));
                gather(quote | escape | control)
            };
            half(self.0[0]) | half(self.0[1]) << 8
        }
    }

    /// The high bit of every byte that is zero, exactly (no carries between bytes).
    #[inline(always)]
    fn zeros(word: u64) -> u64 {
        let low = (word & !HIGHS) + !HIGHS;
        !(low | word | !HIGHS)
    }

    /// High bits of eight bytes as eight bits.
    #[inline(always)]
    fn gather(highs: u64) -> u32 {
        ((highs >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    }
}

#[inline(always)]
pub(super) fn load16(buf: &[u8], at: usize) -> Block {
    Block::new(&load(buf, at))
}

#[inline(always)]
pub(super) fn load8(buf: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(load(buf, at))
}

/// `N` bytes from `at`. One comparison with a bound that does not change within a scan; slicing makes two.
#[inline(always)]
fn load<const N: usize>(buf: &[u8], at: usize) -> [u8; N] {
    if at >= buf.len().saturating_sub(N) {
        beyond(at);
    }
    // SAFETY: at + N < buf.len(), and arrays of bytes have no alignment.
    unsafe { buf.as_ptr().add(at).cast::<[u8; N]>().read() }
}

#[cold]
#[inline(never)]
fn beyond(at: usize) -> ! {
    panic!("a scan reached byte {at}, past the slack of the arena (B4)");
}

/// How many of the eight bytes are digits before the first that is not.
#[inline(always)]
pub(super) fn leading_digits(word: u64) -> usize {
    let zeroed = word ^ 0x3030_3030_3030_3030;
    let stops = (zeroed.wrapping_add(0x7676_7676_7676_7676) | zeroed) & 0x8080_8080_8080_8080;
    // A carry can only come from a byte that is marked itself, so every bit up to the first mark is right.
    (stops.trailing_zeros() / 8) as usize
}

/// The number made of the first `digits` (1..=8) bytes, all of them digits.
#[inline(always)]
pub(super) fn eight_digits(word: u64, digits: usize) -> u64 {
    // Bytes before the first digit become zero by the shift, which is what the multiplications want.
    let word = (word & 0x0f0f_0f0f_0f0f_0f0f) << (64 - 8 * digits);
    let word = word.wrapping_mul(10).wrapping_add(word >> 8);
    let low = (word & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((word >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    low.wrapping_add(high) >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The machine's block, the portable block and a plain loop say the same.
        #[test]
        fn blocks_agree_with_a_plain_loop(a in any::<[u8; 16]>(), b in any::<[u8; 16]>(), same in any::<u16>()) {
            let mut b = b;
            (0..16).filter(|i| same >> i & 1 == 1).for_each(|i| b[i] = a[i]);
            let plain = |test: &dyn Fn(usize) -> bool| (0..16).filter(|i| test(*i)).fold(0, |bits, i| bits | 1 << i);

            let equal = plain(&|i| a[i] == b[i]);
            prop_assert_eq!(Block::new(&a).equal(Block::new(&b)), equal);
            prop_assert_eq!(portable::Block::new(&a).equal(portable::Block::new(&b)), equal);

            let stops = plain(&|i| a[i] == b'"' || a[i] == b'\\' || a[i] < 0x20);
            prop_assert_eq!(Block::new(&a).string_stops(), stops);
            prop_assert_eq!(portable::Block::new(&a).string_stops(), stops);
        }

        #[test]
        fn digits_count_and_add_up(number in 0u64..100_000_000, rest in any::<[u8; 8]>()) {
            let mut bytes = number.to_string().into_bytes();
            let digits = bytes.len();
            bytes.push(if rest[0].is_ascii_digit() { b',' } else { rest[0] });
            bytes.extend(rest);
            prop_assert_eq!(leading_digits(load8(&bytes, 0)), digits.min(8));
            prop_assert_eq!(eight_digits(load8(&bytes, 0), digits), number);
        }
    }

    #[test]
    fn every_byte_is_classified() {
        for byte in 0..=255u8 {
            let expect = if byte.is_ascii_digit() { 8 } else { 0 };
            assert_eq!(leading_digits(u64::from_le_bytes([byte; 8])), expect, "{byte}");
            let stops = if byte == b'"' || byte == b'\\' || byte < 0x20 { 0xffff } else { 0 };
            assert_eq!(Block::new(&[byte; 16]).string_stops(), stops, "{byte}");
            assert_eq!(portable::Block::new(&[byte; 16]).string_stops(), stops, "{byte}");
        }
    }
}
