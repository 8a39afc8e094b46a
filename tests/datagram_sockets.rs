//! What UDP and Unix datagram servers have of their own: families, groups, buffers, names, sockets that exist, request ids.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::channel;
use std::time::Duration;

use common::datagrams::{Client, Spot};
use common::{echo, eventually, own_address, receive, watchdog, Kind, Reach, Served, LONG};
use socketserver::server::Dispatch;
use socketserver::udp::{Identified, RequestId};
use socketserver::{
    handler_fn, Address, Datagram, Error, Handler, HandlerResult, Server, ThreadingUdpServer, UdpClient, UdpServer,
};

/// Says whom it sees.
fn whoami() -> impl Handler<Datagram> + Clone {
    handler_fn(|request: &mut Datagram| Ok(request.reply(request.peer_addr().to_string().as_bytes())?))
}

/// A client socket, and what it was answered.
fn ask(own: impl Into<IpAddr>, server: SocketAddr, request: &[u8]) -> (UdpSocket, String) {
    let client = UdpSocket::bind(SocketAddr::new(own.into(), 0)).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.connect(server).unwrap();
    client.send(request).unwrap();
    let mut answer = [0; 1000];
    let length = client.recv(&mut answer).unwrap();
    (client, String::from_utf8_lossy(&answer[..length]).into_owned())
}

fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Python's `dualstack_ipv6`.
#[test]
fn on_both_families_a_v4_peer_is_shown_as_v4_and_answered() {
    let _watchdog = watchdog();
    if !has_ipv6() {
        return;
    }
    let running =
        UdpServer::builder().dual_stack(true).bind((Ipv6Addr::UNSPECIFIED, 0), whoami()).unwrap().spawn().unwrap();
    let port = running.local_addr().port();
    let (v4, answer) = ask(Ipv4Addr::LOCALHOST, (Ipv4Addr::LOCALHOST, port).into(), b"");
    assert_eq!(answer, v4.local_addr().unwrap().to_string());
    let (v6, answer) = ask(Ipv6Addr::LOCALHOST, (Ipv6Addr::LOCALHOST, port).into(), b"");
    assert_eq!(answer, v6.local_addr().unwrap().to_string());
    running.stop().unwrap();
}

#[test]
fn on_both_families_a_v4_peer_gets_a_v4_datagram_at_most() {
    let _watchdog = watchdog();
    if !has_ipv6() {
        return;
    }
    let (sender, limits) = channel();
    let handler = handler_fn(move |request: &mut Datagram| {
        let error = request.reply(&vec![0; 65_528]).unwrap_err();
        if let Some(Error::TooLarge { limit, .. }) = Error::of(&error) {
            sender.send(*limit)?;
        }
        Ok(request.reply(b"ok")?)
    });
    let running =
        UdpServer::builder().dual_stack(true).bind((Ipv6Addr::UNSPECIFIED, 0), handler).unwrap().spawn().unwrap();
    let port = running.local_addr().port();
    ask(Ipv4Addr::LOCALHOST, (Ipv4Addr::LOCALHOST, port).into(), b"");
    assert_eq!(receive(&limits), 65_507);
    ask(Ipv6Addr::LOCALHOST, (Ipv6Addr::LOCALHOST, port).into(), b"");
    assert_eq!(receive(&limits), 65_527);
    running.stop().unwrap();
}

/// What the system does by itself differs, so it is said.
#[test]
fn an_ipv6_wildcard_is_ipv6_only_by_default() {
    let _watchdog = watchdog();
    if !has_ipv6() {
        return;
    }
    let server = UdpServer::bind((Ipv6Addr::UNSPECIFIED, 0), echo()).unwrap();
    let port = server.local_addr().port();
    // The same port is free for IPv4.
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
}

#[test]
fn dual_stack_needs_an_ipv6_address() {
    let _watchdog = watchdog();
    let error = UdpServer::builder().dual_stack(true).bind("127.0.0.1:0", echo()).map(drop).unwrap_err();
    assert!(matches!(&error, Error::InvalidSetting { setting: "dual_stack", .. }), "{error:?}");
}

#[test]
fn a_bad_address_is_an_error_that_says_so() {
    let _watchdog = watchdog();
    for address in ["", "nonsense", "127.0.0.1", "127.0.0.1:65536", ":80"] {
        let error = UdpServer::bind(address, echo()).map(drop).unwrap_err();
        assert!(matches!(&error, Error::InvalidAddress { address: given, .. } if given == address), "{error:?}");
    }
    let error = UdpServer::bind("192.0.2.77:0", echo()).map(drop).unwrap_err();
    assert!(matches!(&error, Error::Bind { .. }), "{error:?}");
    assert!(error.to_string().contains("192.0.2.77:0"), "{error}");
}

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 1);

/// A socket that sends to groups on the loopback interface.
fn multicaster() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket2::SockRef::from(&socket).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    socket.set_multicast_loop_v4(true).unwrap();
    socket
}

/// The interface that the system chooses for the group is not the loopback where there is another, so this asks for that one by the
/// socket; whether it is a member shows in what the system says of joining and leaving.
#[test]
fn groups_can_be_joined_and_left() {
    fn check<D: Dispatch + Default>() {
        let _watchdog = watchdog();
        let server = Server::<socketserver::udp::UdpListener, D>::bind("0.0.0.0:0", whoami()).unwrap();
        if let Err(error) = server.join_multicast(GROUP.into()) {
            // ENODEV: a machine without a route to the group.
            assert_eq!(error.raw_os_error(), Some(19), "{error}");
            return;
        }
        assert_eq!(server.join_multicast(GROUP.into()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        server.leave_multicast(GROUP.into()).unwrap();
        assert_eq!(server.leave_multicast(GROUP.into()).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
        server.join_multicast(GROUP.into()).unwrap();
        assert_eq!(server.join_multicast(Ipv4Addr::LOCALHOST.into()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    check::<socketserver::server::Sequential>();
    check::<socketserver::server::Threading>();
}

#[test]
fn a_group_of_the_builders_is_joined_before_the_first_datagram() {
    let _watchdog = watchdog();
    let server = match UdpServer::builder().multicast(GROUP.into()).bind("0.0.0.0:0", echo()) {
        Ok(server) => server,
        Err(Error::Bind { source, .. }) if source.raw_os_error() == Some(19) => return,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(server.join_multicast(GROUP.into()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let error = UdpServer::builder().multicast(Ipv4Addr::LOCALHOST.into()).bind("0.0.0.0:0", echo()).map(drop);
    assert!(matches!(error, Err(Error::InvalidSetting { setting: "multicast", .. })), "{error:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_sent_to_a_group_is_served_and_answered_to_its_sender() {
    let _watchdog = watchdog();
    // A socket that is a member on the loopback interface.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).unwrap();
    let port = socket.local_addr().unwrap().port();
    let running = UdpServer::from_socket(socket, whoami()).unwrap().spawn().unwrap();
    let client = multicaster();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.send_to(b"who is there?", (GROUP, port)).unwrap();
    let mut answer = [0; 100];
    let (length, from) = client.recv_from(&mut answer).unwrap();
    assert_eq!(&answer[..length], client.local_addr().unwrap().to_string().as_bytes());
    // The answer comes from the server, not from the group.
    assert_eq!(from.port(), port);
    assert!(!from.ip().is_multicast());
    running.stop().unwrap();
}

#[test]
fn a_stopped_server_joins_no_group() {
    let _watchdog = watchdog();
    let mut server = UdpServer::bind("0.0.0.0:0", echo()).unwrap();
    server.handle().shutdown();
    server.serve_forever().unwrap();
    for result in [server.join_multicast(GROUP.into()), server.leave_multicast(GROUP.into())] {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotConnected);
    }
}

/// What the socket of a server says of itself.
fn seen_by_a_handler<T: Send + 'static>(
    builder: socketserver::server::Builder<socketserver::udp::UdpListener, socketserver::server::Sequential>,
    look: impl Fn(socket2::SockRef<'_>) -> io::Result<T> + Send + Sync + Clone + 'static,
) -> T {
    let (sender, seen) = channel();
    let served = UdpServer::serve_as(
        builder,
        handler_fn(move |request: &mut Datagram| {
            sender.send(look(request.socket().unwrap())?).unwrap();
            Ok(())
        }),
    );
    served.place.client().send(b"");
    let seen = receive(&seen);
    served.stop();
    seen
}

#[test]
fn broadcasts_are_sent_only_where_the_builder_says_so() {
    let _watchdog = watchdog();
    assert!(!seen_by_a_handler(UdpServer::builder(), |socket| socket.broadcast()));
    assert!(seen_by_a_handler(UdpServer::builder().broadcast(true), |socket| socket.broadcast()));
}

#[test]
fn the_receive_buffer_is_what_the_builder_says() {
    let _watchdog = watchdog();
    let default = seen_by_a_handler(UdpServer::builder(), |socket| socket.recv_buffer_size());
    let set = seen_by_a_handler(UdpServer::builder().recv_buffer_size(16 * 1024), |socket| socket.recv_buffer_size());
    // Linux doubles it, for its own bookkeeping.
    assert!((16 * 1024..=32 * 1024).contains(&set), "{set}");
    assert!(default > set, "{default}");
}

#[test]
fn the_send_buffer_is_what_the_builder_says() {
    let _watchdog = watchdog();
    let default = seen_by_a_handler(UdpServer::builder(), |socket| socket.send_buffer_size());
    let set = seen_by_a_handler(UdpServer::builder().send_buffer_size(16 * 1024), |socket| socket.send_buffer_size());
    assert!((16 * 1024..=32 * 1024).contains(&set), "{set}");
    assert!(default > set, "{default}");
}

/// U11: with SO_REUSEADDR a second socket could bind the port and take the datagrams.
#[test]
fn nobody_else_can_bind_the_port() {
    let _watchdog = watchdog();
    assert!(!seen_by_a_handler(UdpServer::builder(), |socket| socket.reuse_address()));
    let server = UdpServer::bind(own_address(), echo()).unwrap();
    let address = server.local_addr();
    let error = UdpServer::bind(address, echo()).map(drop).unwrap_err();
    assert!(matches!(&error, Error::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    // Nor by asking for it.
    let thief = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    thief.set_reuse_address(true).unwrap();
    #[cfg(unix)]
    thief.set_reuse_port(true).unwrap();
    assert_eq!(thief.bind(&address.into()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
#[cfg(target_os = "linux")]
fn a_port_is_shared_only_where_both_say_so() {
    let _watchdog = watchdog();
    let first = UdpServer::builder().reuse_port(true).bind(own_address(), echo()).unwrap();
    let address = first.local_addr();
    let _second = ThreadingUdpServer::builder().reuse_port(true).bind(address, echo()).unwrap();
    assert!(UdpServer::bind(address, echo()).is_err());
}

/// The socket's own settings are what they are; those of the requests apply.
#[test]
fn a_socket_that_exists_is_served_with_the_builders_limits() {
    fn check<D: Dispatch + Default + std::fmt::Debug>() {
        let _watchdog = watchdog();
        // A blocking one, as std makes them.
        let socket = UdpSocket::bind(own_address()).unwrap();
        let address = socket.local_addr().unwrap();
        let builder = Server::<socketserver::udp::UdpListener, D>::builder().max_packet_size(3).answer_limit(1);
        let server = builder.from_listener(socket, echo()).unwrap();
        assert_eq!(server.local_addr(), address);
        let served = Served::new((server, Spot::Udp(address)));
        let client = served.place.client();
        client.send(b"long");
        assert_eq!(client.ask(b"abc"), b"abc");
        assert_eq!(served.handle.stats().dropped, 1);
        let spot = served.place.clone();
        served.stop();
        assert!(spot.is_closed());
    }
    check::<socketserver::server::Sequential>();
    check::<socketserver::server::Threading>();
}

/// Python: `DatagramRequestHandler` in `setup` and `finish`; here the request's id is taken off before, and put in front after.
#[derive(Clone)]
struct Shout(std::sync::mpsc::Sender<usize>);

impl Handler<Datagram> for Shout {
    fn setup(&mut self, request: &mut Datagram) -> HandlerResult {
        Ok(self.0.send(request.data().len())?)
    }

    fn handle(&mut self, request: &mut Datagram) -> HandlerResult {
        let mut text = Vec::new();
        io::Read::read_to_end(request, &mut text)?;
        assert_eq!(text, request.data());
        Ok(request.reply(&text.to_ascii_uppercase())?)
    }
}

#[test]
fn identified_requests_are_answered_with_their_id() {
    let _watchdog = watchdog();
    let (sender, lengths) = channel();
    let served = ThreadingUdpServer::serve(Identified::new(Shout(sender)));
    let Spot::Udp(address) = served.place else { unreachable!() };
    let mut client = UdpClient::connect(address).unwrap();
    for text in ["hello", "", "a longer text"] {
        assert_eq!(client.request_identified(text.as_bytes()).unwrap(), text.to_uppercase().as_bytes());
        assert_eq!(receive(&lengths), text.len());
    }
    // By hand, the bytes are the id's and then the payload's.
    let id = RequestId::from(*b"12345678");
    assert_eq!(served.place.ask(&id.prefix(b"abc")), b"12345678ABC");
    served.stop();
}

#[test]
fn identified_drops_what_is_too_short_for_an_id() {
    let _watchdog = watchdog();
    let (sender, lengths) = channel();
    let served = UdpServer::serve(Identified::new(Shout(sender)));
    let client = served.place.client();
    for length in 0..RequestId::LEN {
        client.send(&vec![b'x'; length]);
        eventually("it is dropped", || served.handle.stats().dropped == length as u64 + 1);
    }
    client.hears_nothing();
    assert_eq!(lengths.try_iter().count(), 0);
    // Eight bytes are an id with an empty request.
    assert_eq!(client.ask(b"12345678"), b"12345678");
    served.expect_accepted(9);
    let stats = served.handle.stats();
    assert_eq!((stats.dropped, stats.handler_errors, stats.panics), (8, 0, 0));
    served.stop();
}

/// The id is a part of the request and of its answers.
#[test]
fn identified_answers_count_with_their_ids() {
    let _watchdog = watchdog();
    let (sender, outcomes) = channel();
    let handler = handler_fn(move |request: &mut Datagram| {
        let outcome = request.reply(&[b'x'; 13]).map_err(|error| error.kind());
        request.reply(b"0123456789ab")?;
        Ok(sender.send(outcome)?)
    });
    let served = UdpServer::serve_as(UdpServer::builder().answer_limit(2), Identified::new(handler));
    // Ten bytes, so twenty: the id and twelve more.
    assert_eq!(served.place.ask(b"12345678ab"), b"123456780123456789ab");
    assert_eq!(receive(&outcomes), Err(io::ErrorKind::PermissionDenied));
    served.stop();
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use socket2::{Domain, SockAddr, Socket, Type};
    use socketserver::{ThreadingUnixDatagramServer, UnixDatagramServer};

    /// Where Python's `sendto(data, None)` is a `TypeError`.
    #[test]
    fn an_answer_to_a_sender_without_a_name_says_why_not() {
        let _watchdog = watchdog();
        let (handle_error, told) = common::failures();
        let served = UnixDatagramServer::serve_as(UnixDatagramServer::builder().handle_error(handle_error), whoami());
        let Spot::Unix(path, _) = &served.place else { unreachable!() };
        let nameless = UnixDatagram::unbound().unwrap();
        nameless.send_to(b"hello", path).unwrap();
        let failure = receive(&told);
        assert!(failure.starts_with("handle of an unnamed socket failed: "), "{failure}");
        assert!(failure.ends_with("has no name that an answer could be sent to (it did not bind)"), "{failure}");
        // Others are none the worse for it.
        let client = served.place.client();
        assert_eq!(client.ask(b""), client.address().to_string().as_bytes());
        served.stop();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn abstract_names_on_both_sides() {
        let _watchdog = watchdog();
        let name = |role: &str| format!("\0socketserver-test-{}-{role}", std::process::id());
        let server = ThreadingUnixDatagramServer::bind(name("server"), whoami()).unwrap();
        assert!(matches!(server.local_addr(), Address::Abstract(bytes) if *bytes == name("server").as_bytes()[1..]));
        let running = server.spawn().unwrap();
        let client = Socket::new(Domain::UNIX, Type::DGRAM, None).unwrap();
        client.bind(&SockAddr::unix(name("client")).unwrap()).unwrap();
        client.connect(&SockAddr::unix(name("server")).unwrap()).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        let answer = Client(client).ask(b"hello");
        assert_eq!(answer, format!("@{}", &name("client")[1..]).as_bytes());
        running.stop().unwrap();
    }

    #[test]
    fn the_mode_is_the_builders_whatever_the_umask() {
        let _watchdog = watchdog();
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [("default", 0o600), ("open", 0o666), ("odd", 0o640)] {
            let path = folder.path().join(name);
            let builder = UnixDatagramServer::builder();
            let builder = if name == "default" { builder } else { builder.mode(mode) };
            let _server = builder.bind(&path, echo()).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, mode, "{name}");
        }
        let error = UnixDatagramServer::builder().mode(0o1000).bind(folder.path().join("x"), echo()).map(drop);
        assert!(matches!(error, Err(Error::InvalidSetting { setting: "mode", .. })), "{error:?}");
    }

    #[test]
    fn a_path_that_is_in_use_is_an_error_that_says_by_whom() {
        let _watchdog = watchdog();
        let folder = tempfile::tempdir().unwrap();
        let bind = |name: &str, stale: bool| {
            UnixDatagramServer::builder().remove_stale(stale).bind(folder.path().join(name), echo())
        };
        let _living = bind("living", false).unwrap();
        drop(UnixDatagram::bind(folder.path().join("dead")).unwrap());
        std::fs::write(folder.path().join("file"), "precious").unwrap();
        for (name, stale, reason) in [
            ("living", false, "another server listens there"),
            ("living", true, "another server listens there"),
            ("dead", false, "remove_stale"),
            ("file", false, "a file that is no socket"),
            ("file", true, "a file that is no socket"),
        ] {
            let error = bind(name, stale).map(drop).unwrap_err();
            assert!(matches!(&error, Error::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse));
            assert!(error.to_string().contains(reason), "{error}");
        }
        let _revived = bind("dead", true).unwrap();
        assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"precious");
    }

    /// Only its own: somebody else may have replaced it.
    #[test]
    fn a_path_that_was_replaced_is_not_unlinked() {
        let _watchdog = watchdog();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let server = UnixDatagramServer::bind(&path, echo()).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another").unwrap();
        drop(server);
        assert!(path.exists());
        // Nor is that of a socket which was made elsewhere.
        let path = folder.path().join("theirs");
        let socket = UnixDatagram::bind(&path).unwrap();
        let running = ThreadingUnixDatagramServer::from_socket(socket, echo()).unwrap().spawn().unwrap();
        let spot = Spot::Unix(path.clone(), std::sync::Arc::new(tempfile::tempdir().unwrap()));
        assert_eq!(spot.ask(b"x"), b"x");
        running.stop().unwrap();
        assert!(path.exists());
    }

    #[test]
    fn a_path_that_is_too_long_is_an_invalid_address() {
        let _watchdog = watchdog();
        for path in ["", &format!("/tmp/{}", "x".repeat(200)), "/tmp/a\0b"] {
            let error = UnixDatagramServer::bind(path, echo()).map(drop);
            assert!(matches!(error, Err(Error::InvalidAddress { .. })), "{path}: {error:?}");
        }
    }

    /// A receiver that does not read: its queue is full, which no event tells of, so it is looked at again.
    #[test]
    fn an_answer_waits_for_room_in_the_receivers_queue() {
        let _watchdog = watchdog();
        const COUNT: u32 = 2000;
        let served = UnixDatagramServer::serve(handler_fn(|request: &mut Datagram| {
            (0..COUNT).try_for_each(|number| request.reply(&number.to_be_bytes()))?;
            Ok(())
        }));
        let client = served.place.client();
        client.send(b"go");
        std::thread::sleep(Duration::from_millis(20));
        for number in 0..COUNT {
            assert_eq!(client.receive(), number.to_be_bytes());
        }
        served.stop();
    }
}
