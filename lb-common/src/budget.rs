//! Token buckets that bound what the balancer sends on its own.

use crate::abi::BudgetState;

/// Takes one token if there is one. `rate` tokens come per second, as many are
/// kept at most; `now` is in ticks, of which there are `ticks_per_second`.
#[inline(always)]
pub fn take(state: &mut BudgetState, now: u64, rate: u32, ticks_per_second: u32) -> bool {
    let price = ticks_per_second as u64;
    let full = rate as u64 * price;
    let elapsed = now.wrapping_sub(state.filled_at);
    // A second or more fills the bucket; so does a clock that jumped back.
    let gained = if elapsed >= price { full } else { elapsed * rate as u64 };
    let level = state.level + gained;
    let level = if level > full { full } else { level };
    state.filled_at = now;
    if level < price {
        state.level = level;
        return false;
    }
    state.level = level - price;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(state: &mut BudgetState, now: u64, tries: u32) -> u32 {
        (0..tries).filter(|_| take(state, now, 10, 250)).count() as u32
    }

    #[test]
    fn a_burst_is_one_second_worth() {
        let mut state = BudgetState::default();
        assert_eq!(taken(&mut state, 1_000_000, 50), 10);
        assert_eq!(taken(&mut state, 1_000_000 + 125, 50), 5, "half a second later");
        assert_eq!(taken(&mut state, 1_000_000 + 125 + 100_000, 50), 10);
    }

    #[test]
    fn a_rate_of_zero_gives_none() {
        let mut state = BudgetState::default();
        assert!(!take(&mut state, 77, 0, 250));
    }

    #[test]
    fn slow_refill_is_not_lost_between_calls() {
        let mut state = BudgetState::default();
        taken(&mut state, 500, 50);
        // 25 ticks per token: ask at every tick for ten seconds.
        let got: u32 = (501..=3000).map(|now| taken(&mut state, now, 1)).sum();
        assert_eq!(got, 100);
    }
}
