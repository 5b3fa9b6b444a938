//! Packet tables: frames in, verdicts, frames and counters out, from the real
//! object in the kernel. One file per subject; all share one loaded object.

mod answers;
mod differential;
mod evidence;
mod forward;
mod icmp;
mod local_clients;
mod malformed;
mod nat;
mod nat_case;
mod nat_dnat;
mod nat_fragments;
mod nat_icmp;
mod nat_life;
mod nat_size;
mod own_host;
mod transition;
mod tunnel;
