//! A client of recursive name servers: as much of one as finding backends
//! takes. It keeps nothing: an answer's time to live is the caller's to keep.
//!
//! - [`message`]: a query in bytes, and what a reply says (pure).
//! - [`transport`]: a query to a server and back, by UDP, by TCP if cut short.
//! - [`servers`]: whom to ask, from the configuration or /etc/resolv.conf.
//! - [`client`]: one kind of record of a name, whoever of the servers answers.

mod client;
mod message;
mod servers;
mod transport;

#[cfg(test)]
pub mod test_server;

pub use client::{Client, Lookup};
pub use message::{Records, Value};
pub use servers::Servers;
