//! The second program's maps: translated flows.

use lb_common::abi::{
    Draft, FragmentKey, FragmentWay, Handoff, NarrowBody, NatBegin, NatBucket, NatSettings, Pool,
    WideBody,
};
use lb_common::datapath::Tables as _;
use lb_common::datapath::nat::NatTables;
use lb_common::hash::{FlowWords, is_v4};
use lb_common::nat::table::{self, Claim, NOWHERE, NatHash, Offer, Table, Taking};

use crate::maps;
use crate::tables::Maps;

/// The hand-over of this CPU.
#[inline(always)]
pub fn handoff<'a>() -> Option<&'a mut Handoff> {
    let handoff = maps::HANDOFF.get_ptr_mut(0)?;
    // SAFETY: a per-CPU element; XDP programs are not preempted by each other,
    // and it is taken once per program.
    Some(unsafe { &mut *handoff })
}

/// A bucket and a key's tag in one word.
#[inline(always)]
const fn pack(bucket: u32, tag: u16) -> u64 {
    bucket as u64 | (tag as u64) << 32
}

#[inline(always)]
const fn unpack(place: u64) -> (u32, u16) {
    (place as u32, (place >> 32) as u16)
}

/// A table of translated flows that is a map. Searching and claiming are global
/// functions: the kernel's verifier looks at such a function once, and not
/// again with every path that leads to a call.
macro_rules! table {
    ($name:ident, $map:ident, $body:ty, $buckets:ident,
     $find:ident, $look:ident, $competitor:ident, $claim:ident $(, $elsewhere:path)?) => {
        pub struct $name;

        impl Table for $name {
            type Body = $body;

            #[inline(always)]
            fn buckets(&self) -> u32 {
                maps::NAT_SETTINGS.get(0).map_or(0, |settings| settings.$buckets)
            }

            #[inline(always)]
            fn bucket(&self, index: u32) -> Option<&NatBucket<$body>> {
                let bucket = maps::$map.get_ptr(index)?;
                // SAFETY: a map element stays while the program runs, and all
                // its words are `Shared`.
                Some(unsafe { &*bucket })
            }

            #[inline(always)]
            fn find(&self, key: &FlowWords, hash: NatHash) -> u32 {
                $find(key, hash.word())
            }

            #[inline(always)]
            fn look(&self, bucket: u32, key: (&FlowWords, u16), taking: Taking) -> Offer {
                Offer($look(key.0, pack(bucket, key.1), taking.0))
            }

            #[inline(always)]
            fn has_competitor(&self, bucket: u32, key: (&FlowWords, u16), mine: u32) -> bool {
                $competitor(key.0, pack(bucket, key.1), mine) != 0
            }

            #[inline(always)]
            fn claim(&self, key: &FlowWords, hash: NatHash, taking: Taking) -> Claim {
                Claim($claim(key, hash.word(), taking.0))
            }

            $(
                #[inline(always)]
                fn is_taken_elsewhere(
                    &self,
                    key: &FlowWords,
                    hash: NatHash,
                    taking: Taking,
                ) -> bool {
                    $elsewhere(key, hash, taking)
                }
            )?
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $find(key: *const FlowWords, hash: u64) -> u32 {
            // SAFETY: null, or a key of the caller's.
            let Some(key) = (unsafe { key.as_ref() }) else { return NOWHERE };
            table::find(&$name, key, NatHash::from_word(hash))
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $look(key: *const FlowWords, place: u64, taking: u64) -> u64 {
            // SAFETY: null, or a key of the caller's.
            let Some(key) = (unsafe { key.as_ref() }) else { return u64::MAX };
            let (bucket, tag) = unpack(place);
            table::look(&$name, bucket, (key, tag), Taking(taking)).0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $competitor(key: *const FlowWords, place: u64, mine: u32) -> u32 {
            // SAFETY: null, or a key of the caller's.
            let Some(key) = (unsafe { key.as_ref() }) else { return 1 };
            let (bucket, tag) = unpack(place);
            table::has_competitor(&$name, bucket, (key, tag), mine) as u32
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $claim(key: *const FlowWords, hash: u64, taking: u64) -> u32 {
            // SAFETY: null, or a key of the caller's.
            let Some(key) = (unsafe { key.as_ref() }) else { return Claim::FULL.0 };
            table::claim(&$name, key, NatHash::from_word(hash), Taking(taking)).0
        }
    };
}

table!(
    Narrow,
    NARROW,
    NarrowBody,
    narrow,
    find_narrow,
    look_narrow,
    competitor_narrow,
    claim_narrow
);
table!(
    NarrowNew,
    NARROW_NEW,
    NarrowBody,
    narrow_new,
    find_narrow_new,
    look_narrow_new,
    competitor_narrow_new,
    claim_narrow_new,
    is_taken_in_wide
);
table!(Wide, WIDE, WideBody, wide, find_wide, look_wide, competitor_wide, claim_wide);
table!(
    WideNew,
    WIDE_NEW,
    WideBody,
    wide_new,
    find_wide_new,
    look_wide_new,
    competitor_wide_new,
    claim_wide_new,
    is_taken_in_narrow
);

/// The same for both tables of one kind, as seen from the other.
macro_rules! elsewhere {
    ($name:ident, $global:ident, $main:ident, $new:ident) => {
        #[inline(always)]
        fn $name(key: &FlowWords, hash: NatHash, taking: Taking) -> bool {
            $global(key, hash.word(), taking.0) != 0
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $global(key: *const FlowWords, hash: u64, taking: u64) -> u32 {
            // SAFETY: null, or a key of the caller's.
            let Some(key) = (unsafe { key.as_ref() }) else { return 1 };
            if !is_v4(key.source) || maps::NAT_SETTINGS.get(0).is_none_or(|s| s.mixed == 0) {
                return 0;
            }
            let (hash, taking) = (NatHash::from_word(hash), Taking(taking));
            let taken = table::is_taken(&$main, key, hash, taking)
                || table::is_taken(&$new, key, hash, taking);
            taken as u32
        }
    };
}

elsewhere!(is_taken_in_narrow, taken_narrow, Narrow, NarrowNew);
elsewhere!(is_taken_in_wide, taken_wide, Wide, WideNew);

impl NatTables for Maps {
    type Narrow = Narrow;
    type NarrowNew = NarrowNew;
    type Wide = Wide;
    type WideNew = WideNew;

    #[inline(always)]
    fn nat_settings(&self) -> Option<&NatSettings> {
        maps::NAT_SETTINGS.get(0)
    }

    #[inline(always)]
    fn pool(&self, index: u32) -> Option<&Pool> {
        maps::POOLS.get(index)
    }

    #[inline(always)]
    fn narrow(&self) -> &Narrow {
        &Narrow
    }

    #[inline(always)]
    fn narrow_new(&self) -> &NarrowNew {
        &NarrowNew
    }

    #[inline(always)]
    fn wide(&self) -> &Wide {
        &Wide
    }

    #[inline(always)]
    fn wide_new(&self) -> &WideNew {
        &WideNew
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<&FragmentWay> {
        // SAFETY: an element stays while the program runs; one that is being
        // taken for another packet is at worst a wrong way for one fragment.
        unsafe { maps::FRAGMENTS.get(key) }
    }

    #[inline(always)]
    fn note_fragment(&self, key: &FragmentKey, way: &FragmentWay) {
        // Without it the other fragments are dropped, and counted.
        let _ = maps::FRAGMENTS.insert(key, way, 0);
    }

    #[inline(never)]
    fn note_direct(&self, service: u16) {
        if let Some(entry) = maps::SERVICES.get_ptr_mut(service as u32) {
            let now = self.now();
            // SAFETY: a map element; the word is read and written as a whole, and
            // the last one's time is as good as another's.
            unsafe {
                let direct_at = &raw mut (*entry).direct_at;
                if direct_at.read_volatile() != now {
                    direct_at.write_volatile(now);
                }
            }
        }
    }

    #[inline(never)]
    fn count_refused(&self, id: u16) {
        if let Some(counters) = maps::BACKEND_STATS.get_ptr_mut(id as u32) {
            // SAFETY: as in `count_reply`.
            unsafe { (*counters).refused += 1 };
        }
    }

    #[inline(never)]
    fn log_begin(&self, handoff: &Handoff) {
        let Draft { forward, .. } = &handoff.draft;
        if let Some(mut record) = maps::NAT_EVENTS.reserve(0) {
            record.write(NatBegin {
                outside: handoff.flow,
                inside: forward.to,
                at: forward.began,
                service: forward.service,
                backend: forward.backend,
                reserved: 0,
            });
            record.submit(0);
            return;
        }
        // The daemon is gone, or does not keep up.
        if let Some(counters) = maps::BACKEND_STATS.get_ptr_mut(forward.backend as u32) {
            // SAFETY: as in `count_reply`.
            unsafe { (*counters).unlogged += 1 };
        }
    }

    #[inline(always)]
    fn count_reply(&self, id: u16, bytes: usize) {
        let Some(counters) = maps::BACKEND_STATS.get_ptr_mut(id as u32) else { return };
        // SAFETY: a per-CPU element; XDP programs are not preempted by each other.
        unsafe {
            (*counters).reply_packets += 1;
            (*counters).reply_bytes += bytes as u64;
        }
    }
}
