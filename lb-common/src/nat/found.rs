//! A line that was found, and changes to it while others may change it, too.
//!
//! Every change is an exchange of the line's word that fails if the line is
//! another flow's by then.

use crate::abi::{NatBody, NatLine, NatMeta};

/// Attempts to free a line that others renew meanwhile.
const FREEING: u32 = 4;

/// A line that was found.
pub struct Found<'a, B> {
    pub line: NatLine<'a, B>,
    /// As it was found.
    pub meta: NatMeta,
    /// In the table of new flows.
    pub young: bool,
}

impl<B: NatBody> Found<'_, B> {
    /// Whether it is the line of the backend's packets.
    #[inline(always)]
    pub fn is_reverse(&self) -> bool {
        self.line.body.rest().is_reverse()
    }
}

/// Frees a line that was claimed and not published.
#[inline(always)]
pub fn give_up<B>(line: NatLine<'_, B>) {
    let claim = NatMeta(line.meta.load());
    line.meta.exchange(claim.0, claim.freed().0);
}

/// What came of changing a line.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Change {
    Done,
    /// Another packet of the flow changed it since it was found.
    Late,
    /// It is another flow's by now, or nobody's.
    Lost,
}

#[inline(always)]
pub fn change<B>(found: &Found<'_, B>, next: NatMeta) -> Change {
    if found.line.meta.exchange(found.meta.0, next.0) {
        return Change::Done;
    }
    if is_same(found) { Change::Late } else { Change::Lost }
}

/// Where packets of both ends change a flow at once, the reverse line decides:
/// answers are known for at least as long as requests. Whoever writes one of the
/// lines compares them after, so the last one has both as they stay.
#[inline(always)]
pub fn settle<B>(reverse: &Found<'_, B>, forward: &Found<'_, B>) {
    let meta = NatMeta(forward.line.meta.load());
    let decides = NatMeta(reverse.line.meta.load());
    let both = decides.is_same_use(reverse.meta) && meta.is_same_use(forward.meta);
    if both && (decides.state() as u8 != meta.state() as u8 || decides.expires() < meta.expires()) {
        forward.line.meta.exchange(meta.0, meta.with(decides.state(), decides.expires()).0);
    }
}

#[inline(always)]
pub fn is_same<B>(found: &Found<'_, B>) -> bool {
    NatMeta(found.line.meta.load()).is_same_use(found.meta)
}

/// Frees a line, renewed or not, unless it is another flow's by now.
#[inline(always)]
pub fn free_as_it_is<B>(found: &Found<'_, B>) {
    let mut attempt = 0;
    while attempt < FREEING {
        let meta = NatMeta(found.line.meta.load());
        if !meta.is_same_use(found.meta) || free(found.line, meta) {
            return;
        }
        attempt += 1;
    }
}

/// Frees a line if it is still as `meta` says.
#[inline(always)]
pub fn free<B>(line: NatLine<'_, B>, meta: NatMeta) -> bool {
    meta.in_use() && line.meta.exchange(meta.0, meta.freed().0)
}
