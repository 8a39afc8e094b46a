//! Module `net`: addresses as users write them, look-ups, services, and the machine's own name.
//!
//! Nothing here needs a network: only numeric addresses, `localhost`, and names that cannot exist.
// Clippy lets tests unwrap and panic, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::Path;
use std::time::{Duration, Instant};

use socketserver::net::{
    gethostbyname, getservbyname, getservbyport, has_dualstack_ipv6, resolve, Endpoint, Family, Service, SocketKind,
    ToEndpoint,
};
use socketserver::{Error, Phase};

const TIMEOUT: Duration = Duration::from_secs(20);

fn addresses(endpoint: impl ToEndpoint) -> Vec<SocketAddr> {
    let endpoint = endpoint.to_endpoint().unwrap();
    assert!(endpoint.is_numeric(), "{endpoint}");
    endpoint.resolve(TIMEOUT).unwrap()
}

fn reason(endpoint: impl ToEndpoint) -> String {
    match endpoint.to_endpoint() {
        Err(Error::InvalidAddress { reason, .. }) => reason,
        other => panic!("not an invalid address: {other:?}"),
    }
}

fn v4(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn v6(port: u16) -> SocketAddr {
    (Ipv6Addr::LOCALHOST, port).into()
}

fn services_file_is_there() -> bool {
    cfg!(windows) || Path::new("/etc/services").exists()
}

#[test]
fn every_type_that_std_takes_is_an_endpoint() {
    let plain_v4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80);
    let plain_v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0, 0);
    assert_eq!(addresses(v4(80)), [v4(80)]);
    assert_eq!(addresses(plain_v4), [v4(80)]);
    assert_eq!(addresses(plain_v6), [v6(80)]);
    assert_eq!(addresses((IpAddr::V4(Ipv4Addr::LOCALHOST), 80)), [v4(80)]);
    assert_eq!(addresses((Ipv4Addr::LOCALHOST, 80)), [v4(80)]);
    assert_eq!(addresses((Ipv6Addr::LOCALHOST, 80)), [v6(80)]);
    assert_eq!(addresses(("127.0.0.1", 80)), [v4(80)]);
    assert_eq!(addresses(("::1", 80)), [v6(80)]);
    assert_eq!(addresses(("::1".to_owned(), 80)), [v6(80)]);
    assert_eq!(addresses("127.0.0.1:80"), [v4(80)]);
    assert_eq!(addresses("[::1]:80".to_owned()), [v6(80)]);
    assert_eq!(addresses([v4(80), v6(80)]), [v4(80), v6(80)]);
    assert_eq!(addresses(&[v4(80), v6(80)][..]), [v4(80), v6(80)]);
    assert_eq!(addresses(vec![v4(80), v6(80)]), [v4(80), v6(80)]);
    let (borrowed_address, borrowed_text) = (&v4(80), &String::from("127.0.0.1:80"));
    assert_eq!(addresses(borrowed_address), [v4(80)]);
    assert_eq!(addresses(borrowed_text), [v4(80)]);
    assert_eq!(addresses("127.0.0.1:80".to_endpoint().unwrap()), [v4(80)]);
}

#[test]
fn ports_at_their_bounds() {
    assert_eq!(addresses("127.0.0.1:0"), [v4(0)]);
    assert_eq!(addresses("127.0.0.1:65535"), [v4(65535)]);
    assert_eq!(addresses("[::1]:0"), [v6(0)]);
}

#[test]
fn an_endpoint_keeps_its_text() {
    for text in ["127.0.0.1:80", "[::1]:80", "localhost:80", "nosuch.invalid:80"] {
        assert_eq!(text.to_endpoint().unwrap().to_string(), text);
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
    }
    assert_eq!(("localhost", 80).to_endpoint().unwrap().to_string(), "localhost:80");
    assert_eq!(("::1", 80).to_endpoint().unwrap().to_string(), "[::1]:80");
    assert_eq!([v4(80), v6(80)].to_endpoint().unwrap().to_string(), "127.0.0.1:80, [::1]:80");
}

#[test]
fn addresses_given_twice_are_kept_once() {
    assert_eq!(addresses([v6(80), v4(80), v6(80), v4(81)]), [v6(80), v4(80), v4(81)]);
}

#[test]
fn scoped_addresses() {
    let [SocketAddr::V6(scoped)] = addresses("[fe80::1%3]:80")[..] else { panic!() };
    assert_eq!((scoped.scope_id(), scoped.port()), (3, 80));
    assert_eq!(addresses(("fe80::1%3", 80)), addresses("[fe80::1%3]:80"));

    // An interface's name is the system's to look up, without DNS.
    let named = "[fe80::1%nosuchinterface]:80".to_endpoint().unwrap();
    assert!(!named.is_numeric());
    assert!(matches!(named.resolve(TIMEOUT), Err(Error::Resolve { .. })));
}

#[test]
fn bad_addresses_say_what_is_wrong() {
    let long = format!("{}:80", "a.".repeat(127) + "b");
    for (text, words) in [
        ("", "it is empty"),
        ("127.0.0.1", "there is no port; write 127.0.0.1:8080"),
        ("localhost", "there is no port; write localhost:8080"),
        ("[::1]", "there is no port; write [::1]:8080"),
        ("8080", "a port without a host; write 127.0.0.1:8080"),
        ("127.0.0.1:", "no port behind the colon"),
        ("[::1]:", "no port behind the colon"),
        ("127.0.0.1:65536", "port 65536 is above 65535"),
        ("[::1]:99999999999999999999", "above 65535"),
        ("127.0.0.1:-1", "port \"-1\" is not a number"),
        ("127.0.0.1:+80", "port \"+80\" is not a number"),
        ("127.0.0.1:8,0", "port \"8,0\" is not a number"),
        ("127.0.0.1:nosuchservice", "port \"nosuchservice\" is not a number"),
        (":80", "an empty host is Python's way to say all interfaces; write 0.0.0.0 or [::] if you mean it"),
        ("*:80", "write 0.0.0.0 or [::]"),
        ("::1:80", "write [::1]:80"),
        ("::1", "write [::1]:80"),
        ("::", "write [::1]:80"),
        ("fe80::1%eth0:80", "write [::1]:80"),
        ("localhost:80:90", "more than one colon"),
        ("[::1:80", "no ] behind"),
        ("[::1]80", "a colon and the port belong"),
        ("[127.0.0.1]:80", "brackets are for IPv6 addresses"),
        ("[]:80", "brackets are for IPv6 addresses"),
        ("[fe80::1%]:80", "brackets are for IPv6 addresses"),
        (" 127.0.0.1:80", "white space"),
        ("127.0.0.1:80\n", "white space"),
        ("local host:80", "white space"),
        ("local\0host:80", "NUL"),
        ("local\x1bhost:80", "control character"),
        ("http://localhost:80/", "slash"),
        ("/run/server.sock", "slash"),
        ("256.0.0.1:80", "at most 255"),
        ("010.0.0.1:80", "without leading zeros"),
        (long.as_str(), "a host name of 255 bytes is too long"),
    ] {
        let reason = reason(text);
        assert!(reason.contains(words), "{text:?} gave {reason:?}, which lacks {words:?}");
    }
}

#[test]
fn a_bad_host_beside_its_port_says_what_is_wrong() {
    for (host, words) in [
        ("", "empty host"),
        ("[::1]", "without brackets"),
        ("localhost:80", "colon in the host"),
        ("local host", "white space"),
        ("1.2.3.400", "at most 255"),
    ] {
        let reason = reason((host, 80));
        assert!(reason.contains(words), "{host:?} gave {reason:?}");
    }
}

#[test]
fn an_empty_list_is_no_address() {
    assert_eq!(reason(Vec::new()), "the list of addresses is empty");
    assert_eq!(reason([]), "the list of addresses is empty");
}

#[test]
fn an_invalid_address_is_quoted_in_its_error() {
    let error = "127.0.0.1:99999".to_endpoint().unwrap_err();
    assert_eq!(error.to_string(), "invalid address \"127.0.0.1:99999\": port 99999 is above 65535");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_longest_host_name_is_taken() {
    let longest = "a.".repeat(126) + "b";
    assert_eq!(longest.len(), 253);
    assert!((longest.as_str(), 80).to_endpoint().is_ok());
    assert!((longest + ".", 80).to_endpoint().is_ok());
}

#[test]
fn localhost_is_found_with_and_without_a_timeout() {
    let endpoint = "localhost:80".to_endpoint().unwrap();
    assert!(!endpoint.is_numeric());
    for timeout in [None, Some(TIMEOUT)] {
        let found = endpoint.resolve(timeout).unwrap();
        assert!(!found.is_empty());
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{found:?}");
    }
}

#[test]
fn a_name_that_cannot_exist_is_an_error_that_names_it() {
    // With a network that swallows queries the timeout comes first; the time must be bounded either way.
    let started = Instant::now();
    match "nosuch.invalid:80".to_endpoint().unwrap().resolve(TIMEOUT).unwrap_err() {
        Error::Resolve { name, .. } => assert_eq!(name, "nosuch.invalid:80"),
        Error::Timeout { phase: Phase::Resolve, address, .. } => assert_eq!(address, "nosuch.invalid:80"),
        other => panic!("{other}"),
    }
    assert!(started.elapsed() < TIMEOUT * 2);
}

#[test]
fn a_timeout_of_zero_is_refused_for_names_and_numbers() {
    for text in ["localhost:80", "127.0.0.1:80"] {
        let error = text.to_endpoint().unwrap().resolve(Duration::ZERO).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { setting: "timeout", .. }), "{error}");
    }
    assert!(matches!(gethostbyname("localhost", Duration::ZERO), Err(Error::InvalidSetting { .. })));
}

#[test]
fn resolve_takes_numbers_and_names_of_services() {
    let resolved = |service: Service<'_>| resolve("127.0.0.1", service, Family::Any, SocketKind::Stream, TIMEOUT);
    assert_eq!(resolved(80.into()).unwrap(), [v4(80)]);
    assert_eq!(resolved("80".into()).unwrap(), [v4(80)]);
    assert_eq!(resolved((&String::from("80")).into()).unwrap(), [v4(80)]);
    assert!(resolved("65536".into()).unwrap_err().to_string().contains("above 65535"));
    if services_file_is_there() {
        assert_eq!(resolved("http".into()).unwrap(), [v4(80)]);
        assert_eq!(addresses("127.0.0.1:http"), [v4(80)]);
        assert!(matches!(resolved("nosuchservice".into()), Err(Error::Resolve { .. })));
    }
}

#[test]
fn resolve_keeps_to_the_family() {
    let resolved = |host, family| resolve(host, 80, family, SocketKind::Stream, None);
    assert_eq!(resolved("127.0.0.1", Family::V4).unwrap(), [v4(80)]);
    assert_eq!(resolved("::1", Family::V6).unwrap(), [v6(80)]);
    assert_eq!(resolved("::1", Family::default()).unwrap(), [v6(80)]);
    let error = resolved("::1", Family::V4).unwrap_err();
    assert!(error.to_string().contains("no IPv4 address"), "{error}");
    assert!(matches!(resolved("", Family::Any), Err(Error::InvalidAddress { .. })));
}

#[test]
fn gethostbyname_gives_ipv4_alone() {
    assert_eq!(gethostbyname("127.0.0.1", None).unwrap(), Ipv4Addr::LOCALHOST);
    assert!(gethostbyname("localhost", TIMEOUT).unwrap().is_loopback());
    assert!(matches!(gethostbyname("::1", None), Err(Error::Resolve { .. })));
    assert!(matches!(gethostbyname("", None), Err(Error::InvalidAddress { .. })));
}

#[test]
fn services_by_name_and_by_port() {
    if !services_file_is_there() {
        assert!(getservbyname("http", None).unwrap_err().to_string().contains("services"));
        return;
    }
    assert_eq!(getservbyname("http", "tcp").unwrap(), 80);
    assert_eq!(getservbyname("http", None).unwrap(), 80);
    assert_eq!(getservbyport(80, "tcp").unwrap(), "http");
    assert_eq!(getservbyport(22, None).unwrap(), "ssh");
    let error = getservbyname("nosuchservice", "tcp").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("nosuchservice/tcp"), "{error}");
    assert!(matches!(getservbyport(0, "nosuchprotocol"), Err(Error::Resolve { .. })));
}

#[test]
#[cfg(any(target_os = "linux", feature = "dns-lookup"))]
fn the_machine_has_a_name() {
    let name = socketserver::net::gethostname().unwrap();
    assert!(!name.is_empty() && !name.contains(char::is_whitespace), "{name:?}");
}

#[test]
fn dual_stack_means_that_one_socket_serves_both() {
    if has_dualstack_ipv6() {
        let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
        socket.set_only_v6(false).unwrap();
        assert!(!socket.only_v6().unwrap());
    }
}

#[cfg(feature = "dns-lookup")]
mod reverse {
    use socketserver::net::{getfqdn, gethostbyaddr, gethostname, getnameinfo};

    use super::*;

    #[test]
    fn getnameinfo_gives_names_or_digits() {
        let (host, service) = getnameinfo(v4(80), SocketKind::Stream, TIMEOUT).unwrap();
        assert!(!host.is_empty());
        assert!(service == "http" || service == "80", "{service}");
        let unknown = getnameinfo(v4(1), SocketKind::Datagram, None).unwrap().1;
        assert!(unknown == "1" || unknown == "tcpmux", "{unknown}");
    }

    #[test]
    fn gethostbyaddr_gives_a_name_or_says_that_there_is_none() {
        match gethostbyaddr(Ipv4Addr::LOCALHOST, TIMEOUT) {
            Ok(name) => assert!(name.parse::<IpAddr>().is_err(), "{name}"),
            Err(error) => assert!(matches!(error, Error::Resolve { .. }), "{error}"),
        }
    }

    #[test]
    fn getfqdn_falls_back_to_the_name() {
        match getfqdn("nosuch.invalid", TIMEOUT) {
            Ok(name) => assert_eq!(name, "nosuch.invalid"),
            Err(error) => assert!(matches!(error, Error::Timeout { phase: Phase::Resolve, .. }), "{error}"),
        }
        assert!(matches!(getfqdn("localhost", Duration::ZERO), Err(Error::InvalidSetting { .. })));
    }

    #[test]
    fn getfqdn_of_nothing_is_this_machines() {
        if let Ok(name) = getfqdn(" ", TIMEOUT) {
            assert!(!name.is_empty());
            assert!(gethostname().is_ok());
        }
    }
}
