//! What becomes of a packet, in one integer.
//!
//! An enum would do, but the compiler copies its unset payloads about, and the
//! kernel's verifier refuses to read what was never written.

use super::Egress;
use crate::abi::Answer;
use crate::reason::DropReason;

/// Outcome (bits 0..8) | drop reason (8..16) | answer (16..24) | next program
/// (24..32) | egress
/// interface (32..64).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Verdict(u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Outcome {
    /// To the kernel, untouched.
    Pass = 0,
    /// To a backend, out of the interface it came in on.
    Transmit = 1,
    /// To a backend, out of another interface.
    Redirect = 2,
    Drop = 3,
    /// Dropped, and turned into an answer of our own, back where it came from.
    Answer = 4,
    /// An echo request turned into its own reply: counts as forwarded.
    Echo = 5,
    /// On to another program, which decides.
    Next = 6,
}

/// The programs that packets are handed to, with a stack of their own each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Next {
    /// Finds a translated flow.
    Nat = 0,
    /// Opens one.
    Open = 1,
    /// Takes a packet past translation.
    Direct = 2,
    /// Follows the fragments of translated packets.
    Fragment = 3,
    /// Takes answers to probes to the prober.
    Probe = 4,
}

impl Next {
    pub const COUNT: usize = 5;
}

impl Verdict {
    pub const PASS: Self = Self(Outcome::Pass as u64);
    pub const ECHO: Self = Self(Outcome::Echo as u64 | (Answer::EchoReply as u64) << 16);

    #[inline(always)]
    pub const fn forward(egress: Egress) -> Self {
        match egress {
            Egress::Same => Self(Outcome::Transmit as u64),
            Egress::Other(interface) => Self(Outcome::Redirect as u64 | (interface as u64) << 32),
        }
    }

    #[inline(always)]
    pub const fn next(program: Next) -> Self {
        Self(Outcome::Next as u64 | (program as u64) << 24)
    }

    #[inline(always)]
    pub const fn drop(reason: DropReason) -> Self {
        Self(Outcome::Drop as u64 | (reason as u64) << 8)
    }

    #[inline(always)]
    pub const fn answer(answer: Answer, reason: DropReason) -> Self {
        Self(Outcome::Answer as u64 | (reason as u64) << 8 | (answer as u64) << 16)
    }

    #[inline(always)]
    pub const fn outcome(self) -> Outcome {
        match self.0 as u8 {
            0 => Outcome::Pass,
            1 => Outcome::Transmit,
            2 => Outcome::Redirect,
            3 => Outcome::Drop,
            4 => Outcome::Answer,
            5 => Outcome::Echo,
            _ => Outcome::Next,
        }
    }

    /// Index of the [`DropReason`], where the outcome has one.
    #[inline(always)]
    pub const fn reason(self) -> usize {
        (self.0 >> 8) as u8 as usize
    }

    /// Index of the [`Answer`], where the outcome has one.
    #[inline(always)]
    pub const fn answer_kind(self) -> usize {
        (self.0 >> 16) as u8 as usize
    }

    /// Index of the [`Next`] program, where the outcome has one.
    #[inline(always)]
    pub const fn next_program(self) -> u32 {
        (self.0 >> 24) as u8 as u32
    }

    /// Interface to redirect to.
    #[inline(always)]
    pub const fn interface(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
