//! The state of the small world that is explored: one slot, one tuple that
//! successive flows of one client use, three backends, one packet in flight.
//!
//! Stamps are kept as ages that saturate, so that the world is finite.

use lb_common::abi::{FlowState, SlotWord};
use lb_common::transition::{Health, PacketKind};

pub const BACKENDS: u16 = 3;

/// Times of the small world. A client keeps its side of the contract: an open
/// flow is never silent longer than `IDLE`, a closing one never longer than
/// `CLOSING`, a handshake's ACK comes within `HANDSHAKE` of the last SYN, and
/// a copy of a SYN within `COPY` of the one before.
pub const IDLE: u8 = 3;
pub const CLOSING: u8 = 2;
pub const HANDSHAKE: u8 = 1;
pub const COPY: u8 = 1;
pub const HALF_OPEN: u8 = 2;
pub const ARMING: u8 = 2;
pub const SECOND: u8 = 1;

/// Ages stop here: older than anything the rules ask for.
pub const OLD: u8 = IDLE + SECOND + 1;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    pub owner: u16,
    pub epoch: u16,
    pub state: FlowState,
    pub age: u8,
}

/// Whether the daemon has decided to delete the entry but has not done it yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mark {
    None,
    /// And it has not changed since.
    Unchanged,
}

/// A scan that may end in rest; `lead`: how long after the word's last write
/// it began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scan {
    None,
    Begun { lead: u8 },
    Clean { lead: u8 },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Client {
    Quiet,
    /// Backends (as bits) that got a copy of the SYN; the age of the last.
    Opening {
        reached: u8,
        age: u8,
    },
    Open {
        owner: u16,
        silence: u8,
        closing: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flight {
    pub kind: PacketKind,
    /// Opens a flow, rather than repeating the SYN or request that did.
    pub opens: bool,
    /// The word that the packet has read.
    pub word: SlotWord,
    /// Where the packet must go, unless that backend dies.
    pub owner: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub word: SlotWord,
    pub old_word: Option<SlotWord>,
    /// The second of two stores (only a broken daemon has one).
    pub second_store: Option<SlotWord>,
    pub base: u8,
    pub written: u8,
    pub failed: u8,
    pub entry: Option<Entry>,
    pub mark: Mark,
    pub scan: Scan,
    pub health: [Health; BACKENDS as usize],
    pub client: Client,
    /// How long another copy of the SYN may come.
    pub copies: u8,
    pub flight: Option<Flight>,
}

impl State {
    pub fn at_rest() -> Self {
        Self {
            word: SlotWord::at_rest(0, 0),
            old_word: None,
            second_store: None,
            base: OLD,
            written: OLD,
            failed: OLD,
            entry: None,
            mark: Mark::None,
            scan: Scan::None,
            health: [Health::Up; BACKENDS as usize],
            client: Client::Quiet,
            copies: 0,
            flight: None,
        }
    }

    pub fn health_of(&self, backend: u16) -> Health {
        self.health.get(backend as usize).copied().unwrap_or_default()
    }

    pub fn is_dead(&self, backend: u16) -> bool {
        backend >= BACKENDS || self.health_of(backend) == Health::Dead
    }

    /// Time passes.
    pub fn age(&mut self) {
        for age in [&mut self.base, &mut self.written, &mut self.failed] {
            *age = OLD.min(*age + 1);
        }
        if let Some(entry) = &mut self.entry {
            entry.age = OLD.min(entry.age + 1);
        }
        self.mark = Mark::None;
        self.copies = self.copies.saturating_sub(1);
        self.client = match self.client {
            Client::Opening { age, .. } if age >= HANDSHAKE && self.copies == 0 => Client::Quiet,
            Client::Opening { reached, age } => Client::Opening { reached, age: age + 1 },
            Client::Open { silence, closing, .. }
                if silence >= if closing { CLOSING } else { IDLE } =>
            {
                Client::Quiet
            }
            Client::Open { owner, silence, closing } => {
                Client::Open { owner, silence: silence + 1, closing }
            }
            Client::Quiet => Client::Quiet,
        };
    }

    /// The backend forgets its flows.
    pub fn kill(&mut self, backend: u16) {
        self.health[backend as usize] = Health::Dead;
        match self.client {
            Client::Open { owner, .. } if owner == backend => self.forget_client(),
            Client::Opening { reached, age } => {
                let reached = reached & !(1 << backend);
                if reached == 0 {
                    self.forget_client();
                } else {
                    self.client = Client::Opening { reached, age };
                }
            }
            _ => {}
        }
    }

    pub fn forget_client(&mut self) {
        self.client = Client::Quiet;
        self.copies = 0;
    }
}
