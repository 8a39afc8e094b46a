//! [`PerAddress`]: how many requests one address may have at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::Address;
use crate::sync::{lock, Mutex};

/// Counts by address: an IPv4 address, or the first half of an IPv6 one, because a single host is commonly given all of the second.
/// An entry lives as long as a request that it counts, so there are never more entries than connections.
#[derive(Debug)]
pub(crate) struct PerAddress {
    limit: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

impl PerAddress {
    pub(crate) fn new(limit: usize) -> Self {
        PerAddress { limit, counts: Mutex::new(HashMap::new()) }
    }

    /// `Err` when the address has its fill. Families without addresses are not limited.
    pub(crate) fn admit(self: &Arc<Self>, peer: &Address) -> Result<Option<Admission>, ()> {
        let Some(address) = peer.as_socket_addr() else { return Ok(None) };
        let key = key(address.ip());
        let mut counts = lock(&self.counts);
        let count = counts.entry(key).or_insert(0);
        if *count >= self.limit {
            return Err(());
        }
        *count += 1;
        Ok(Some(Admission { table: Arc::clone(self), key }))
    }
}

fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

/// One request of an address, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    table: Arc<PerAddress>,
    key: IpAddr,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = lock(&self.table.counts);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Address {
        Address::Inet(text.parse().unwrap())
    }

    #[test]
    fn counts_hosts_and_forgets_them() {
        let table = Arc::new(PerAddress::new(2));
        let one = table.admit(&peer("10.0.0.1:1")).unwrap();
        let _two = table.admit(&peer("[::ffff:10.0.0.1]:2")).unwrap();
        assert!(table.admit(&peer("10.0.0.1:3")).is_err());
        assert!(table.admit(&peer("10.0.0.2:3")).is_ok());
        drop(one);
        assert!(table.admit(&peer("10.0.0.1:4")).is_ok());
        drop(_two);
        assert!(lock(&table.counts).is_empty());
    }

    #[test]
    fn an_ipv6_host_is_its_network() {
        let table = Arc::new(PerAddress::new(1));
        let _one = table.admit(&peer("[2001:db8:1:1::1]:1")).unwrap();
        assert!(table.admit(&peer("[2001:db8:1:1:ffff::2]:1")).is_err());
        assert!(table.admit(&peer("[2001:db8:1:2::1]:1")).is_ok());
        assert!(table.admit(&Address::Unnamed).unwrap().is_none());
    }
}
