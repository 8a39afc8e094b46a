//! Datagrams that begin with `e` are echoed, all are counted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use socketserver::reactor::{DatagramProtocol, DatagramTransport, ReactorUdp};
use socketserver::server::Running;
use socketserver::udp::Identified;
use socketserver::{Datagram, Handler, HandlerResult, Result, ThreadingUdpServer, UdpServer};

use super::Settings;

pub static HANDLED: AtomicU64 = AtomicU64::new(0);

pub fn sequential(address: &str) -> Result<Running<SocketAddr>> {
    UdpServer::bind(address, Echo)?.spawn()
}

pub fn threading(address: &str) -> Result<Running<SocketAddr>> {
    let builder = ThreadingUdpServer::builder().idle_thread_timeout(Settings::IDLE_THREADS_STAY);
    builder.bind(address, Echo)?.spawn()
}

pub fn reactor(address: &str) -> Result<Running<SocketAddr>> {
    ReactorUdp::bind(address, Echo)?.spawn()
}

pub fn identified(address: &str) -> Result<Running<SocketAddr>> {
    let builder = ThreadingUdpServer::builder().idle_thread_timeout(Settings::IDLE_THREADS_STAY);
    builder.bind(address, Identified::new(Echo))?.spawn()
}

#[derive(Clone)]
struct Echo;

impl Handler<Datagram> for Echo {
    fn handle(&mut self, request: &mut Datagram) -> HandlerResult {
        HANDLED.fetch_add(1, Ordering::SeqCst);
        match request.data() {
            data @ [b'e', ..] => Ok(request.reply(data)?),
            _ => Ok(()),
        }
    }
}

impl DatagramProtocol for Echo {
    fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], peer: SocketAddr) {
        HANDLED.fetch_add(1, Ordering::SeqCst);
        if data.first() == Some(&b'e') {
            // What cannot be sent is lost, as datagrams are.
            let _ = transport.send_to(data, peer);
        }
    }
}
