//! [`gethostname`].

use crate::{Error, Result};

/// The name this machine gives itself, without a look-up. Python: `socket.gethostname`.
///
/// It need not be a full domain name, and need not resolve. On Linux and Android it is read from `/proc/sys/kernel/hostname`;
/// elsewhere this function exists with the feature `dns-lookup` only, because std has no call for it.
///
/// # Errors
/// [`Error::System`] if the system does not tell it (no `/proc` mounted), or if it is not UTF-8.
#[cfg_attr(docsrs, doc(cfg(any(target_os = "linux", target_os = "android", feature = "dns-lookup"))))]
pub fn gethostname() -> Result<String> {
    read().map_err(|source| Error::System { operation: "read the host name".to_owned(), source })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn read() -> std::io::Result<String> {
    use std::io::Read;

    /// Linux allows 64 bytes and a line end; the rest is room.
    const LONGEST: u64 = 256;

    let mut name = String::new();
    std::fs::File::open("/proc/sys/kernel/hostname")?.take(LONGEST).read_to_string(&mut name)?;
    name.truncate(name.trim_end_matches('\n').len());
    Ok(name)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn read() -> std::io::Result<String> {
    dns_lookup::get_hostname()
}
