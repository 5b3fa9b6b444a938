//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! Sums are kept in host order and folded at the end. An incremental update
//! follows equation 3 of RFC 1624, `HC' = ~(~HC + ~m + m')`, which is right
//! also when the sum wraps.

/// Folds a sum of 16-bit words to 16 bits.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Sum of the two 16-bit words in four bytes of network order.
#[inline(always)]
pub const fn words(bytes: [u8; 4]) -> u32 {
    let value = u32::from_be_bytes(bytes);
    (value >> 16) + (value & 0xffff)
}

/// The checksum after one 16-bit word of its data changed from `old` to `new`.
#[inline(always)]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold((!checksum) as u32 + (!old) as u32 + new as u32)
}

/// A sum in native order, over whatever words come handy: ones' complement
/// sums do not depend on byte order (RFC 1071, section 2).
#[derive(Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    pub const ZERO: Self = Self(0);

    /// Adds four bytes as they stand in the packet.
    #[inline(always)]
    #[must_use]
    pub const fn bytes(self, bytes: [u8; 4]) -> Self {
        Self(self.0 + u32::from_ne_bytes(bytes) as u64)
    }

    /// Adds eight bytes as they stand in the packet.
    #[inline(always)]
    #[must_use]
    pub const fn long(self, bytes: [u8; 8]) -> Self {
        let word = u64::from_ne_bytes(bytes);
        Self(self.0 + (word >> 32) + (word & 0xffff_ffff))
    }

    /// Takes away four bytes that were in the sum: adds their complement.
    #[inline(always)]
    #[must_use]
    pub const fn without(self, bytes: [u8; 4]) -> Self {
        Self(self.0 + !u32::from_ne_bytes(bytes) as u64)
    }

    /// Takes away eight bytes that were in the sum.
    #[inline(always)]
    #[must_use]
    pub const fn without_long(self, bytes: [u8; 8]) -> Self {
        let word = !u64::from_ne_bytes(bytes);
        Self(self.0 + (word >> 32) + (word & 0xffff_ffff))
    }

    /// `checksum` after its data changed by this sum (RFC 1624).
    #[inline(always)]
    pub const fn update(self, checksum: [u8; 2]) -> [u8; 2] {
        Self(self.0 + !u16::from_ne_bytes(checksum) as u64).checksum()
    }

    /// The sum of both.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Adds a number of 16 bits.
    #[inline(always)]
    #[must_use]
    pub const fn number(self, number: u16) -> Self {
        Self(self.0 + number.to_be() as u64)
    }

    /// The checksum, as it goes into the packet.
    #[inline(always)]
    pub const fn checksum(self) -> [u8; 2] {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        (!fold((sum >> 16) as u32 + (sum & 0xffff) as u32)).to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Word by word, as RFC 1071 describes it.
    fn full(data: &[u16]) -> u16 {
        let mut sum = 0u64;
        for word in data {
            sum += u64::from(*word);
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    // 0x0000 and 0xffff are the same value in ones' complement; data that is
    // not all zero never has the checksum 0xffff.
    proptest! {
        #[test]
        fn update_equals_a_full_recompute(
            mut data in proptest::collection::vec(any::<u16>(), 2..40),
            index in any::<prop::sample::Index>(),
            new in any::<u16>(),
        ) {
            data[0] |= 1;
            let index = 1 + index.index(data.len() - 1);
            let before = full(&data);
            let old = data[index];
            data[index] = new;
            prop_assert_eq!(update(before, old, new), full(&data));
        }

        #[test]
        fn a_native_sum_equals_a_full_sum(data in proptest::collection::vec(any::<[u8; 8]>(), 0..40), number: u16) {
            let mut sum = Sum::ZERO.number(number);
            let mut words = vec![number];
            for (i, long) in data.iter().enumerate() {
                words.extend(long.chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]])));
                let [a, b, c, d, e, f, g, h] = *long;
                sum = if i % 2 == 0 { sum.long(*long) } else { sum.bytes([a, b, c, d]).bytes([e, f, g, h]) };
            }
            prop_assert_eq!(sum.checksum(), full(&words).to_be_bytes());
        }

        #[test]
        fn folding_words_equals_a_full_sum(address: [u8; 4]) {
            let [a, b, c, d] = address;
            let data = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            prop_assert_eq!(!fold(words(address)), full(&data));
        }
    }

    #[test]
    fn echo_request_to_reply_wraps() {
        // 0x0800 → 0x0000 where adding 0x0800 to the checksum overflows.
        assert_eq!(update(0xf7ff, 0x0800, 0), 0x0000);
        assert_eq!(update(0xf800, 0x0800, 0), 0x0001);
    }
}
