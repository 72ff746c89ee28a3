//! The address table, row by row, and the forms that hide an address.

use std::time::Duration;

use proptest::prelude::*;
use url::{Host, Url};

use super::*;

fn policy(cidrs: &[&str], hosts: &[&str]) -> CallbackPolicy {
    CallbackPolicy {
        allow_cidrs: cidrs.iter().map(|c| c.parse().expect("a range")).collect(),
        allow_hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
        concurrency: 1,
        timeout: Duration::from_secs(1),
        fast_retry: Duration::from_secs(1),
        fast_attempts: 3,
        slow_retries: Vec::new(),
    }
}

fn check(address: &str, policy: &CallbackPolicy) -> bool {
    permitted(address.parse().expect(address), "host.test", policy)
}

const REFUSED: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.254",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1:ffff::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:808:808::1",
    "2a00:1450::5efe:127.0.0.1",
    "2a00:1450::200:5efe:10.0.0.1",
    "3fff::1",
    "3fff:fff:ffff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff:ffff::1",
    "fe80::1",
    "fe80::5efe:192.168.0.1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

const PUBLIC: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
];

#[test]
fn only_public_addresses_by_default() {
    assert!(REFUSED.len() >= 60);
    let none = policy(&[], &[]);
    for address in REFUSED {
        assert!(!check(address, &none), "{address} must be refused");
    }
    for address in PUBLIC {
        assert!(check(address, &none), "{address} is public");
    }
}

#[test]
fn every_spelling_of_a_private_address_is_that_address() {
    for text in [
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.0.0.1./",
        "http://１２７.0.0.1/",
        "http://127。0。0。1/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:ffff:127.0.0.1]/",
        "http://%31%32%37.0.0.1/",
        "http://0/",
    ] {
        let url = Url::parse(text).expect(text);
        let address = match url.host() {
            Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
            other => panic!("{text} is {other:?}"),
        };
        assert!(!permitted(address, "", &policy(&[], &[])), "{text} is {address}");
    }
    assert!(Url::parse("http://[fe80::1%25eth0]/").is_err(), "a zone is no part of a URL");
}

#[test]
fn a_range_opens_exactly_itself() {
    let loopback = policy(&["127.0.0.0/8"], &[]);
    assert!(check("127.0.0.1", &loopback) && check("::ffff:127.9.9.9", &loopback));
    for address in REFUSED {
        let plain = address.parse::<IpAddr>().expect(address).to_canonical();
        let opened = matches!(plain, IpAddr::V4(v4) if v4.is_loopback());
        assert_eq!(check(address, &loopback), opened, "{address}");
    }
    // Both the translator's range and what it hides have to be open.
    let nat64 = policy(&["64:ff9b::/96"], &[]);
    assert!(check("64:ff9b::8.8.8.8", &nat64));
    assert!(!check("64:ff9b::10.0.0.1", &nat64));
    assert!(check("64:ff9b::10.0.0.1", &policy(&["64:ff9b::/96", "10.0.0.0/8"], &[])));
    assert!(check("::1", &policy(&["::1/128"], &[])));
}

#[test]
fn metadata_needs_an_entry_of_its_own() {
    for (address, entry) in
        [("169.254.169.254", "169.254.169.254/32"), ("fd00:ec2::254", "fd00:ec2::254/128")]
    {
        for ranges in [&["0.0.0.0/0", "::/0"][..], &["169.254.0.0/16"], &["169.254.169.254/31"]] {
            assert!(!check(address, &policy(ranges, &["host.test"])), "{address} by {ranges:?}");
        }
        assert!(check(address, &policy(&[entry], &[])));
    }
    assert!(!check("64:ff9b::169.254.169.254", &policy(&["::/0", "0.0.0.0/0"], &["host.test"])));
    assert!(!check("2002:a9fe:a9fe::1", &policy(&["::/0", "0.0.0.0/0"], &[])));
}

#[test]
fn a_named_host_may_be_anywhere() {
    let named = policy(&[], &["Hooks.Internal."]);
    let inside: IpAddr = "10.1.2.3".parse().expect("address");
    assert!(permitted(inside, "hooks.internal", &named));
    assert!(permitted(inside, "HOOKS.internal.", &named));
    assert!(!permitted(inside, "xhooks.internal", &named));
    assert!(!permitted(inside, "hooks.internal.evil.test", &named));
}

proptest! {
    #[test]
    fn hiding_an_address_never_opens_it(bits: u32) {
        let none = policy(&[], &[]);
        let v4 = Ipv4Addr::from_bits(bits);
        let [high, low] = [(bits >> 16) as u16, bits as u16];
        let plain = permitted(v4.into(), "", &none);
        prop_assert_eq!(permitted(v4.to_ipv6_mapped().into(), "", &none), plain);
        for hidden in [
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !high, !low),
            Ipv6Addr::new(0x2a00, 1, 2, 3, 0x200, 0x5efe, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        ] {
            prop_assert!(!permitted(hidden.into(), "", &none));
            let open = policy(&["::/0"], &[]);
            prop_assert!(!permitted(hidden.into(), "", &open) || plain || hidden == Ipv6Addr::LOCALHOST || bits == 0);
        }
    }

    #[test]
    fn what_std_calls_private_is_never_public(bits: u32) {
        let v4 = Ipv4Addr::from_bits(bits);
        let inside = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_broadcast()
            || v4.is_documentation() || v4.is_multicast() || v4.is_unspecified();
        prop_assert!(!(inside && permitted(v4.into(), "", &policy(&[], &[]))));
    }
}
