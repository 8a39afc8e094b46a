//! [`getservbyname`] and [`getservbyport`], from the system's services file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The port of a service. Python: `socket.getservbyname`.
///
/// `protocol` is `"tcp"`, `"udp"` or another that the file names; `None` takes the first entry of any. Aliases count as names,
/// and case matters. The system's services file is read at every call: `/etc/services`, on Windows
/// `%SystemRoot%\System32\drivers\etc\services`; network databases such as LDAP are not asked.
///
/// ```
/// use socketserver::net::getservbyname;
///
/// match getservbyname("http", "tcp") {
///     Ok(port) => assert_eq!(port, 80),
///     Err(error) => println!("{error}"), // a system without the file, as many containers are
/// }
/// ```
///
/// # Errors
/// [`Error::Resolve`] if the file does not list the service; [`Error::System`], with the file's name, if it cannot be read or
/// is longer than 4 MiB.
pub fn getservbyname<'a>(name: &str, protocol: impl Into<Option<&'a str>>) -> Result<u16> {
    let (path, protocol) = (services_path(), protocol.into());
    port_of(&read(&path)?, name, protocol).ok_or_else(|| unlisted(&path, name, protocol))
}

/// The name of the service on a port, without its aliases. Python: `socket.getservbyport`.
///
/// It reads the same file as [`getservbyname`], and takes the same protocols.
///
/// # Errors
/// As [`getservbyname`].
pub fn getservbyport<'a>(port: u16, protocol: impl Into<Option<&'a str>>) -> Result<String> {
    let (path, protocol) = (services_path(), protocol.into());
    name_of(&read(&path)?, port, protocol).ok_or_else(|| unlisted(&path, &port.to_string(), protocol))
}

/// Where the system keeps its services.
pub(super) fn services_path() -> PathBuf {
    if cfg!(windows) {
        let root = std::env::var_os("SystemRoot").unwrap_or_else(|| r"C:\Windows".into());
        Path::new(&root).join(r"System32\drivers\etc\services")
    } else {
        PathBuf::from("/etc/services")
    }
}

fn read(path: &Path) -> Result<String> {
    /// The longest file that is read. The full list of IANA's names takes less than 1 MiB.
    const MAX_FILE: u64 = 4 * 1024 * 1024;

    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .and_then(|length| match length as u64 > MAX_FILE {
            true => Err(io::Error::new(io::ErrorKind::InvalidData, "the file is longer than 4 MiB")),
            // Comments come in any encoding.
            false => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        })
        .map_err(|source| Error::System { operation: format!("read {}", path.display()), source })
}

fn unlisted(path: &Path, wanted: &str, protocol: Option<&str>) -> Error {
    let name = match protocol {
        Some(protocol) => format!("{wanted}/{protocol}"),
        None => wanted.to_owned(),
    };
    let source = io::Error::new(io::ErrorKind::NotFound, format!("{} does not list this service", path.display()));
    Error::Resolve { name, source }
}

fn port_of(text: &str, name: &str, protocol: Option<&str>) -> Option<u16> {
    entries(text).find(|entry| entry.is_for(protocol) && entry.has_name(name)).map(|entry| entry.port)
}

fn name_of(text: &str, port: u16, protocol: Option<&str>) -> Option<String> {
    entries(text).find(|entry| entry.is_for(protocol) && entry.port == port).map(|entry| entry.name.to_owned())
}

/// One line: `name port/protocol alias…`.
struct Entry<'a> {
    name: &'a str,
    port: u16,
    protocol: &'a str,
    aliases: std::str::SplitWhitespace<'a>,
}

impl Entry<'_> {
    fn is_for(&self, protocol: Option<&str>) -> bool {
        protocol.is_none() || protocol == Some(self.protocol)
    }

    fn has_name(&self, name: &str) -> bool {
        self.name == name || self.aliases.clone().any(|alias| alias == name)
    }
}

/// Every line that is an entry; what is none is passed over, as the C library does.
fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    text.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let name = words.next()?;
        let (port, protocol) = words.next()?.split_once('/')?;
        let port = port.parse().ok()?;
        Some(Entry { name, port, protocol, aliases: words })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# Network services
discard\t\t9/tcp\t\tsink null
discard\t\t9/udp\t\tsink null

  syslog 514/udp   # indented, one protocol only
shell 514/tcp cmd syslog-tcp # cmd2
#commented 1/tcp
http 80/tcp www
broken
broken 99999/tcp
broken /tcp
broken 7
broken x/tcp
last 65535/sctp";

    #[test]
    fn names_and_aliases_give_ports() {
        assert_eq!(port_of(FILE, "http", Some("tcp")), Some(80));
        assert_eq!(port_of(FILE, "www", Some("tcp")), Some(80));
        assert_eq!(port_of(FILE, "null", Some("udp")), Some(9));
        assert_eq!(port_of(FILE, "cmd", None), Some(514));
        assert_eq!(port_of(FILE, "last", Some("sctp")), Some(65535));
    }

    #[test]
    fn the_protocol_chooses_and_none_takes_the_first() {
        assert_eq!(port_of(FILE, "http", Some("udp")), None);
        assert_eq!(name_of(FILE, 514, Some("tcp")).as_deref(), Some("shell"));
        assert_eq!(name_of(FILE, 514, Some("udp")).as_deref(), Some("syslog"));
        assert_eq!(name_of(FILE, 514, None).as_deref(), Some("syslog"));
        assert_eq!(name_of(FILE, 515, None), None);
    }

    #[test]
    fn comments_and_broken_lines_are_passed_over() {
        for name in ["commented", "#commented", "cmd2", "broken", "Network", "", "HTTP"] {
            assert_eq!(port_of(FILE, name, None), None, "{name:?}");
        }
        assert_eq!(port_of("", "http", None), None);
        assert_eq!(port_of("http 80/tcp\r\nssh 22/tcp\r\n", "ssh", Some("tcp")), Some(22));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nonexistent/services")).unwrap_err();
        assert!(matches!(error, Error::System { .. }));
        assert!(error.to_string().contains("/nonexistent/services"), "{error}");
    }

    #[test]
    fn a_file_that_never_ends_is_refused() {
        if Path::new("/dev/zero").exists() {
            let error = read(Path::new("/dev/zero")).unwrap_err();
            assert!(error.to_string().contains("longer than 4 MiB"), "{error}");
        }
    }

    #[test]
    fn an_unlisted_service_is_named_with_its_protocol_and_the_file() {
        let error = unlisted(Path::new("/etc/services"), "nosuch", Some("tcp"));
        assert!(error.to_string().contains("\"nosuch/tcp\""), "{error}");
        assert!(error.to_string().contains("/etc/services does not list"), "{error}");
    }
}
