//! Whom `UdpClient` asks in its tests: peers that answer, that do not, and that are not there.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socketserver::udp::UdpClientBuilder;
use socketserver::{Error, Phase, UdpClient};

use crate::common::{own_address, LONG};

/// A pause or a timeout that is meant to run out.
pub const SHORT: Duration = Duration::from_millis(20);

/// What a machine that has other things to do may add to a timeout.
pub const SLACK: Duration = Duration::from_secs(2);

/// A socket that answers, or does not. Where no other test's client has been, whose late answers would come here.
pub fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(own_address()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A peer that is served by a thread until it is dropped.
pub struct Peer {
    socket: Arc<UdpSocket>,
    pub address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// Sends what `answer` makes of a datagram back to where that came from.
    pub fn answering(answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        Peer::on(peer().0, answer)
    }

    pub fn echoing() -> Self {
        Peer::answering(|data| Some(data.to_vec()))
    }

    pub fn on(socket: UdpSocket, mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let (socket, over) = (Arc::new(socket), Arc::new(AtomicBool::new(false)));
        let address = socket.local_addr().unwrap();
        let (its_socket, told) = (Arc::clone(&socket), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, from) = its_socket.recv_from(&mut buffer).unwrap();
                if told.load(Ordering::SeqCst) {
                    return;
                }
                if let Some(answer) = answer(&buffer[..length]) {
                    its_socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Peer { socket, address, over, thread: Some(thread) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.socket.send_to(&[], self.address).unwrap();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the peer has panicked");
    }
}

/// An address where nobody is, nor will be.
pub fn nobody() -> SocketAddr {
    UdpSocket::bind(own_address()).unwrap().local_addr().unwrap()
}

/// A client that waits for as long as it takes, and asks once.
pub fn patient() -> UdpClientBuilder {
    UdpClient::builder().timeout(LONG).retries(0)
}

#[track_caller]
pub fn assert_timed_out(error: &Error, timeout: Duration) {
    assert!(matches!(error, Error::Timeout { phase: Phase::Answer, after, .. } if *after == timeout), "{error:?}");
}
