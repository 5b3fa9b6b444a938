//! The data path's rules: which backend a packet goes to, and what is noted
//! about its flow. Runs in the kernel for every packet of a slot in transition.

use super::table::{FlowTable, Insert};
use super::timing::life;
use crate::abi::{
    ASK_OLD, FlowEntry, FlowOwner, FlowSeen, FlowState, NO_BACKEND, Service, SlotWord,
    service_flags,
};

/// What the rules ask of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PacketKind {
    /// SYN without ACK: may begin a flow.
    Syn,
    /// Any other TCP segment.
    Data,
    Fin,
    Rst,
    Udp,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steer {
    /// To this backend, which is not dead. May be [`NO_BACKEND`].
    To(u16),
    /// The owner of the flow is dead: answer with RST.
    Reset,
    /// The owner is dead and no answer is due: the sender tries again.
    Drop,
}

/// Decides where a packet goes. A caller that finds `!word.look_up()` may send
/// to `current` at once (see [`dead_at_rest`]).
#[inline(always)]
pub fn steer<T: FlowTable>(
    word: SlotWord,
    kind: PacketKind,
    service: &Service,
    now: u64,
    table: &mut T,
) -> Steer {
    let slot = Slot::resolve(word, table);
    let packet = Packet { slot, kind, service, now };
    if !word.look_up() || packet.is_stateless() {
        return packet.to_current(table);
    }
    match packet.find(table) {
        Found::Valid(entry) => packet.known(entry, table),
        Found::Void => packet.unknown(true, table),
        Found::Nothing => packet.unknown(false, table),
    }
}

/// The backend that owns a flow, dead or not, for packets that are not the
/// flow's own (ICMP errors, diagnostics): `kind` is `Data` or `Udp`. Looks up,
/// never writes.
#[inline(always)]
pub fn locate<T: FlowTable>(
    word: SlotWord,
    kind: PacketKind,
    service: &Service,
    now: u64,
    table: &mut T,
) -> u16 {
    let slot = Slot::resolve(word, table);
    let packet = Packet { slot, kind, service, now };
    if !word.look_up() || packet.is_stateless() {
        return slot.current;
    }
    match packet.find(table) {
        Found::Valid(entry) => entry.owner.backend(),
        _ => slot.settled,
    }
}

/// What becomes of a packet whose slot is at rest but whose backend is dead:
/// the moment between the backend's bit and the change of the table. Nobody
/// else is known yet, so even under `reselect` the packet is dropped; a new
/// try finds the new owner.
#[inline(always)]
pub fn dead_at_rest(kind: PacketKind, service: &Service) -> Steer {
    if service.flags & service_flags::RESET_ON_DEAD != 0 {
        answer_dead(kind, service)
    } else {
        Steer::Drop
    }
}

/// The owner of the packet's flow is dead. A SYN has no flow yet, RST is never
/// answered with RST, and UDP has no such answer.
#[inline(always)]
fn answer_dead(kind: PacketKind, service: &Service) -> Steer {
    let is_silent = service.flags & service_flags::SILENT_ON_DEAD != 0;
    match kind {
        PacketKind::Data | PacketKind::Fin if !is_silent => Steer::Reset,
        _ => Steer::Drop,
    }
}

/// Not an epoch.
const NO_EPOCH: u32 = u32::MAX;

/// A slot's word, with [`ASK_OLD`] replaced by what the previous table says.
#[derive(Clone, Copy)]
struct Slot {
    current: u16,
    settled: u16,
    store: bool,
    epoch: u16,
    asks_old: bool,
    /// Entries of this epoch, made under the previous table, count too;
    /// [`NO_EPOCH`] if there is none. Not an `Option`: the compiler may copy
    /// the unset payload of one, and the verifier refuses to.
    older_epoch: u32,
}

impl Slot {
    #[inline(always)]
    fn resolve<T: FlowTable>(word: SlotWord, table: &mut T) -> Self {
        let mut slot = Self {
            current: word.current(),
            settled: word.settled(),
            store: word.store(),
            epoch: word.epoch(),
            asks_old: word.settled() == ASK_OLD,
            older_epoch: NO_EPOCH,
        };
        if slot.asks_old {
            let old = table.old_word().unwrap_or(SlotWord::at_rest(NO_BACKEND, 0));
            slot.settled = old.settled();
            if slot.current == ASK_OLD {
                slot.current = old.current();
            }
            if old.look_up() {
                slot.older_epoch = old.epoch() as u32;
            }
        }
        slot
    }
}

enum Found {
    /// An entry that names the owner of the flow.
    Valid(FlowEntry),
    /// An entry that is there but says nothing: of another epoch, or expired.
    Void,
    Nothing,
}

enum Put {
    Done,
    /// Another CPU stored the same flow first.
    Beaten(FlowEntry),
    Full,
}

struct Packet<'a> {
    slot: Slot,
    kind: PacketKind,
    service: &'a Service,
    now: u64,
}

impl Packet<'_> {
    #[inline(always)]
    fn has(&self, flag: u32) -> bool {
        self.service.flags & flag != 0
    }

    /// A request that is its own flow: always to `current`.
    #[inline(always)]
    fn is_stateless(&self) -> bool {
        self.kind == PacketKind::Udp && !self.has(service_flags::UDP_KEEP)
    }

    #[inline(always)]
    fn to_current<T: FlowTable>(&self, table: &mut T) -> Steer {
        let current = self.slot.current;
        if current == NO_BACKEND || !table.is_dead(current) {
            Steer::To(current)
        } else {
            dead_at_rest(self.kind, self.service)
        }
    }

    #[inline(always)]
    fn to_owner<T: FlowTable>(&self, owner: u16, table: &mut T) -> Steer {
        if table.is_dead(owner) { answer_dead(self.kind, self.service) } else { Steer::To(owner) }
    }

    #[inline(always)]
    fn find<T: FlowTable>(&self, table: &mut T) -> Found {
        match table.find() {
            Some(entry) if self.is_valid(&entry) => Found::Valid(entry),
            Some(_) => Found::Void,
            None => Found::Nothing,
        }
    }

    /// Whether the entry names the owner of the packet's flow. TCP asks for
    /// the time only where a SYN may begin a new flow.
    #[inline(always)]
    fn is_valid(&self, entry: &FlowEntry) -> bool {
        let epoch = entry.owner.epoch();
        (epoch == self.slot.epoch || epoch as u32 == self.slot.older_epoch)
            && !(self.kind == PacketKind::Udp && self.is_expired(entry))
    }

    #[inline(always)]
    fn silence(&self, entry: &FlowEntry) -> u64 {
        self.now.saturating_sub(entry.seen.ticks())
    }

    #[inline(always)]
    fn is_expired(&self, entry: &FlowEntry) -> bool {
        let is_udp = self.kind == PacketKind::Udp;
        self.silence(entry) > life(self.service, is_udp, entry.seen.state())
    }

    /// The flow has a valid entry.
    #[inline(always)]
    fn known<T: FlowTable>(&self, entry: FlowEntry, table: &mut T) -> Steer {
        let owner = entry.owner.backend();
        if !table.is_dead(owner) && !self.begins_anew(&entry) {
            self.note_seen(&entry, table);
            return Steer::To(owner);
        }
        match self.kind {
            PacketKind::Syn | PacketKind::Udp => self.replace(table),
            _ => answer_dead(self.kind, self.service),
        }
    }

    /// Whether the packet is the SYN of a new flow with an old one's addresses.
    /// A copy of the SYN that opened a flow comes within the arming time.
    #[inline(always)]
    fn begins_anew(&self, entry: &FlowEntry) -> bool {
        let closing = matches!(entry.seen.state(), FlowState::Closing | FlowState::Reset);
        self.kind == PacketKind::Syn
            && (self.is_expired(entry)
                || closing && self.silence(entry) > self.service.arming as u64)
    }

    #[inline(always)]
    fn note_seen<T: FlowTable>(&self, entry: &FlowEntry, table: &mut T) {
        let seen = FlowSeen::new(self.now, self.state_after(entry.seen.state()));
        if entry.owner.epoch() == self.slot.epoch {
            table.refresh(seen);
        } else if !table.overwrite(self.entry(entry.owner.backend(), seen.state(), table.tag())) {
            table.note_failure();
        }
    }

    #[inline(always)]
    fn state_after(&self, state: FlowState) -> FlowState {
        match self.kind {
            PacketKind::Fin => FlowState::Closing,
            PacketKind::Rst if state != FlowState::Closing => FlowState::Reset,
            PacketKind::Syn if state != FlowState::Open => FlowState::HalfOpen,
            PacketKind::Data if state != FlowState::Closing => FlowState::Open,
            PacketKind::Udp => FlowState::Open,
            _ => state,
        }
    }

    /// A new flow takes the place of a valid entry.
    #[inline(always)]
    fn replace<T: FlowTable>(&self, table: &mut T) -> Steer {
        let verdict = self.to_current(table);
        if let Steer::To(current) = verdict {
            if !self.slot.store || current == NO_BACKEND {
                table.delete();
            } else if !table.overwrite(self.entry(current, self.first_state(), table.tag())) {
                table.note_failure();
            }
        }
        verdict
    }

    /// The flow has no valid entry. `present`: but a void one.
    #[inline(always)]
    fn unknown<T: FlowTable>(&self, present: bool, table: &mut T) -> Steer {
        if self.kind == PacketKind::Syn {
            self.begins(present, table)
        } else {
            self.settled(present, table)
        }
    }

    /// A SYN without an entry: a flow begins.
    #[inline(always)]
    fn begins<T: FlowTable>(&self, present: bool, table: &mut T) -> Steer {
        if !self.slot.store {
            return self.to_current(table);
        }
        let settled_is_up = !table.is_dead(self.slot.settled);
        // An earlier copy of this SYN may be one that could not be stored.
        let fresh = if settled_is_up && self.failed_lately(table) {
            Steer::To(self.slot.settled)
        } else {
            self.to_current(table)
        };
        let Steer::To(backend) = fresh else { return fresh };
        if backend == NO_BACKEND {
            return fresh;
        }
        match self.put(present, backend, table) {
            Put::Done => fresh,
            Put::Beaten(entry) => self.to_owner(entry.owner.backend(), table),
            // Flows without an entry are `settled`'s.
            Put::Full if settled_is_up => Steer::To(self.slot.settled),
            Put::Full if self.may_leave_unstored() => self.to_current(table),
            Put::Full => Steer::Drop,
        }
    }

    /// Whether `current` may get a flow that could not be stored because
    /// `settled` is dead: the daemon makes `current` `settled` before any
    /// other change. It cannot while the previous table is asked, and it takes
    /// its time under `reset`: then the sender has to try again.
    #[inline(always)]
    fn may_leave_unstored(&self) -> bool {
        !self.slot.asks_old && !self.has(service_flags::RESET_ON_DEAD)
    }

    /// A packet of a flow that nobody has stored: it is `settled`'s.
    #[inline(always)]
    fn settled<T: FlowTable>(&self, present: bool, table: &mut T) -> Steer {
        let settled = self.slot.settled;
        if table.is_dead(settled) {
            return self.settled_is_dead(present, table);
        }
        if self.slot.store
            && self.kind != PacketKind::Rst
            && let Put::Beaten(entry) = self.put(present, settled, table)
        {
            return self.to_owner(entry.owner.backend(), table);
        }
        Steer::To(settled)
    }

    /// A TCP flow of a dead backend is not worth an entry: it ends now. A UDP
    /// flow begins anew.
    #[inline(always)]
    fn settled_is_dead<T: FlowTable>(&self, present: bool, table: &mut T) -> Steer {
        if self.kind != PacketKind::Udp && self.has(service_flags::RESET_ON_DEAD) {
            return answer_dead(self.kind, self.service);
        }
        let verdict = self.to_current(table);
        if let Steer::To(current) = verdict
            && self.kind == PacketKind::Udp
            && self.slot.store
            && current != NO_BACKEND
        {
            return match self.put(present, current, table) {
                Put::Beaten(entry) => self.to_owner(entry.owner.backend(), table),
                Put::Full if !self.may_leave_unstored() => Steer::Drop,
                _ => verdict,
            };
        }
        verdict
    }

    #[inline(always)]
    fn failed_lately<T: FlowTable>(&self, table: &mut T) -> bool {
        match table.last_failure() {
            Some(at) => self.now.saturating_sub(at) < self.service.arming as u64,
            None => false,
        }
    }

    #[inline(always)]
    fn first_state(&self) -> FlowState {
        match self.kind {
            PacketKind::Syn => FlowState::HalfOpen,
            PacketKind::Fin => FlowState::Closing,
            _ => FlowState::Open,
        }
    }

    #[inline(always)]
    fn entry(&self, backend: u16, state: FlowState, tag: u32) -> FlowEntry {
        FlowEntry {
            owner: FlowOwner::new(backend, self.slot.epoch, tag),
            seen: FlowSeen::new(self.now, state),
        }
    }

    /// Stores the flow, and notes it when there is no room.
    #[inline(always)]
    fn put<T: FlowTable>(&self, present: bool, backend: u16, table: &mut T) -> Put {
        let entry = self.entry(backend, self.first_state(), table.tag());
        let inserted = if present { Insert::Exists } else { table.insert(entry) };
        let stored = match inserted {
            Insert::Done => true,
            Insert::Full => false,
            Insert::Exists => {
                if !present && let Found::Valid(winner) = self.find(table) {
                    return Put::Beaten(winner);
                }
                table.overwrite(entry)
            }
        };
        if stored {
            Put::Done
        } else {
            table.note_failure();
            Put::Full
        }
    }
}
