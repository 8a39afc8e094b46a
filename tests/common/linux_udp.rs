//! What Linux tells of a UDP socket, and what it lets a user forge who may.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{self, Write as _};
use std::net::{SocketAddr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};

use crate::common::eventually;

/// How many datagrams the system's own queue of a socket of this machine had no room for.
pub fn drops(address: SocketAddr) -> u64 {
    let SocketAddr::V4(address) = address else { panic!("{address}") };
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let mut drops = None;
    // The table is read in pieces, between which a row is skipped if sockets that stand before it go.
    eventually("the socket's row", || {
        let table = std::fs::read_to_string("/proc/net/udp").unwrap();
        let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row.get(1) == Some(&local.as_str()));
        drops = row.and_then(|row| row.last()?.parse().ok());
        drops.is_some()
    });
    drops.unwrap()
}

/// Sends datagrams that say they come from somebody else.
pub struct Forger {
    socket: Socket,
    source: SocketAddrV4,
}

impl Forger {
    /// `None` where this user may not forge, which has then been said past the test harness's capture.
    pub fn new(source: SocketAddrV4) -> Option<Forger> {
        let Ok(socket) = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) else {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            let _ = writeln!(
                io::stderr(),
                "\n*** NOT CHECKED by {test}: forged datagrams, for which this user has no raw socket ***"
            );
            return None;
        };
        socket.bind(&SocketAddrV4::new(*source.ip(), 0).into()).unwrap();
        Some(Forger { socket, source })
    }

    pub fn send(&self, data: &[u8], to: SocketAddrV4) {
        let length = u16::try_from(8 + data.len()).unwrap();
        let mut datagram = Vec::new();
        // Without a checksum.
        for word in [self.source.port(), to.port(), length, 0] {
            datagram.extend_from_slice(&word.to_be_bytes());
        }
        datagram.extend_from_slice(data);
        self.socket.send_to(&datagram, &SocketAddrV4::new(*to.ip(), 0).into()).unwrap();
    }
}
