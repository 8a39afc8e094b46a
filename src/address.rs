//! [`Address`].

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// One end of a connection, whatever its family: what Python calls `client_address`.
///
/// It displays as a user would write it (`127.0.0.1:4000`, `[::1]:4000`, `/run/app.sock`, `@name` for Linux's abstract names), with
/// control characters escaped, so it is safe to log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IPv4 or IPv6 address and a port.
    Inet(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
    /// A name in Linux's abstract namespace, without the leading NUL (see unix(7)).
    Abstract(Vec<u8>),
    /// A Unix socket with no name: every client that did not bind. Python shows it as `''`.
    Unnamed,
    /// What a listener of your own calls its ends.
    Other(String),
}

impl Address {
    /// The IP address and port, if it has one.
    pub fn as_socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Address::Inet(address) => Some(*address),
            _ => None,
        }
    }

    /// The Unix socket's path, if it has one.
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Address::Unix(path) => Some(path),
            _ => None,
        }
    }

    /// What the system reported, for a family of this crate or another.
    pub(crate) fn from_system(address: &socket2::SockAddr) -> Address {
        if let Some(inet) = address.as_socket() {
            return Address::Inet(inet);
        }
        #[cfg(unix)]
        if let Some(path) = address.as_pathname() {
            return Address::Unix(path.to_path_buf());
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = address.as_abstract_namespace() {
            return Address::Abstract(name.to_vec());
        }
        Address::Unnamed
    }
}

#[cfg(unix)]
impl Address {
    pub(crate) fn from_unix(address: &std::os::unix::net::SocketAddr) -> Address {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = abstract_name(address) {
            return Address::Abstract(name.to_vec());
        }
        address.as_pathname().map_or(Address::Unnamed, |path| Address::Unix(path.into()))
    }

    /// For a Unix socket's name; `None` where there is none.
    pub(crate) fn to_unix(&self) -> Option<socket2::SockAddr> {
        match self {
            Address::Unix(path) => socket2::SockAddr::unix(path).ok(),
            Address::Abstract(name) => {
                use std::os::unix::ffi::OsStrExt;
                let name = [&[0], name.as_slice()].concat();
                socket2::SockAddr::unix(std::ffi::OsStr::from_bytes(&name)).ok()
            }
            _ => None,
        }
    }
}

#[cfg(target_os = "android")]
fn abstract_name(address: &std::os::unix::net::SocketAddr) -> Option<&[u8]> {
    std::os::android::net::SocketAddrExt::as_abstract_name(address)
}

#[cfg(target_os = "linux")]
fn abstract_name(address: &std::os::unix::net::SocketAddr) -> Option<&[u8]> {
    std::os::linux::net::SocketAddrExt::as_abstract_name(address)
}

/// On a dual-stack socket IPv4 peers come as IPv4-mapped IPv6 addresses; programs want to know who they are.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(mapped) => match mapped.ip().to_canonical() {
            std::net::IpAddr::V4(ip) => SocketAddr::new(ip.into(), mapped.port()),
            std::net::IpAddr::V6(_) => address,
        },
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Inet(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(path) => escaped(&path.to_string_lossy(), f),
            Address::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
            Address::Unnamed => f.write_str("an unnamed socket"),
            Address::Other(name) => escaped(name, f),
        }
    }
}

/// Writes `text` with its control characters escaped, so that it stays one line.
pub(crate) fn escaped(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for character in text.chars() {
        if character.is_control() {
            write!(f, "{}", character.escape_default())?;
        } else {
            fmt::Write::write_char(f, character)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_a_user_would_write() {
        assert_eq!(Address::Inet("[::1]:80".parse().unwrap()).to_string(), "[::1]:80");
        assert_eq!(Address::Unix("/run/a b.sock".into()).to_string(), "/run/a b.sock");
        assert_eq!(Address::Abstract(b"n\0x".to_vec()).to_string(), "@n\\x00x");
    }

    #[test]
    fn cannot_forge_a_log_line() {
        assert_eq!(Address::Unix("/tmp/a\nERROR b".into()).to_string(), "/tmp/a\\nERROR b");
    }
}
