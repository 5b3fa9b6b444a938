//! What tests with real hosts share: a lab with a service, servers that tell their name,
//! and clients that ask for it.

mod client;
mod crowd;
mod nat_site;
mod nat_table;
mod own_host;
mod ping;
mod server;
mod site;
mod traffic;
mod tunnel;

pub use client::{Conversation, Tally, ask_udp, call};
pub use crowd::Crowd;
pub use nat_site::{NatSite, OTHER, OTHER6};
pub use nat_table::living_flows;
pub use own_host::{OwnHost, SHOP, SHOP_DNS};
pub use ping::ping;
pub use server::NameServer;
pub use site::{DNS, HEALTH, Site, WEB, WEB6, web_config};
pub use traffic::{Traffic, calling};
pub use tunnel::TunnelEnd;
