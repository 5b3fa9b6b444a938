//! Keeps a peer that is refused, and asks again and again, from filling the log and
//! the audit trail: the first attempt is told at once, those of the next minute
//! as a number.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::protocol::Command;

/// After the first of a kind is told.
pub const SILENCE: Duration = Duration::from_secs(60);
/// Kinds at a time; what is beyond is one kind together.
const MOST: usize = 16;

/// Who asked for what; `None`: whoever, for whatever.
type Kind = Option<(u32, Command)>;

/// Attempts after the first, by their kind.
#[derive(Debug, Default)]
pub struct Denials(Mutex<HashMap<Kind, u64>>);

/// A kind whose first attempt is to be told.
#[derive(Debug)]
pub struct Ticket(Kind);

impl Denials {
    /// Notes an attempt. The first of its kind is to be told, and ended after
    /// [`SILENCE`].
    pub fn first(&self, uid: u32, command: Command) -> Option<Ticket> {
        let mut seen = self.seen();
        let own = Some((uid, command));
        let kind = if seen.len() < MOST || seen.contains_key(&own) { own } else { None };
        match seen.get_mut(&kind) {
            Some(repeated) => {
                *repeated += 1;
                None
            }
            None => {
                seen.insert(kind, 0);
                Some(Ticket(kind))
            }
        }
    }

    /// How many there were since.
    pub fn end(&self, ticket: Ticket) -> u64 {
        self.seen().remove(&ticket.0).unwrap_or(0)
    }

    /// No panic leaves a half-made count behind.
    fn seen(&self) -> MutexGuard<'_, HashMap<Kind, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_users_are_one_kind_together() {
        let denials = Denials::default();
        let told = (0..1000).filter_map(|uid| denials.first(uid, Command::Drain)).count();
        assert_eq!(told, MOST + 1);
        assert!(denials.first(3, Command::Drain).is_none());
        assert_eq!(denials.end(Ticket(Some((3, Command::Drain)))), 1);
        assert_eq!(denials.end(Ticket(None)), 1000 - MOST as u64 - 1);
    }
}
