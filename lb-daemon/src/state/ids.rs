//! Numbers that are given out and taken back.

/// The free numbers below a limit, lowest first.
#[derive(Debug)]
pub struct IdPool {
    used: Vec<bool>,
    from: usize,
}

impl IdPool {
    pub fn new(limit: u32, used: impl IntoIterator<Item = u16>) -> Self {
        let mut pool = Self { used: vec![false; limit as usize], from: 0 };
        for id in used {
            if let Some(place) = pool.used.get_mut(usize::from(id)) {
                *place = true;
            }
        }
        pool
    }

    pub fn take(&mut self) -> Option<u16> {
        let offset = self.used[self.from..].iter().position(|used| !used)?;
        let id = self.from + offset;
        self.used[id] = true;
        self.from = id + 1;
        u16::try_from(id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_numbers_are_taken_until_there_are_none() {
        let mut pool = IdPool::new(5, [0, 2, 9]);
        assert_eq!(std::iter::from_fn(|| pool.take()).collect::<Vec<_>>(), [1, 3, 4]);
    }
}
