//! An address that does not answer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::own_address;

/// Its listener's queue is full, and the kernel drops what comes.
pub struct Silent {
    pub address: SocketAddr,
    pub listener: Socket,
    pub queue: Vec<Socket>,
}

impl Silent {
    pub fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&own_address().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            match socket.connect_timeout(&address, Duration::from_millis(100)) {
                Ok(()) => queue.push(socket),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                Err(error) => panic!("{error}"),
            }
        }
        Silent { address: address.as_socket().unwrap(), listener, queue }
    }
}
