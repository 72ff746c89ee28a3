//! Which addresses a callback may be sent to. *Pure.*
//!
//! Owns the table of ranges that are not the public internet, in every form that hides an IPv4 address inside an
//! IPv6 one. Never resolves a name: it judges the very address that is going to be connected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::service::settings::CallbackPolicy;

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(a: u16, b: u16, c: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), bits)
}

const NOT_PUBLIC_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),        // this network
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // carriers' own
    v4(127, 0, 0, 0, 8),      // loopback
    v4(169, 254, 0, 0, 16),   // link local
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocol assignments
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 88, 99, 0, 24),   // 6to4 relays
    v4(192, 168, 0, 0, 16),   // private
    v4(198, 18, 0, 0, 15),    // benchmarking
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, and broadcast
    v4(168, 63, 129, 16, 32), // a cloud's host agent behind a public number
];

/// The part of IPv6 that is handed out at all; loopback, link and site local, unique local, multicast, mapped,
/// compatible, NAT64 and segment routing addresses lie outside it.
const HANDED_OUT_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 0, 23),     // protocol assignments: Teredo, benchmarking, ORCHID
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x2002, 0, 0, 16),     // 6to4
    v6(0x3fff, 0, 0, 20),     // documentation
];

const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);
const NAT64_LOCAL: Ipv6Net = v6(0x64, 0xff9b, 1, 48);
const SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 0, 16);
const TEREDO: Ipv6Net = v6(0x2001, 0, 0, 32);
const COMPATIBLE: Ipv6Net = v6(0, 0, 0, 96);

/// Where clouds keep the credentials of their machines: opened by its own entry only, never by a range.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// True when a callback may be sent to this address, which `host` (as in the URL) stands for.
pub fn permitted(address: IpAddr, host: &str, policy: &CallbackPolicy) -> bool {
    let address = address.to_canonical();
    let inner = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded(v6).map(IpAddr::V4),
    };
    // A translator on the way would unpack the inner address, so both have to be allowed.
    one_permitted(address, host, policy) && inner.is_none_or(|inner| one_permitted(inner, host, policy))
}

fn one_permitted(address: IpAddr, host: &str, policy: &CallbackPolicy) -> bool {
    if METADATA.contains(&address) {
        return policy.allow_cidrs.iter().any(|range| *range == IpNet::from(address));
    }
    is_public(address)
        || host_allowed(host, policy)
        || policy.allow_cidrs.iter().any(|range| range.contains(&address))
}

fn host_allowed(host: &str, policy: &CallbackPolicy) -> bool {
    let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    policy.allow_hosts.iter().any(|allowed| plain(allowed) == plain(host))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NOT_PUBLIC_V4.iter().any(|range| range.contains(&v4)),
        IpAddr::V6(v6) => {
            HANDED_OUT_V6.contains(&v6)
                && !is_isatap(v6)
                && !NOT_PUBLIC_V6.iter().any(|range| range.contains(&v6))
        }
    }
}

// Whatever the prefix, the lower half says it: ::0:5efe:a.b.c.d or ::200:5efe:a.b.c.d.
fn is_isatap(address: Ipv6Addr) -> bool {
    let s = address.segments();
    s[5] == 0x5efe && s[4] & !0x0300 == 0
}

fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    if SIX_TO_FOUR.contains(&address) {
        Some(join(s[1], s[2]))
    } else if TEREDO.contains(&address) {
        Some(join(!s[6], !s[7]))
    } else if [NAT64, NAT64_LOCAL, COMPATIBLE].iter().any(|range| range.contains(&address))
        || is_isatap(address)
    {
        Some(join(s[6], s[7])).filter(|_| address != Ipv6Addr::LOCALHOST)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
