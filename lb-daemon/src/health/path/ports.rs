//! Ports that probes leave from: no two probes have the same at a time, since
//! answers are told by them.
//!
//! A port rests before it is used again, while what is still under way of the
//! last probe may arrive; it rests less when there are no others.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use lb_common::abi::{PROBE_PORTS, probe::FIRST_PROBE_PORT};
use tokio::sync::{Semaphore, SemaphorePermit};

const REST: Duration = Duration::from_secs(2);

/// Where the data path keeps which probe a port had.
pub trait PortMemory: Send + Sync + 'static {
    /// Forgets it. The index counts from the first port.
    fn forget(&self, index: u32);
}

pub struct Ports {
    memory: Box<dyn PortMemory>,
    /// As many as are not in use.
    permits: Semaphore,
    idle: Mutex<Idle>,
}

/// Not in use, in the order in which they were given back.
#[derive(Default)]
struct Idle {
    fresh: VecDeque<u16>,
    resting: VecDeque<(u16, Instant)>,
}

/// A port in use.
pub struct Port<'a> {
    ports: &'a Ports,
    pub number: u16,
    _permit: SemaphorePermit<'a>,
}

impl Ports {
    pub fn new(memory: Box<dyn PortMemory>) -> Self {
        (0..PROBE_PORTS).for_each(|index| memory.forget(index));
        let idle = Idle { fresh: (FIRST_PROBE_PORT..=u16::MAX).collect(), ..Idle::default() };
        Self { memory, permits: Semaphore::new(PROBE_PORTS as usize), idle: Mutex::new(idle) }
    }

    /// Waits until one is free.
    pub async fn take(&self) -> Port<'_> {
        let permit = self.permits.acquire().await.expect("ports are never closed");
        let number = self.next(Instant::now());
        Port { ports: self, number, _permit: permit }
    }

    fn next(&self, now: Instant) -> u16 {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut idle, now);
        let resting = |idle: &mut Idle| idle.resting.pop_front().map(|(port, _)| port);
        let number = idle.fresh.pop_front().or_else(|| resting(&mut idle));
        number.expect("a permit stands for an idle port")
    }

    /// Forgets what those had that have rested.
    fn refresh(&self, idle: &mut Idle, now: Instant) {
        while let Some((port, since)) = idle.resting.front().copied() {
            if now.saturating_duration_since(since) < REST {
                break;
            }
            idle.resting.pop_front();
            self.memory.forget((port - FIRST_PROBE_PORT).into());
            idle.fresh.push_back(port);
        }
    }

    fn give_back(&self, port: u16, now: Instant) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.resting.push_back((port, now));
        self.refresh(&mut idle, now);
    }
}

impl Drop for Port<'_> {
    fn drop(&mut self) {
        // Before the permit, which is dropped after this.
        self.ports.give_back(self.number, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc};

    use super::*;

    #[derive(Clone, Default)]
    struct Forgotten(Arc<Mutex<Vec<u32>>>);

    impl PortMemory for Forgotten {
        fn forget(&self, index: u32) {
            self.0.lock().unwrap().push(index);
        }
    }

    #[tokio::test]
    async fn no_two_probes_have_the_same_port_and_the_next_waits_for_one() {
        let ports = Ports::new(Box::new(Forgotten::default()));
        let mut taken = Vec::new();
        for _ in 0..PROBE_PORTS {
            taken.push(ports.take().await);
        }
        let numbers: HashSet<u16> = taken.iter().map(|port| port.number).collect();
        assert_eq!(numbers.len(), PROBE_PORTS as usize);
        assert!(numbers.iter().all(|number| *number >= FIRST_PROBE_PORT));
        let last = taken.pop().unwrap();
        let number = last.number;
        let (next, ()) = tokio::join!(ports.take(), async { drop(last) });
        assert_eq!(next.number, number, "the only one that is idle, rested or not");
    }

    #[test]
    fn a_port_is_forgotten_once_it_has_rested() {
        let memory = Forgotten::default();
        let ports = Ports::new(Box::new(memory.clone()));
        assert_eq!(std::mem::take(&mut *memory.0.lock().unwrap()).len(), PROBE_PORTS as usize);
        let start = Instant::now();
        let first = ports.next(start);
        ports.give_back(first, start);
        let second = ports.next(start);
        assert_ne!(first, second, "others rest less");
        assert_eq!(*memory.0.lock().unwrap(), [0; 0]);
        ports.give_back(second, start + REST);
        assert_eq!(*memory.0.lock().unwrap(), [u32::from(first - FIRST_PROBE_PORT)]);
    }
}
