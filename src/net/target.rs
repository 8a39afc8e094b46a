//! The text of an address, taken apart; every mistake gets its own words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::services_file::{getservbyname, services_path};
use crate::Error;

/// The longest name that DNS can carry, in bytes, without a final dot.
const MAX_HOST: usize = 253;

/// What an address stands for.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// Known without asking anyone.
    Addresses(Vec<SocketAddr>),
    /// To be looked up.
    Name {
        /// A host name, or an IPv6 address with an interface's name behind `%`.
        host: String,
        port: u16,
    },
}

impl Target {
    /// `host:port` as one text. The error is the reason in words.
    pub(super) fn from_text(text: &str) -> Result<Target, String> {
        if let Ok(address) = text.parse() {
            return Ok(Target::Addresses(vec![address]));
        }
        check_characters(text)?;
        if text.is_empty() {
            return Err("it is empty; write host:port, as in 127.0.0.1:8080".to_owned());
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or("there is no ] behind the IPv6 address")?;
            if !is_v6(host) {
                return Err(format!("brackets are for IPv6 addresses, and {host:?} is none"));
            }
            let port = match port.strip_prefix(':') {
                Some(port) => port_from_text(port)?,
                None if port.is_empty() => return Err(no_port(text)),
                None => return Err(format!("{port:?} stands where a colon and the port belong")),
            };
            return Target::from_host(host, port);
        }
        match text.rsplit_once(':') {
            Some((host, _)) if is_v6(host) || is_v6(text) => {
                Err("an IPv6 address in front of a port goes in brackets; write [::1]:80".to_owned())
            }
            Some((host, _)) if host.contains(':') => {
                Err("there is more than one colon, and it is no IPv6 address in brackets such as [::1]:80".to_owned())
            }
            Some((host, port)) => Target::from_host(host, port_from_text(port)?),
            None if is_digits(text) => Err(format!("it is a port without a host; write 127.0.0.1:{text}")),
            None => Err(no_port(text)),
        }
    }

    /// A host given apart from its port. The error is the reason in words.
    pub(super) fn from_host(host: &str, port: u16) -> Result<Target, String> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Target::Addresses(vec![SocketAddr::new(address, port)]));
        }
        check_characters(host)?;
        if host.is_empty() {
            return Err(
                "an empty host is Python's way to say all interfaces; write 0.0.0.0 or [::] if you mean it".to_owned()
            );
        }
        if host == "*" {
            return Err("a host of * is no address; write 0.0.0.0 or [::] if you mean all interfaces".to_owned());
        }
        if host.starts_with('[') {
            return Err("a host given apart from its port goes without brackets".to_owned());
        }
        if host.strip_suffix('.').unwrap_or(host).len() > MAX_HOST {
            return Err(format!("a host name of {} bytes is too long: {MAX_HOST} is the most", host.len()));
        }
        if is_v6(host) {
            // An interface's number is part of the address; its name has to be looked up, in the system and not in DNS.
            return Ok(match format!("[{host}]:{port}").parse() {
                Ok(address) => Target::Addresses(vec![address]),
                Err(_) => Target::Name { host: host.to_owned(), port },
            });
        }
        if host.contains(':') {
            return Err("there is a colon in the host: neither an IPv6 address nor a host name".to_owned());
        }
        if looks_like_v4(host) {
            return Err(
                "it is no IPv4 address: each of its four numbers is at most 255, without leading zeros".to_owned()
            );
        }
        Ok(Target::Name { host: host.to_owned(), port })
    }
}

/// A port's digits as a port.
pub(super) fn port_number(digits: &str) -> Result<u16, String> {
    digits.parse().map_err(|_| format!("port {digits} is above 65535"))
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn port_from_text(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Err("there is no port behind the colon".to_owned());
    }
    if is_digits(text) {
        return port_number(text);
    }
    // "-1" and "+80" are mistakes, not services.
    if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) || !text.contains(char::is_alphabetic) {
        return Err(format!("port {text:?} is not a number"));
    }
    getservbyname(text, None).map_err(|error| match error {
        Error::Resolve { .. } => {
            format!("port {text:?} is not a number, nor a service that {} lists", services_path().display())
        }
        error => format!("port {text:?} is not a number, and as a service it could not be looked up: {error}"),
    })
}

fn check_characters(text: &str) -> Result<(), String> {
    match text.chars().find(|&c| c == '/' || c.is_whitespace() || c.is_control()) {
        None => Ok(()),
        Some('\0') => Err("there is a NUL in it".to_owned()),
        Some('/') => Err("there is a slash in it; leave out a URL's scheme and path, write host:port alone".to_owned()),
        Some(c) if c.is_whitespace() => Err("there is white space in it (a line end left on?)".to_owned()),
        Some(_) => Err("there is a control character in it".to_owned()),
    }
}

fn no_port(text: &str) -> String {
    format!("there is no port; write {text}:8080")
}

/// An IPv6 address, with or without an interface behind `%`.
fn is_v6(host: &str) -> bool {
    match host.split_once('%') {
        Some((address, zone)) => !zone.is_empty() && address.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv6Addr>().is_ok(),
    }
}

/// Four numbers with dots that are no address. Left to the system's resolver, 010.0.0.1 would become 8.0.0.1.
fn looks_like_v4(host: &str) -> bool {
    host.split('.').count() == 4 && host.split('.').all(is_digits) && host.parse::<Ipv4Addr>().is_err()
}
