//! What a [`Selector`] reports: whatever is ready, for as long as it is, of every kind of source.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod selecting;

use std::io::{self, Read, Write};

use common::{own_address, watchdog, LONG};
use selecting::{drain, fill, look, seen, tcp_pair, udp, until, wait, would_block, Watched, MOMENT, R, RW, W};
use socketserver::mio::event::Source;
use socketserver::mio::net::{TcpListener, UdpSocket};
use socketserver::reactor::{Key, Selector};

/// Section 4 of the house's notes on Python: 1, 1, 1, partial read, 1, drained, 0, peer closed, 1, 1.
fn a_reader_is_reported_while_there_is_something_to_read<S, P>(source: S, mut peer: P)
where
    S: Source + Read + Send + 'static,
    P: Write,
{
    let mut selector = Selector::new().unwrap();
    let key = selector.register(source, R, ()).unwrap();
    for _ in 0..3 {
        assert_eq!(look(&mut selector), []);
        peer.write_all(b"hello world!").unwrap();
        assert_eq!(wait(&mut selector), [(key, "r")]);
        assert_eq!(look(&mut selector), [(key, "r")]);
        assert_eq!(look(&mut selector), [(key, "r")]);
        let mut part = [0; 5];
        selector.get_mut::<S>(key).unwrap().read_exact(&mut part).unwrap();
        assert_eq!(&part, b"hello");
        assert_eq!(look(&mut selector), [(key, "r")]);
        // Not read to its end, which would show as WouldBlock, but just as much as there is.
        selector.get_mut::<S>(key).unwrap().read_exact(&mut [0; 7]).unwrap();
        assert_eq!(look(&mut selector), []);
    }
    peer.write_all(b"last words").unwrap();
    drop(peer);
    assert_eq!(wait(&mut selector), [(key, "r")]);
    let source = selector.get_mut::<S>(key).unwrap();
    source.read_exact(&mut [0; 10]).unwrap();
    // The end may come later than the words, and is told for ever.
    assert_eq!(wait(&mut selector), [(key, "r")]);
    for _ in 0..3 {
        assert_eq!(selector.get_mut::<S>(key).unwrap().read(&mut [0]).unwrap(), 0);
        assert_eq!(look(&mut selector), [(key, "r")]);
    }
}

fn a_writer_is_reported_while_there_is_room<S, P>(source: S, mut peer: P)
where
    S: Source + Write + Send + 'static,
    P: Read,
{
    let mut selector = Selector::new().unwrap();
    let key = selector.register(source, W, ()).unwrap();
    for _ in 0..3 {
        assert_eq!(look(&mut selector), [(key, "w")]);
    }
    selector.get_mut::<S>(key).unwrap().write_all(b"x").unwrap();
    assert_eq!(look(&mut selector), [(key, "w")]);
    // The kernel may make room as it passes on what has been written.
    let mut written = 1 + fill(selector.get_mut::<S>(key).unwrap());
    while seen(&selector.select(Some(MOMENT)).unwrap()) == [(key, "w")] {
        written += fill(selector.get_mut::<S>(key).unwrap());
    }
    io::copy(&mut (&mut peer).take(written as u64), &mut io::sink()).unwrap();
    for _ in 0..3 {
        assert_eq!(wait(&mut selector), [(key, "w")]);
    }
    assert!(fill(selector.get_mut::<S>(key).unwrap()) > 0);
}

fn a_datagram_is_reported_until_it_is_received<S>(source: S, send: impl Fn(), receive: fn(&S) -> io::Result<usize>)
where
    S: Source + Send + 'static,
{
    let mut selector = Selector::new().unwrap();
    let key = selector.register(source, R, ()).unwrap();
    assert_eq!(look(&mut selector), []);
    for datagrams in [1, 2, 3] {
        for _ in 0..datagrams {
            send();
        }
        for _ in 0..datagrams {
            assert_eq!(wait(&mut selector), [(key, "r")]);
            assert_eq!(look(&mut selector), [(key, "r")]);
            receive(selector.get(key).unwrap()).unwrap();
        }
        assert_eq!(look(&mut selector), []);
    }
    selector.modify(key, RW).unwrap();
    assert_eq!(look(&mut selector), [(key, "w")]);
    send();
    until(&mut selector, vec![(key, "rw")]);
    receive(selector.get(key).unwrap()).unwrap();
    assert_eq!(look(&mut selector), [(key, "w")]);
}

/// asyncio accepts up to the backlog at once for want of this (bpo-27906).
fn a_listener_is_reported_while_somebody_waits<S, C, A>(
    listener: S,
    connect: impl Fn() -> C,
    accept: fn(&S) -> io::Result<A>,
) where
    S: Source + Send + 'static,
{
    let mut selector = Selector::new().unwrap();
    let key = selector.register(listener, R, ()).unwrap();
    assert_eq!(look(&mut selector), []);
    for clients in [1, 2, 3] {
        let _clients: Vec<C> = (0..clients).map(|_| connect()).collect();
        for _ in 0..clients {
            assert_eq!(wait(&mut selector), [(key, "r")]);
            assert_eq!(look(&mut selector), [(key, "r")]);
            accept(selector.get(key).unwrap()).unwrap();
        }
        assert_eq!(look(&mut selector), []);
        assert!(would_block(accept(selector.get(key).unwrap())));
    }
}

#[test]
fn tcp_streams() {
    let _watchdog = watchdog();
    let (stream, peer) = tcp_pair();
    a_reader_is_reported_while_there_is_something_to_read(stream, peer);
    let (stream, peer) = tcp_pair();
    a_writer_is_reported_while_there_is_room(stream, peer);
}

#[test]
fn tcp_listeners() {
    let _watchdog = watchdog();
    let listener = TcpListener::bind(own_address()).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || std::net::TcpStream::connect(address).unwrap();
    a_listener_is_reported_while_somebody_waits(listener, connect, TcpListener::accept);
}

#[test]
fn udp_sockets() {
    let _watchdog = watchdog();
    let (socket, sender) = (udp(), udp());
    let address = socket.local_addr().unwrap();
    // An empty one is one too.
    for datagram in [&b"datagram"[..], b""] {
        let send = || assert_eq!(sender.send_to(datagram, address).unwrap(), datagram.len());
        let receiver =
            UdpSocket::from_std(std::net::UdpSocket::from(socket2::SockRef::from(&socket).try_clone().unwrap()));
        a_datagram_is_reported_until_it_is_received(receiver, send, |socket| socket.recv(&mut [0; 16]));
    }
}

#[test]
#[cfg(unix)]
fn unix_streams() {
    let _watchdog = watchdog();
    let (stream, peer) = selecting::unix_pair();
    a_reader_is_reported_while_there_is_something_to_read(stream, peer);
    let (stream, peer) = selecting::unix_pair();
    a_writer_is_reported_while_there_is_room(stream, peer);
}

#[test]
#[cfg(unix)]
fn unix_listeners() {
    use socketserver::mio::net::{UnixListener, UnixStream};
    let _watchdog = watchdog();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let connect = || UnixStream::connect(&path).unwrap();
    a_listener_is_reported_while_somebody_waits(listener, connect, UnixListener::accept);
}

#[test]
#[cfg(unix)]
fn unix_datagrams() {
    use socketserver::mio::net::UnixDatagram;
    let _watchdog = watchdog();
    for datagram in [&b"datagram"[..], b""] {
        let (receiver, sender) = UnixDatagram::pair().unwrap();
        let send = || assert_eq!(sender.send(datagram).unwrap(), datagram.len());
        a_datagram_is_reported_until_it_is_received(receiver, send, |socket| socket.recv(&mut [0; 16]));
    }
}

/// And pipes: whatever can be waited for, in a type of one's own.
#[test]
#[cfg(target_os = "linux")]
fn several_kinds_in_one_selector() {
    use nix::fcntl::OFlag;
    use socketserver::mio::net::{UnixDatagram, UnixListener, UnixStream};
    let _watchdog = watchdog();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut selector = Selector::new().unwrap();

    let listener = TcpListener::bind(own_address()).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = selector.register(listener, R, "TCP listener").unwrap();
    let (stream, mut peer) = tcp_pair();
    let stream = selector.register(stream, RW, "TCP stream").unwrap();
    let socket = udp();
    let udp_address = socket.local_addr().unwrap();
    let socket = selector.register(socket, R, "UDP").unwrap();
    let unix_listener = selector.register(UnixListener::bind(&path).unwrap(), R, "Unix listener").unwrap();
    let (unix_stream, mut unix_peer) = selecting::unix_pair();
    let unix_stream = selector.register(unix_stream, R, "Unix stream").unwrap();
    let (datagram, datagrams) = UnixDatagram::pair().unwrap();
    let datagram = selector.register(datagram, R, "Unix datagram").unwrap();
    let (reading, writing) = nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).unwrap();
    let pipe = selector.register(selecting::owning(reading), R, "pipe").unwrap();
    let (watched, _) = Watched::new(udp());
    let watched = selector.register(watched, W, "of one's own").unwrap();
    let timer = selector.set_timer(LONG, "timer").unwrap();
    assert_eq!(look(&mut selector), [(stream, "w"), (watched, "w")]);

    let _client = std::net::TcpStream::connect(address).unwrap();
    peer.write_all(b"x").unwrap();
    udp().send_to(b"x", udp_address).unwrap();
    let _unix_client = UnixStream::connect(&path).unwrap();
    unix_peer.write_all(b"x").unwrap();
    datagrams.send(b"x").unwrap();
    nix::unistd::write(&writing, b"x").unwrap();
    let mut all: Vec<_> =
        [listener, socket, unix_listener, unix_stream, datagram, pipe].iter().map(|key| (*key, "r")).collect();
    all.extend([(stream, "rw"), (watched, "w")]);
    until(&mut selector, all.clone());
    all.sort();
    assert_eq!(look(&mut selector), all);

    selector.get::<TcpListener>(listener).unwrap().accept().unwrap();
    selector.get::<UnixListener>(unix_listener).unwrap().accept().unwrap();
    drain(selector.get_mut::<UnixStream>(unix_stream).unwrap(), 1);
    selector.get::<UnixDatagram>(datagram).unwrap().recv(&mut [0]).unwrap();
    assert_eq!(look(&mut selector), [(stream, "rw"), (socket, "r"), (pipe, "r"), (watched, "w")]);
    assert_eq!(selector.data(pipe), Some(&"pipe"));
    assert_eq!((selector.len(), selector.data(timer)), (9, Some(&"timer")));
}

/// Registering, changing, reading, writing and closing in any order, against what the sockets themselves would say.
#[test]
#[cfg(unix)]
fn whatever_has_gone_before_what_is_ready_is_reported() {
    use selecting::unix_pair;
    use socketserver::mio::net::UnixStream;

    struct Model {
        key: Key,
        interest: socketserver::mio::Interest,
        peer: Option<UnixStream>,
        pending: usize,
        full: bool,
    }

    impl Model {
        fn expected(&self) -> Option<(Key, &'static str)> {
            let ended = self.peer.is_none();
            let readable = self.interest.is_readable() && (self.pending > 0 || ended);
            let writable = self.interest.is_writable() && (!self.full || ended);
            Some((
                self.key,
                match (readable, writable) {
                    (true, true) => "rw",
                    (true, false) => "r",
                    (false, true) => "w",
                    (false, false) => return None,
                },
            ))
        }
    }

    let _watchdog = watchdog();
    // A generator of its own, so that a failure can be repeated.
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut selector: Selector = Selector::new().unwrap();
    let mut models: Vec<Model> = Vec::new();
    for step in 0..20_000 {
        let interest = [R, W, RW][random(3)];
        if models.is_empty() || (models.len() < 12 && random(8) == 0) {
            let (stream, peer) = unix_pair();
            let key = selector.register(stream, interest, ()).unwrap();
            models.push(Model { key, interest, peer: Some(peer), pending: 0, full: false });
        }
        let chosen = random(models.len());
        let model = &mut models[chosen];
        let stream = selector.get_mut::<UnixStream>(model.key).unwrap();
        match (random(12), &mut model.peer) {
            (0..=2, Some(peer)) => model.pending += peer.write(&[0; 10]).unwrap_or(0),
            (3..=5, _) if model.pending > 0 => model.pending -= stream.read(&mut [0; 7]).unwrap(),
            (6, Some(_)) => {
                fill(stream);
                model.full = true;
            }
            (7, Some(peer)) => {
                while peer.read(&mut [0; 4096]).is_ok() {}
                model.full = false;
            }
            // An unread rest would make a reset of it, which is another story.
            (8, peer) if random(4) == 0 && !model.full => *peer = None,
            (9, _) => {
                selector.modify(model.key, interest).unwrap();
                model.interest = interest;
            }
            (10, _) if random(4) == 0 => {
                let stream: UnixStream = selector.unregister(model.key).unwrap();
                model.key = selector.register(stream, interest, ()).unwrap();
                model.interest = interest;
            }
            (11, _) if random(4) == 0 => {
                selector.remove(model.key).unwrap();
                models.swap_remove(chosen);
            }
            _ => {}
        }
        if random(2) == 0 {
            let mut expected: Vec<_> = models.iter().filter_map(Model::expected).collect();
            expected.sort();
            assert_eq!(look(&mut selector), expected, "at step {step}");
        }
    }
}
