use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use socketserver::coroutine::CoroutineTcpServer;
use socketserver::reactor::{DatagramProtocol, DatagramTransport, ReactorUdp};
use socketserver::{
    Connection, Datagram, Handler, HandlerResult, Protocol, ReactorTcpServer, TcpServer, ThreadingTcpServer,
    ThreadingUdpServer, Transport, UdpServer,
};

use super::{Settings, Started};

/// The builder refuses a higher ceiling; a larger crowd waits its turn in the kernel's queue.
const MOST_THREADS: usize = 8000;

/// Time for a server that has just been started to come to rest, so that its stop is measured from its idle wait.
const COME_TO_REST: Duration = Duration::from_millis(2);

#[derive(Clone)]
struct Echo(usize);

impl Handler for Echo {
    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let mut buffer = vec![0; self.0];
        loop {
            let read = request.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            request.write_all(&buffer[..read])?;
        }
    }
}

#[derive(Clone)]
struct EventEcho;

impl Protocol for EventEcho {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
    }
}

#[derive(Clone)]
struct DatagramEcho;

impl Handler<Datagram> for DatagramEcho {
    fn handle(&mut self, request: &mut Datagram) -> HandlerResult {
        Ok(request.reply(request.data())?)
    }
}

impl DatagramProtocol for DatagramEcho {
    fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], peer: SocketAddr) {
        // What cannot be sent is lost, and counted by the load.
        let _ = transport.send_to(data, peer);
    }
}

/// What is done with all of the servers, as they are started and stopped in the same way.
macro_rules! start {
    ($server:expr) => {{
        let mut server = $server;
        let address: SocketAddr = server.local_addr();
        let serve = Box::new(move || {
            server.serve_forever()?;
            Ok(())
        });
        Ok(Started { address, serve })
    }};
}

macro_rules! time_stop {
    ($server:expr) => {{
        let mut server = $server;
        let handle = server.handle();
        let serving = thread::spawn(move || {
            let report = server.serve_forever();
            (Instant::now(), report)
        });
        thread::sleep(COME_TO_REST);
        let asked = Instant::now();
        handle.shutdown();
        let (returned, report) = serving.join().ok().context("serve_forever panicked")?;
        report?;
        Ok(returned - asked)
    }};
}

pub fn start_threading(settings: &Settings, timed: bool) -> anyhow::Result<Started> {
    let ceiling = settings.connections.clamp(1, MOST_THREADS);
    let mut builder = ThreadingTcpServer::builder().max_connections(ceiling);
    if !timed {
        builder = builder.read_timeout(None).write_timeout(None);
    }
    start!(builder.bind("127.0.0.1:0", Echo(settings.buffer))?)
}

pub fn start_sequential(settings: &Settings) -> anyhow::Result<Started> {
    start!(TcpServer::bind("127.0.0.1:0", Echo(settings.buffer))?)
}

pub fn start_coroutine(settings: &Settings) -> anyhow::Result<Started> {
    let builder = CoroutineTcpServer::builder().max_connections(settings.connections);
    start!(builder.bind("127.0.0.1:0", Echo(settings.buffer))?)
}

pub fn start_reactor(settings: &Settings) -> anyhow::Result<Started> {
    start!(ReactorTcpServer::builder().max_connections(settings.connections).bind("127.0.0.1:0", EventEcho)?)
}

pub fn start_udp_sequential() -> anyhow::Result<Started> {
    start!(UdpServer::bind("127.0.0.1:0", DatagramEcho)?)
}

pub fn start_udp_batch() -> anyhow::Result<Started> {
    start!(UdpServer::builder().receive_batch(32).bind("127.0.0.1:0", DatagramEcho)?)
}

pub fn start_udp_threading() -> anyhow::Result<Started> {
    start!(ThreadingUdpServer::bind("127.0.0.1:0", DatagramEcho)?)
}

pub fn start_udp_reactor() -> anyhow::Result<Started> {
    start!(ReactorUdp::bind("127.0.0.1:0", DatagramEcho)?)
}

pub fn time_threading_stop() -> anyhow::Result<Duration> {
    time_stop!(ThreadingTcpServer::bind("127.0.0.1:0", Echo(4096))?)
}

pub fn time_sequential_stop() -> anyhow::Result<Duration> {
    time_stop!(TcpServer::bind("127.0.0.1:0", Echo(4096))?)
}

pub fn time_reactor_stop() -> anyhow::Result<Duration> {
    time_stop!(ReactorTcpServer::builder().bind("127.0.0.1:0", EventEcho)?)
}

pub fn time_coroutine_stop() -> anyhow::Result<Duration> {
    time_stop!(CoroutineTcpServer::builder().bind("127.0.0.1:0", Echo(4096))?)
}
