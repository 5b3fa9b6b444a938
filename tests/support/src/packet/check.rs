//! Checks a frame as a strict receiver would: lengths, and every checksum
//! recomputed in full.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{checksum, protocol, pseudo_header};

/// What is wrong with the frame, if anything is.
pub fn verify(frame: &[u8]) -> Result<(), String> {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => ipv4(&frame[14..]),
        Some([0x86, 0xdd]) => ipv6(&frame[14..]),
        Some(_) => Ok(()),
        None => Err("no Ethernet header".to_owned()),
    }
}

fn ipv4(ip: &[u8]) -> Result<(), String> {
    if ip.len() < 20 || ip[0] >> 4 != 4 {
        return Err("no IPv4 header".to_owned());
    }
    let header = usize::from(ip[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    if header < 20 || total < header || total > ip.len() {
        return Err(format!("IPv4 lengths {header} and {total} in {} bytes", ip.len()));
    }
    zero("IPv4 header", &[&ip[..header]])?;
    let source = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
    let destination = Ipv4Addr::new(ip[16], ip[17], ip[18], ip[19]);
    if u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0 {
        return Ok(());
    }
    upper(ip[9], source.into(), destination.into(), &ip[header..total])
}

fn ipv6(ip: &[u8]) -> Result<(), String> {
    if ip.len() < 40 || ip[0] >> 4 != 6 {
        return Err("no IPv6 header".to_owned());
    }
    let end = 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
    if end > ip.len() {
        return Err(format!("IPv6 length {end} in {} bytes", ip.len()));
    }
    let address = |at: usize| -> IpAddr {
        Ipv6Addr::from(<[u8; 16]>::try_from(&ip[at..at + 16]).expect("16 bytes")).into()
    };
    let (mut next, mut at) = (ip[6], 40);
    while matches!(next, 0 | 43 | 44 | 60) {
        let header = ip.get(at..at + 8).ok_or("IPv6 extension header cut short")?;
        if next == 44 && u16::from_be_bytes([header[2], header[3]]) & 0xfff9 != 0 {
            return Ok(());
        }
        at += if next == 44 { 8 } else { 8 + usize::from(header[1]) * 8 };
        next = header[0];
    }
    let payload = ip.get(at..end).ok_or("IPv6 extension headers beyond the end")?;
    upper(next, address(8), address(24), payload)
}

fn upper(kind: u8, source: IpAddr, destination: IpAddr, data: &[u8]) -> Result<(), String> {
    let pseudo = pseudo_header(source, destination, kind, data.len());
    match kind {
        protocol::IPV4 => ipv4(data),
        protocol::IPV6 => ipv6(data),
        protocol::TCP if data.len() >= 20 => zero("TCP", &[&pseudo, data]),
        protocol::UDP if data.len() >= 8 => {
            let without = source.is_ipv4() && data[6..8] == [0, 0];
            if without { Ok(()) } else { zero("UDP", &[&pseudo, data]) }
        }
        protocol::ICMP if data.len() >= 8 => zero("ICMP", &[data]),
        protocol::ICMPV6 if data.len() >= 8 => zero("ICMPv6", &[&pseudo, data]),
        protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6 => {
            Err(format!("protocol {kind} in {} bytes", data.len()))
        }
        _ => Ok(()),
    }
}

/// A sum over data with its right checksum in it is zero.
fn zero(what: &str, parts: &[&[u8]]) -> Result<(), String> {
    match checksum(parts) {
        [0, 0] => Ok(()),
        rest => Err(format!("{what} checksum is off by {rest:02x?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, tcp};
    use super::*;

    #[test]
    fn any_flipped_bit_of_a_segment_is_seen() {
        let [client, vip] = ["192.0.2.1", "203.0.113.10"].map(|a| a.parse().expect("an address"));
        let frame = Packet::new(client, vip, tcp(80, 0x10)).frame();
        assert_eq!(verify(&frame), Ok(()));
        for bit in 14 * 8..frame.len() * 8 {
            let mut broken = frame.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&broken).is_err(), "bit {bit}");
        }
    }
}
