//! What a [`Selector`] reports of ends and errors: they are readiness, for whoever waits for it.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod selecting;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use common::{watchdog, LONG};
use selecting::{drain, fill, look, reset, seen, tcp_pair, udp, until, wait, Watched, MOMENT, R, RW, W};
use socketserver::mio::net::{TcpStream, UdpSocket};
use socketserver::reactor::{Key, Selector};

fn raw_error<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("an error was expected").kind()
}

#[test]
fn a_reset_is_reported_to_whoever_waits() {
    let _watchdog = watchdog();
    for (interest, what) in [(R, "r"), (W, "w"), (RW, "rw")] {
        let mut selector = Selector::new().unwrap();
        let (mut stream, peer) = tcp_pair();
        // Without room, so that it is the reset that makes it writable.
        fill(&mut stream);
        let key = selector.register(stream, interest, ()).unwrap();
        reset(peer);
        let started = Instant::now();
        let told = loop {
            until(&mut selector, vec![(key, what)]);
            assert_eq!(look(&mut selector), [(key, what)]);
            let stream = selector.get_mut::<TcpStream>(key).unwrap();
            // Room may be made before the reset comes, but is not made for nothing.
            let result = if interest == R { stream.read(&mut [0]) } else { stream.write(&[0; 4096]) };
            match result {
                Ok(count) => assert_ne!(count, 0),
                Err(error) => break error.kind(),
            }
            assert!(started.elapsed() < LONG);
        };
        assert!(matches!(told, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{told:?}");
        // And after the error has been told, there is the end.
        assert_eq!(look(&mut selector), [(key, what)]);
    }
}

/// The peer that has said all may still listen.
#[test]
fn a_half_close_breaks_no_writer() {
    let _watchdog = watchdog();
    let (stream, peer) = tcp_pair();
    let observed = TcpStream::from_std(std::net::TcpStream::from(socket2::SockRef::from(&stream).try_clone().unwrap()));
    let (mut selector, mut observer) = (Selector::new().unwrap(), Selector::new().unwrap());
    let key = selector.register(stream, W, ()).unwrap();
    let end = observer.register(observed, R, ()).unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(wait(&mut observer), [(end, "r")], "the half-close has arrived");
    // It is reported for the room that there is, and not without any.
    let started = Instant::now();
    loop {
        fill(selector.get_mut::<TcpStream>(key).unwrap());
        if selector.select(Some(MOMENT)).unwrap().is_empty() {
            break;
        }
        assert_ne!(fill(selector.get_mut::<TcpStream>(key).unwrap()), 0, "reported without room");
        assert!(started.elapsed() < LONG);
    }
    selector.modify(key, R).unwrap();
    assert_eq!(look(&mut selector), [(key, "r")]);
}

/// What arrives at once has no room for excuses.
#[test]
#[cfg(unix)]
fn a_half_close_of_a_unix_stream_breaks_no_writer() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let (mut stream, mut peer) = selecting::unix_pair();
    fill(&mut stream);
    let key = selector.register(stream, W, ()).unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(look(&mut selector), []);
    // Nor where the end is of interest too.
    selector.modify(key, RW).unwrap();
    assert_eq!(look(&mut selector), [(key, "r")]);
    selector.modify(key, W).unwrap();
    while peer.read(&mut [0; 4096]).is_ok() {}
    assert_eq!(look(&mut selector), [(key, "w")]);
    // The whole close does.
    fill(selector.get_mut(key).unwrap_or_else(|| panic!()) as &mut socketserver::mio::net::UnixStream);
    assert_eq!(look(&mut selector), []);
    drop(peer);
    assert_eq!(look(&mut selector), [(key, "w")]);
    assert_eq!(look(&mut selector), [(key, "w")]);
}

/// What the system tells of as a hang-up or an error alone, with neither direction ready.
#[test]
#[cfg(target_os = "linux")]
fn a_hang_up_alone_is_reported() {
    use nix::fcntl::OFlag;
    let _watchdog = watchdog();
    let pipe = || nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).unwrap();
    // EPOLLHUP: no writer left, and nothing to read.
    let (reading, writing) = pipe();
    let mut selector = Selector::new().unwrap();
    let key = selector.register(selecting::owning(reading), R, ()).unwrap();
    assert_eq!(look(&mut selector), []);
    drop(writing);
    assert_eq!(look(&mut selector), [(key, "r")]);
    assert_eq!(look(&mut selector), [(key, "r")]);
    // EPOLLERR: no reader left, and no room to write.
    let (reading, writing) = pipe();
    let mut writer = std::fs::File::from(writing.try_clone().unwrap());
    fill(&mut writer);
    let key = selector.register(selecting::owning(writing), W, ()).unwrap();
    assert!(!look(&mut selector).contains(&(key, "w")));
    drop(reading);
    assert!(look(&mut selector).contains(&(key, "w")));
    assert!(look(&mut selector).contains(&(key, "w")));
    assert_eq!(raw_error(writer.write(b"x")), io::ErrorKind::BrokenPipe);
}

/// #127057, of ICMP: an error of a connected socket that only reads.
#[test]
#[cfg(target_os = "linux")]
fn a_refused_datagram_is_reported_to_the_reader() {
    let _watchdog = watchdog();
    // Nobody else binds a port of an address of our own.
    let nobody: SocketAddr = udp_at(common::own_address());
    let socket = udp();
    socket.connect(nobody).unwrap();
    let mut selector = Selector::new().unwrap();
    let key = selector.register(socket, R, ()).unwrap();
    selector.get::<UdpSocket>(key).unwrap().send(b"x").unwrap();
    assert_eq!(wait(&mut selector), [(key, "r")]);
    assert_eq!(look(&mut selector), [(key, "r")]);
    let refused = raw_error(selector.get::<UdpSocket>(key).unwrap().recv(&mut [0]));
    assert_eq!(refused, io::ErrorKind::ConnectionRefused);
    // It has been told.
    assert_eq!(look(&mut selector), []);
}

/// The address of a UDP socket that has gone again.
#[cfg(target_os = "linux")]
fn udp_at(address: SocketAddr) -> SocketAddr {
    std::net::UdpSocket::bind(address).unwrap().local_addr().unwrap()
}

/// What cannot be registered anew is reported for what it was registered for, until somebody looks what is wrong with it.
#[test]
fn a_broken_source_is_reported_beside_the_others() {
    let _watchdog = watchdog();
    for (interest, what) in [(R, "r"), (W, "w"), (RW, "rw")] {
        let mut selector = Selector::new().unwrap();
        let (stream, mut peer) = tcp_pair();
        let (watched, log) = Watched::new(stream);
        let broken = selector.register(watched, interest, ()).unwrap();
        let other = selector.register(udp(), W, ()).unwrap();
        peer.write_all(b"x").unwrap();
        until(&mut selector, vec![(broken, what), (other, "w")]);
        log.refuse(true);
        for _ in 0..3 {
            // Without waiting, whatever the timeout.
            assert_eq!(seen(&selector.select(None).unwrap()), [(broken, what), (other, "w")]);
        }
        // Where it heals, it is as before.
        log.refuse(false);
        drain(&mut selector.get_mut::<Watched<TcpStream>>(broken).unwrap().source, 1);
        let expected: &[(Key, &str)] = if interest == R { &[(other, "w")] } else { &[(broken, "w"), (other, "w")] };
        assert_eq!(look(&mut selector), expected);
    }
}

/// Urgent data is reported too, and so is a reset, to who waits for it alone.
#[test]
#[cfg(target_os = "linux")]
fn urgent_data_is_reported_as_readable() {
    let _watchdog = watchdog();
    let (stream, peer) = tcp_pair();
    let mut selector = Selector::new().unwrap();
    let key = selector.register(stream, socketserver::mio::Interest::PRIORITY, ()).unwrap();
    socket2::SockRef::from(&peer).send_out_of_band(b"!").unwrap();
    assert_eq!(wait(&mut selector), [(key, "r")]);

    let (stream, peer) = tcp_pair();
    let mut selector = Selector::new().unwrap();
    let key = selector.register(stream, socketserver::mio::Interest::PRIORITY, ()).unwrap();
    selecting::reset(peer);
    assert_eq!(wait(&mut selector), [(key, "r")]);
}
