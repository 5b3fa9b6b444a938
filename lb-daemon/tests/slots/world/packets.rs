//! Packets of clients, and of strangers.

use super::*;

impl World {
    pub(super) fn old_index(&self, tuple: u64) -> Option<u32> {
        let old = &self.service.old_table;
        let has_old = self.service.flags & service_flags::HAS_OLD_TABLE != 0;
        has_old.then(|| old.base + slot_in(old, tuple))
    }

    pub(super) fn index(&self, tuple: u64) -> u32 {
        self.service.table.base + slot_in(&self.service.table, tuple)
    }

    pub(super) fn steer(&mut self, tuple: u64, kind: PacketKind) -> Steer {
        let (index, old_index) = (self.index(tuple), self.old_index(tuple));
        let word = self.engine.memory().load(index);
        let mut packet = OnePacket {
            flows: &mut self.flows,
            capacity: self.capacity,
            memory: self.engine.memory_mut(),
            dead: &self.dead,
            tuple,
            index,
            old_index,
            word,
            kind,
            now: self.now,
            mutant: self.mutant,
        };
        steer(word, kind, &self.service, self.now, &mut packet)
    }

    pub(super) fn client_sends(&mut self) -> Result<(), String> {
        let tuple = self.random.below(TUPLES);
        let mut client = self.clients[tuple as usize];
        let first = if is_udp(tuple) { PacketKind::Udp } else { PacketKind::Syn };
        let (kind, opens) = match client {
            Client::Quiet => (first, true),
            Client::Opening { .. }
                if self.copies && client.may_copy(self.now) && self.random.chance(3) =>
            {
                (PacketKind::Syn, false)
            }
            Client::Opening { reached, .. } => {
                let of = |owner: &u16| reached & 1 << owner != 0;
                let answers: Vec<u16> = (0..BACKENDS).filter(of).collect();
                let owner = answers[self.random.below(answers.len() as u64) as usize];
                client = Client::Open { owner, last: self.now, closing: false };
                (PacketKind::Data, false)
            }
            Client::Open { .. } if is_udp(tuple) => (PacketKind::Udp, false),
            Client::Open { .. } => match self.random.below(16) {
                0 => (PacketKind::Rst, false),
                1 | 2 => (PacketKind::Fin, false),
                3 if self.random.chance(4) => (PacketKind::Syn, true),
                _ => (PacketKind::Data, false),
            },
        };
        let must_reach = if opens { None } else { client.owner() };
        let went = self.steer(tuple, kind);
        let reached = self.reached(went)?;
        if let Some(owner) = must_reach
            && kind != PacketKind::Rst
            && reached != Some(owner)
        {
            return Err(format!("{kind:?} of tuple {tuple}, owned by {owner}, went {went:?}"));
        }
        self.clients[tuple as usize] = client.after(kind, opens, reached, self.now);
        Ok(())
    }

    pub(super) fn reached(&self, went: Steer) -> Result<Option<u16>, String> {
        match went {
            Steer::To(backend) if backend < BACKENDS && self.dead[backend as usize] => {
                Err(format!("sent to {backend}, which is dead"))
            }
            Steer::To(backend) if backend < BACKENDS => Ok(Some(backend)),
            _ => Ok(None),
        }
    }

    /// A flood: packets of flows that do not exist.
    pub(super) fn stranger_sends(&mut self) {
        self.next_stranger += 1;
        let kinds = [PacketKind::Syn, PacketKind::Data, PacketKind::Udp];
        let kind = kinds[self.random.below(3) as usize];
        self.steer(self.next_stranger * 4 + (kind != PacketKind::Udp) as u64, kind);
    }
}
