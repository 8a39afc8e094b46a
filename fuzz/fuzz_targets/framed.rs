//! `Framed` on a running server: what a client sends is answered message by message, whole and in order, however it is cut, also where answers
//! are long and the client reads none of them before it has sent everything.
#![no_main]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use socketserver::framing::{FramingError, LineDecoder};
use socketserver::reactor::{Framed, MessageProtocol};
use socketserver::{ReactorTcpServer, Running, Transport};
use socketserver_fuzz::oracle::lines_of;
use socketserver_fuzz::Cuts;

const LIMIT: usize = 40;

/// What stands after the answers if the form was broken.
const BROKEN: &[u8] = b"broken\n";

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    cuts: Cuts,
    stream: &'a [u8],
}

#[derive(Clone)]
struct Answers;

impl MessageProtocol for Answers {
    fn message_received(&mut self, transport: &mut Transport, line: &[u8]) {
        transport.write(&answer(line));
    }

    fn framing_failed(&mut self, transport: &mut Transport, _: FramingError) {
        transport.write(BROKEN);
    }
}

/// The line, or very many of it where it begins with an `l`: a buffer that is full makes the server stop reading.
fn answer(line: &[u8]) -> Vec<u8> {
    let times = if line.first() == Some(&b'l') { 3_000 } else { 1 };
    [line, b"\n"].concat().repeat(times)
}

static SERVER: OnceLock<(SocketAddr, Running<SocketAddr>)> = OnceLock::new();

fn address() -> SocketAddr {
    let (address, _) = SERVER.get_or_init(|| {
        let lines = LineDecoder::new().max_line(LIMIT).strip_cr(true);
        let server = ReactorTcpServer::builder()
            .write_buffer_hard_limit(64 * 1024 * 1024)
            .bind("127.0.0.1:0", Framed::new(lines, Answers))
            .expect("bind");
        (server.local_addr(), server.spawn().expect("spawn"))
    });
    *address
}

fuzz_target!(|input: Input<'_>| {
    // The rest of a stream that is broken is not read, which may reset the connection before the answer has come.
    let expected = lines_of(input.stream, LIMIT, true);
    let mut client = TcpStream::connect(address()).expect("connect");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    client.set_nodelay(true).expect("nodelay");
    let broken = expected.end.is_err();
    let mut written = true;
    for piece in input.cuts.of(input.stream) {
        match client.write_all(piece) {
            Ok(()) => {}
            Err(_) if broken => {
                written = false;
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let _ = client.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    let read = client.read_to_end(&mut answers);
    let mut wanted: Vec<u8> = expected.messages.iter().flat_map(|line| answer(line)).collect();
    if broken {
        wanted.extend(BROKEN);
        assert!(wanted.starts_with(&answers), "{} bytes that are no beginning of {}", answers.len(), wanted.len());
        // A reset is told once: after a write that failed of it, what is read seems to end well.
        if written && read.is_ok() {
            assert!(answers == wanted, "{} bytes in place of {}", answers.len(), wanted.len());
        }
    } else {
        read.expect("all of the answers");
        assert!(answers == wanted, "{} bytes in place of {}", answers.len(), wanted.len());
    }
});
