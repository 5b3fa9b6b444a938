//! The life of a translated flow: both of its lines, in the right order.
//!
//! The reverse line is the claim on the tuple: it is written first, kept at
//! least as long, and freed last. Flows that only one end has confirmed live in
//! tables of their own (`new`), where the oldest gives way: a flood of SYNs
//! meets there nobody but itself.

use super::found::{Change, change, free_as_it_is, give_up, is_same, settle};
use super::lives::{advance, life, prolongs};
use super::table::{self, Claim, NatHash, Table, Taking};
use crate::abi::{Draft, NatBody, NatLine, NatMeta, NatSettings, NatState, Pool, Service};
use crate::hash::FlowWords;
use crate::transition::PacketKind;

pub use super::found::{Found, free};

/// Tuples tried for a new flow.
pub const TRIES: u32 = 16;
/// Tuples tried change every so many ticks, as a power of two.
const SALT_TICKS: u32 = 10;
/// Both lines are renewed when this fraction of their life is over.
const RENEWALS: u64 = 8;

/// The tables of one kind of line, and the time.
#[derive(Clone, Copy)]
pub struct Tables<'a, M, N> {
    /// Flows that both ends confirmed.
    pub main: &'a M,
    /// All others.
    pub new: &'a N,
    pub settings: &'a NatSettings,
    /// In ticks.
    pub now: u64,
}

/// One end of a flow, as a key and its hash.
#[derive(Clone, Copy)]
pub struct End<'a> {
    pub key: &'a FlowWords,
    pub hash: NatHash,
}

/// What a packet did to its flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Renewed {
    /// It lives.
    Lives,
    /// Another packet of the flow changed it at the same moment, so this one is to
    /// look at it again.
    Late,
    /// Its other line is lost: there is no flow.
    Gone,
}

/// Times that a packet looks at its flow. One that is late each time leaves all
/// the same; what it says of the flow's state is lost.
pub const LOOKS: u32 = 3;

/// What came of a new flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Opened {
    Done,
    /// Another CPU is just opening it.
    Busy,
    /// No tuple of the pool was free among those tried.
    Exhausted,
    /// No line was free.
    Full,
}

/// A flow to be opened.
pub struct NewFlow<'a> {
    pub key: &'a FlowWords,
    pub hash: NatHash,
    /// As the client's packets are to leave, and the way back to the client;
    /// `open` fills in the rest. The source address there is used where the pool
    /// has none of the family.
    pub draft: &'a mut Draft,
    pub state: NatState,
    pub expires: u64,
    pub source: Source<'a>,
}

/// Where a flow's packets leave from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub pool: &'a Pool,
    /// The client's own address, and its port if that is free.
    pub keep: bool,
    /// The backend's family.
    pub v6: bool,
}

impl Source<'_> {
    /// Address and port (host order) number `attempt`; `mixed` is uniform.
    #[inline(always)]
    fn candidate(
        &self,
        given: [u64; 2],
        client: &FlowWords,
        attempt: u32,
        mixed: u64,
    ) -> ([u64; 2], u16) {
        let spread = (mixed as u32 as u64 * self.pool.ports as u64) >> 32;
        let port = self.pool.first_port.wrapping_add(spread as u16);
        if self.keep {
            let own = (client.ports as u16).swap_bytes();
            return (client.source, if attempt == 0 { own } else { port });
        }
        (self.address(given, mixed), port)
    }

    #[inline(always)]
    fn address(&self, given: [u64; 2], mixed: u64) -> [u64; 2] {
        let count = if self.v6 { self.pool.v6_count } else { self.pool.v4_count };
        if count == 0 {
            return given;
        }
        let index =
            (((mixed >> 40) * count as u64) >> 24) as usize & (crate::abi::POOL_ADDRESSES - 1);
        if self.v6 { self.pool.v6[index] } else { [0, self.pool.v4[index]] }
    }
}

#[inline(always)]
fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let word = (word ^ word >> 29).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 32
}

impl<'a, B: NatBody + 'a, M: Table<Body = B>, N: Table<Body = B>> Tables<'a, M, N> {
    #[inline(always)]
    fn taking(&self, evict: bool) -> Taking {
        Taking::expired(self.now, self.settings.guard as u64, evict)
    }

    #[inline(always)]
    pub fn hash(&self, key: &FlowWords) -> NatHash {
        NatHash::of(key, self.settings.key)
    }

    /// The line of a flow that has not expired. A flow that moves is in the main
    /// table before it leaves the other: who found it in neither looks again.
    #[inline(always)]
    pub fn find(&self, key: &FlowWords, hash: NatHash) -> Option<Found<'a, B>> {
        if let Some(found) = self.in_main(key, hash) {
            return Some(found);
        }
        if let Some(found) = self.unexpired(key, self.new.line(self.new.find(key, hash)), true) {
            return Some(found);
        }
        self.in_main(key, hash)
    }

    #[inline(always)]
    fn in_main(&self, key: &FlowWords, hash: NatHash) -> Option<Found<'a, B>> {
        self.unexpired(key, self.main.line(self.main.find(key, hash)), false)
    }

    #[inline(always)]
    fn unexpired(
        &self,
        key: &FlowWords,
        line: Option<NatLine<'a, B>>,
        young: bool,
    ) -> Option<Found<'a, B>> {
        let line = line?;
        let meta = NatMeta(line.meta.load());
        // It may have become another flow's since its key was compared.
        if !meta.in_use() || meta.expires() < self.now || !line.body.is(key) {
            return None;
        }
        Some(Found { line, meta, young })
    }

    /// A packet of a flow: its next state, and a longer life for both lines
    /// when due. A flow of the new table is checked to be whole at every packet.
    /// The draft holds the way back to the client; its reverse key is scratch.
    #[inline(always)]
    pub fn renew(
        &self,
        found: &Found<'a, B>,
        end: &End<'_>,
        kind: PacketKind,
        service: &Service,
        draft: &mut Draft,
    ) -> Renewed {
        let old = found.meta.state();
        let state = advance(old, kind, found.is_reverse());
        let life = life(state, service, self.settings) as u64;
        let expires = self.now + life;
        let due =
            state != old || prolongs(state) && found.meta.expires() + life / RENEWALS <= expires;
        if !due && !found.young {
            return Renewed::Lives;
        }
        let expires = if prolongs(state) || state != old { expires } else { found.meta.expires() };
        self.renew_both(found, end, draft, NatMeta(0).with(state, expires))
    }

    #[inline(never)]
    fn renew_both(
        &self,
        found: &Found<'a, B>,
        end: &End<'_>,
        draft: &mut Draft,
        next: NatMeta,
    ) -> Renewed {
        let (state, expires) = (next.state(), next.expires());
        draft.reverse_key = found.line.body.to().reversed();
        let partner_key = &draft.reverse_key;
        let hash = self.hash(partner_key);
        let partner = match self.find(partner_key, hash) {
            Some(partner) if partner.line.body.answers(end.key) => partner,
            _ => {
                // A tuple that rests has lost its other line before.
                if !found.is_reverse() || found.meta.state().is_evictable() {
                    free(found.line, found.meta);
                }
                return Renewed::Gone;
            }
        };
        if found.young != partner.young {
            // It is just moving to the main table.
            return Renewed::Late;
        }
        let is_reverse = found.is_reverse();
        let (reverse, forward) = if is_reverse { (found, &partner) } else { (&partner, found) };
        if partner.meta.state() as u8 != found.meta.state() as u8 {
            // Another packet has changed one of them, and the other not yet.
            settle(reverse, forward);
            return Renewed::Late;
        }
        let next = |found: &Found<'a, B>| found.meta.with(state, expires);
        let changed = match change(reverse, next(reverse)) {
            Change::Done => change(forward, next(forward)),
            Change::Late => Change::Late,
            Change::Lost => {
                free_as_it_is(forward);
                return self.moved(found, end);
            }
        };
        if changed == Change::Lost {
            // It rests as before.
            reverse.line.meta.exchange(next(reverse).0, reverse.meta.0);
            return self.moved(found, end);
        }
        settle(reverse, forward);
        if changed == Change::Late {
            return Renewed::Late;
        }
        if state.is_evictable() {
            return Renewed::Lives;
        }
        // From here on the lines do not give way to others.
        if !is_reverse {
            partner.line.body.rest().set_hop(&draft.reverse.hop);
        }
        if found.young {
            let other = End { key: partner_key, hash };
            self.promote((found, end), (&partner, &other), (state, expires));
        }
        Renewed::Lives
    }

    /// What became of a flow that lost a line: it may live on in the main table.
    #[inline(always)]
    fn moved(&self, found: &Found<'a, B>, end: &End<'_>) -> Renewed {
        let moved = found.young && self.in_main(end.key, end.hash).is_some();
        if moved { Renewed::Lives } else { Renewed::Gone }
    }

    /// From the new table to the main one. Where that is full, the flow stays,
    /// and does not give way there either.
    #[inline(always)]
    fn promote(
        &self,
        (found, end): (&Found<'a, B>, &End<'_>),
        (partner, other): (&Found<'a, B>, &End<'_>),
        (state, expires): (NatState, u64),
    ) {
        let Some(first) = self.copy(found.line, end) else { return };
        let Some(second) = self.copy(partner.line, other) else {
            give_up(first);
            return;
        };
        if !is_same(found) || !is_same(partner) {
            // It has ended meanwhile, and what was copied may be another flow's.
            give_up(first);
            give_up(second);
            return;
        }
        table::publish(first, state, expires);
        table::publish(second, state, expires);
        free_as_it_is(found);
        free_as_it_is(partner);
    }

    /// A line of the main table that is claimed and written.
    #[inline(always)]
    fn copy(&self, line: NatLine<'a, B>, end: &End<'_>) -> Option<NatLine<'a, B>> {
        let claim = self.main.claim(end.key, end.hash, self.taking(false));
        let copy = self.main.line(claim.0)?;
        copy.body.copy(line.body);
        Some(copy)
    }

    /// Ends a flow: nobody finds it any more, and its tuple rests as `state`
    /// says. The draft's reverse key and ends are scratch.
    #[inline(never)]
    pub fn end(&self, found: &Found<'a, B>, state: NatState, draft: &mut Draft) {
        draft.reverse_key = found.line.body.to().reversed();
        draft.reverse.to = found.line.body.key();
        let partner_key = &draft.reverse_key;
        let partner = self.find(partner_key, self.hash(partner_key));
        // A late answer finds the line of the client's next flow there.
        let key = &draft.reverse.to;
        let partner = partner.filter(|partner| partner.line.body.answers(key));
        let rest = match state {
            NatState::UdpDone => self.settings.rest_udp,
            _ => self.settings.rest_client,
        };
        let expires = self.now + rest as u64;
        let (reverse, forward) = if found.is_reverse() {
            (Some(found), partner.as_ref())
        } else {
            (partner.as_ref(), Some(found))
        };
        if let Some(forward) = forward {
            free_as_it_is(forward);
        }
        if let Some(reverse) = reverse {
            let meta = NatMeta(reverse.line.meta.load());
            if meta.is_same_use(reverse.meta) {
                reverse.line.meta.exchange(meta.0, meta.with(state, expires).0);
            }
        }
    }

    /// Opens a flow: claims a tuple for its answers, then its own line.
    #[inline(always)]
    pub fn open(&self, flow: &mut NewFlow<'_>) -> Opened {
        flow.draft.reverse.to = flow.key.reversed();
        flow.draft.reverse.backend = flow.draft.forward.backend;
        flow.draft.reverse.service = flow.draft.forward.service;
        flow.draft.reverse.began = 0;
        // A client that uses its port again gets another tuple after a while.
        let salt = mix(flow.hash.word() ^ self.now >> SALT_TICKS);
        let mut attempt = 0;
        while attempt < TRIES {
            let mixed = mix(salt.wrapping_add(attempt as u64));
            let given = flow.draft.forward.to.source;
            let (address, port) = flow.source.candidate(given, flow.key, attempt, mixed);
            let to = &mut flow.draft.forward.to;
            to.source = address;
            to.ports = to.ports & !0xffff | port.swap_bytes() as u64;
            flow.draft.reverse_key = to.reversed();
            match self.claim(flow) {
                Claim::EXISTS => {}
                Claim::FULL => return Opened::Full,
                Claim(position) => return self.open_claimed(flow, position),
            }
            attempt += 1;
        }
        Opened::Exhausted
    }

    /// Claims the reverse key and writes its line. It must be in neither table; a
    /// flow moves from one to the other by being in both for a while, so claiming
    /// in one first and then looking at the other misses none.
    #[inline(never)]
    fn claim(&self, flow: &NewFlow<'_>) -> Claim {
        let key = &flow.draft.reverse_key;
        let hash = self.hash(key);
        let claim = self.new.claim(key, hash, self.taking(true));
        let Some(line) = self.new.line(claim.0) else { return claim };
        if self.is_claimed_in_main(key, hash)
            || self.new.is_taken_elsewhere(key, hash, self.taking(false))
        {
            give_up(line);
            return Claim::EXISTS;
        }
        line.body.write(key, &flow.draft.reverse, true);
        claim
    }

    #[inline(always)]
    fn is_claimed_in_main(&self, key: &FlowWords, hash: NatHash) -> bool {
        // Claimed counts: it is moving there, and may have left the other already.
        table::is_taken(self.main, key, hash, self.taking(false))
    }

    /// Shows both lines once both are claimed: a line that is shown may give way
    /// to another flow.
    #[inline(always)]
    fn open_claimed(&self, flow: &NewFlow<'_>, position: u32) -> Opened {
        let Some(reverse) = self.new.line(position) else { return Opened::Full };
        let claim = self.new.claim(flow.key, flow.hash, self.taking(true));
        let Some(forward) = self.new.line(claim.0) else {
            give_up(reverse);
            return if claim == Claim::FULL { Opened::Full } else { Opened::Busy };
        };
        // It may have moved to the main table since it was looked for.
        if self.is_claimed_in_main(flow.key, flow.hash) {
            give_up(forward);
            give_up(reverse);
            return Opened::Busy;
        }
        forward.body.write(flow.key, &flow.draft.forward, false);
        let shown = table::publish(reverse, flow.state, flow.expires);
        let meta = table::publish(forward, flow.state, flow.expires);
        if !NatMeta(reverse.meta.load()).is_same_use(shown) {
            free_as_it_is(&Found { line: forward, meta, young: true });
            return Opened::Busy;
        }
        Opened::Done
    }
}
