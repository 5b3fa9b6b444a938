//! A table of lines: buckets of seven, two buckets for each key.
//!
//! Nobody locks. A key is inserted by claiming a free line of its buckets with
//! compare-and-swap, and then looking at them again: of two CPUs that
//! insert the same key at least one sees the other's claim, and whoever sees one
//! gives up. (Both may; a second try or a retransmission decides.)

use crate::abi::{NAT_WAYS, NatBody, NatBucket, NatLine, NatMeta, NatState};
use crate::hash::{FlowHash, FlowWords};

/// A table in memory.
pub trait Table {
    type Body: NatBody;
    fn buckets(&self) -> u32;
    fn bucket(&self, index: u32) -> Option<&NatBucket<Self::Body>>;

    /// A line by its position.
    #[inline(always)]
    fn line(&self, position: u32) -> Option<NatLine<'_, Self::Body>> {
        let (index, way) = place(position);
        let bucket = self.bucket(index)?;
        Some(NatLine { meta: &bucket.metas[way], body: &bucket.bodies[way] })
    }

    /// Position of the line of `key`, expired or not, or [`NOWHERE`].
    #[inline(always)]
    fn find(&self, key: &FlowWords, hash: NatHash) -> u32 {
        find(self, key, hash)
    }

    /// What a bucket offers for a key and its tag.
    #[inline(always)]
    fn look(&self, bucket: u32, key: (&FlowWords, u16), taking: Taking) -> Offer {
        look(self, bucket, key, taking)
    }

    /// Whether a line of the bucket other than `mine` has the key, or is
    /// claimed for it.
    #[inline(always)]
    fn has_competitor(&self, bucket: u32, key: (&FlowWords, u16), mine: u32) -> bool {
        has_competitor(self, bucket, key, mine)
    }

    /// See [`claim`].
    #[inline(always)]
    fn claim(&self, key: &FlowWords, hash: NatHash, taking: Taking) -> Claim {
        claim(self, key, hash, taking)
    }

    /// Whether a table of the other kind of lines has the key: a flow whose
    /// client speaks IPv6 may want the very tuple that an IPv4 client's flow to
    /// the same IPv4 backend has.
    #[inline(always)]
    fn is_taken_elsewhere(&self, _key: &FlowWords, _hash: NatHash, _taking: Taking) -> bool {
        false
    }
}

/// Not a position.
pub const NOWHERE: u32 = u32::MAX;
const WAY_BITS: u32 = NAT_WAYS.next_power_of_two().trailing_zeros();
const WAY_MASK: u32 = (1 << WAY_BITS) - 1;
/// A key goes to its second bucket only where its first holds more lines, so
/// that most are found in the first.
const CROWDED: u64 = 5;

/// A way as positions and offers have it: so that what [`place`] makes of any
/// three bits is a way, without a comparison that a verifier would have to follow.
#[inline(always)]
const fn code(way: usize) -> u32 {
    match way {
        0 => 0,
        some => some as u32 + 1,
    }
}

/// Bucket and way of a position.
#[inline(always)]
pub const fn place(position: u32) -> (u32, usize) {
    (position >> WAY_BITS, (((position & WAY_MASK) * NAT_WAYS as u32) >> WAY_BITS) as usize)
}

/// A key's hash: which buckets, and the tag of its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NatHash(u64);

impl NatHash {
    /// From its [`word`](Self::word).
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub fn of(key: &FlowWords, secret: [u64; 2]) -> Self {
        Self(FlowHash::of(key, secret).0)
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The buckets that a line of this key may be in.
    pub const fn buckets(self, count: u32) -> [u32; 2] {
        [self.first(count), self.second(count)]
    }

    #[inline(always)]
    const fn first(self, buckets: u32) -> u32 {
        scale(self.0 as u32, buckets)
    }

    #[inline(always)]
    const fn second(self, buckets: u32) -> u32 {
        scale((self.0 >> 16) as u32, buckets)
    }

    #[inline(always)]
    const fn tag(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

/// A number below `count`, from one that may be anything.
#[inline(always)]
const fn scale(number: u32, count: u32) -> u32 {
    ((number as u64 * count as u64) >> 32) as u32
}

/// Position of the line of `key`, expired or not, or [`NOWHERE`].
#[inline(always)]
pub fn find<T: Table + ?Sized>(table: &T, key: &FlowWords, hash: NatHash) -> u32 {
    let buckets = table.buckets();
    let first = hash.first(buckets);
    if let Some(bucket) = table.bucket(first) {
        let way = way_of(bucket, key, hash.tag());
        if way != NOWHERE {
            return first << WAY_BITS | way;
        }
    }
    let second = hash.second(buckets);
    match table.bucket(second).map(|bucket| way_of(bucket, key, hash.tag())) {
        None | Some(NOWHERE) => NOWHERE,
        Some(way) => second << WAY_BITS | way,
    }
}

/// The code of the way of the key's line, or [`NOWHERE`]. Written out: verifiers before
/// Linux 6.2 lose count in a loop over so large elements.
#[inline(always)]
fn way_of<B: NatBody>(bucket: &NatBucket<B>, key: &FlowWords, tag: u16) -> u32 {
    if holds(bucket, 0, key, tag) {
        code(0)
    } else if holds(bucket, 1, key, tag) {
        code(1)
    } else if holds(bucket, 2, key, tag) {
        code(2)
    } else if holds(bucket, 3, key, tag) {
        code(3)
    } else if holds(bucket, 4, key, tag) {
        code(4)
    } else if holds(bucket, 5, key, tag) {
        code(5)
    } else if holds(bucket, 6, key, tag) {
        code(6)
    } else {
        NOWHERE
    }
}

#[inline(always)]
fn holds<B: NatBody>(bucket: &NatBucket<B>, way: usize, key: &FlowWords, tag: u16) -> bool {
    let meta = NatMeta(bucket.metas[way].load());
    meta.tag() == tag && meta.in_use() && bucket.bodies[way].is(key)
}

/// Which lines an insert may take, in one word: those that expired before a
/// certain tick (bits 0..63), and where there is none, the oldest half-open flow's
/// (bit 63).
#[derive(Clone, Copy)]
pub struct Taking(pub u64);

impl Taking {
    const EVICT: u64 = 1 << 63;

    /// Lines that expired `guard` ticks before `now`.
    #[inline(always)]
    pub const fn expired(now: u64, guard: u64, evict: bool) -> Self {
        let before = now.saturating_sub(guard);
        Self(if evict { before | Self::EVICT } else { before })
    }

    #[inline(always)]
    const fn before(self) -> u64 {
        self.0 & !Self::EVICT
    }

    #[inline(always)]
    const fn evicts(self) -> bool {
        self.0 & Self::EVICT != 0
    }
}

/// What came of claiming a line: its position, or why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim(pub u32);

impl Claim {
    /// The key is there, or is just being inserted.
    pub const EXISTS: Self = Self(u32::MAX - 1);
    pub const FULL: Self = Self(u32::MAX);
}

/// What a look at a bucket found for a key, the best place first: the way's code (bits
/// 0..3), and why (bits 61..64).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Offer(pub u64);

impl Offer {
    /// The key is there, or a claim that may be for it.
    const TAKEN: Self = Self(0);
    /// An old line of the same key, which must not stay beside the new one.
    const SAME: u64 = 1 << 61;
    /// Free or expired; the more of them in a bucket, the better.
    const USABLE: u64 = 2 << 61;
    /// Half-open; the sooner it would expire, the better.
    const OLDEST: u64 = 3 << 61;
    const NOTHING: Self = Self(u64::MAX);

    #[inline(always)]
    const fn way(self) -> u32 {
        self.0 as u32 & WAY_MASK
    }

    /// Which of the kinds above.
    #[inline(always)]
    const fn kind(self) -> u64 {
        self.0 & 7 << 61
    }
}

/// What one line offers, without its way.
#[inline(always)]
fn offer_of<B: NatBody>(body: &B, meta: NatMeta, key: (&FlowWords, u16), taking: Taking) -> u64 {
    let usable = meta.is_free() || meta.in_use() && meta.expires() < taking.before();
    let same = meta.tag() == key.1 && (meta.is_busy() || meta.in_use() && body.is(key.0));
    if same {
        return if usable { Offer::SAME } else { Offer::TAKEN.0 };
    }
    if usable {
        return Offer::USABLE;
    }
    if taking.evicts() && meta.state().is_evictable() {
        return Offer::OLDEST | meta.expires() << 8;
    }
    Offer::NOTHING.0
}

/// See [`Table::look`].
#[inline(always)]
pub fn look<T: Table + ?Sized>(
    table: &T,
    bucket: u32,
    key: (&FlowWords, u16),
    taking: Taking,
) -> Offer {
    let Some(bucket) = table.bucket(bucket) else { return Offer::NOTHING };
    let mut found = Look { best: Offer::NOTHING, occupied: NAT_WAYS as u64 };
    found.at(bucket, 0, key, taking);
    found.at(bucket, 1, key, taking);
    found.at(bucket, 2, key, taking);
    found.at(bucket, 3, key, taking);
    found.at(bucket, 4, key, taking);
    found.at(bucket, 5, key, taking);
    found.at(bucket, 6, key, taking);
    let Look { best, occupied } = found;
    if best.kind() == Offer::USABLE {
        return Offer(best.0 | occupied.saturating_sub(CROWDED) << 8);
    }
    best
}

/// What was seen of a bucket so far.
struct Look {
    best: Offer,
    occupied: u64,
}

impl Look {
    #[inline(always)]
    fn at<B: NatBody>(
        &mut self,
        bucket: &NatBucket<B>,
        way: usize,
        key: (&FlowWords, u16),
        taking: Taking,
    ) {
        let meta = NatMeta(bucket.metas[way].load());
        let offer = offer_of(&bucket.bodies[way], meta, key, taking);
        if offer == Offer::USABLE {
            self.occupied -= 1;
        }
        if offer == Offer::TAKEN.0 {
            self.best = Offer::TAKEN;
        }
        let offer = offer | code(way) as u64;
        if offer < self.best.0 {
            self.best = Offer(offer);
        }
    }
}

/// Claims a line for a key that has none. Whoever claims it writes it and then
/// calls [`publish`].
#[inline(always)]
pub fn claim<T: Table + ?Sized>(
    table: &T,
    key: &FlowWords,
    hash: NatHash,
    taking: Taking,
) -> Claim {
    let buckets = table.buckets();
    let (first, second) = (hash.first(buckets), hash.second(buckets));
    let key = (key, hash.tag());
    let in_first = table.look(first, key, taking);
    let in_second = table.look(second, key, taking);
    let (bucket, offer) =
        if in_first <= in_second { (first, in_first) } else { (second, in_second) };
    if offer == Offer::TAKEN {
        return Claim::EXISTS;
    }
    if offer == Offer::NOTHING {
        return Claim::FULL;
    }
    let position = bucket << WAY_BITS | offer.way();
    let Some(line) = table.line(position) else { return Claim::FULL };
    let meta = NatMeta(line.meta.load());
    let claim = meta.claimed(key.1);
    let unchanged = Offer(offer_of(line.body, meta, key, taking)).kind() == offer.kind();
    if !unchanged || !line.meta.exchange(meta.0, claim.0) {
        // Somebody else was faster; which key they wanted it for is not known.
        return Claim::EXISTS;
    }
    if table.has_competitor(first, key, position) || table.has_competitor(second, key, position) {
        line.meta.exchange(claim.0, claim.freed().0);
        return Claim::EXISTS;
    }
    Claim(position)
}

/// Whether a line has the key or may be claimed for it. A claim in another table
/// that comes before this look and one that follows it do not both succeed.
#[inline(always)]
pub fn is_taken<T: Table + ?Sized>(
    table: &T,
    key: &FlowWords,
    hash: NatHash,
    taking: Taking,
) -> bool {
    let buckets = table.buckets();
    let key = (key, hash.tag());
    table.look(hash.first(buckets), key, taking) == Offer::TAKEN
        || table.look(hash.second(buckets), key, taking) == Offer::TAKEN
}

/// Lets others find a line that was claimed, now that it is written.
#[inline(always)]
pub fn publish<B>(line: NatLine<'_, B>, state: NatState, expires: u64) -> NatMeta {
    let claim = NatMeta(line.meta.load());
    let meta = claim.with(state, expires);
    line.meta.exchange(claim.0, meta.0);
    meta
}

/// See [`Table::has_competitor`].
#[inline(always)]
pub fn has_competitor<T: Table + ?Sized>(
    table: &T,
    bucket_index: u32,
    key: (&FlowWords, u16),
    mine: u32,
) -> bool {
    let Some(bucket) = table.bucket(bucket_index) else { return false };
    let first = bucket_index << WAY_BITS;
    let at = |way: usize| {
        let meta = NatMeta(bucket.metas[way].load());
        meta.tag() == key.1
            && (meta.is_busy() || meta.in_use() && bucket.bodies[way].is(key.0))
            && first + code(way) != mine
    };
    at(0) || at(1) || at(2) || at(3) || at(4) || at(5) || at(6)
}
