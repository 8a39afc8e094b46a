//! Bad input: an error that names the thing and the reason; never a panic, never a hang.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::fmt::Debug;
use std::io::{self, BufRead, Write};
use std::net::{IpAddr, Shutdown};
use std::time::Duration;

use common::{echo, failures, pair, read_byte, receive, watchdog, BuilderOf, ComposedKind, Served, StreamKind};
use socketserver::framing::LengthPrefix;
use socketserver::{
    handler_fn, Connection, Datagram, Error, Keepalive, Overload, TcpServer, ThreadingTcpServer, UdpServer,
    UnixStreamServer,
};

every_stream_kind! {
    zero_connections_are_no_server
    a_line_past_its_limit_ends_the_request
    a_frame_past_its_limit_ends_the_request
    bytes_that_are_not_utf_8_end_in_an_error
}

composed_stream_kinds! {
    zero_is_no_timeout
    enormous_settings_are_taken
}

threading_stream_kinds! {
    more_than_8000_connections_are_refused
}

/// The setting, and the whole text.
fn refused<T: Debug>(result: socketserver::Result<T>) -> (&'static str, String) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    match error {
        Error::InvalidSetting { setting, .. } => {
            assert!(text.starts_with(&format!("{setting} cannot be ")), "{text}");
            (setting, text)
        }
        other => panic!("{other:?}"),
    }
}

/// A kind whose bind may fail.
fn bind<K: StreamKind>(builder: BuilderOf<K>) -> socketserver::Result<()> {
    // Settings are looked at before anything is bound, so what is bound does not matter.
    K::try_bind(builder, echo()).map(drop)
}

fn zero_is_no_timeout<K: StreamKind + ComposedKind>() {
    let zero = Duration::ZERO;
    let builders = [
        ("read_timeout", K::builder().read_timeout(zero)),
        ("write_timeout", K::builder().write_timeout(zero)),
        ("request_deadline", K::builder().request_deadline(zero)),
        ("prepare_timeout", K::builder().prepare_timeout(zero)),
        ("service_actions interval", K::builder().service_actions(zero, |_| ())),
    ];
    for (expected, builder) in builders {
        let (setting, text) = refused(bind::<K>(builder));
        assert_eq!(setting, expected);
        assert!(text.contains("cannot be zero: "), "{text}");
    }
    // These mean something: look once, and cut at once.
    bind::<K>(K::builder().timeout(zero).drain_timeout(zero)).unwrap();
}

fn zero_connections_are_no_server<K: StreamKind>() {
    let (setting, text) = refused(bind::<K>(K::builder().max_connections(0)));
    assert_eq!(setting, "max_connections");
    assert!(text.contains("cannot be 0: no request could ever be served"), "{text}");
    assert_eq!(refused(bind::<K>(K::builder().max_per_address(0))).0, "max_per_address");
    if !K::is_threading() {
        let (setting, text) = refused(bind::<K>(K::builder().max_connections(2)));
        assert_eq!(setting, "max_connections");
        assert!(text.contains("cannot be 2: a sequential server serves one at a time"), "{text}");
    }
}

fn more_than_8000_connections_are_refused<K: StreamKind>() {
    let (setting, text) = refused(bind::<K>(K::builder().max_connections(8001)));
    assert_eq!(setting, "max_connections");
    assert!(text.contains("cannot be 8001: more than 8,000 threads"), "{text}");
    refused(bind::<K>(K::builder().max_connections(usize::MAX)));
    bind::<K>(K::builder().max_connections(8000)).unwrap();
}

fn enormous_settings_are_taken<K: StreamKind + ComposedKind>() {
    let long = Duration::MAX;
    let builder = K::builder()
        .read_timeout(long)
        .write_timeout(long)
        .request_deadline(long)
        .prepare_timeout(long)
        .drain_timeout(long)
        .timeout(long)
        .service_actions(long, |_| ())
        .max_line(usize::MAX)
        .max_frame(usize::MAX)
        .write_queue(usize::MAX)
        .max_per_address(usize::MAX);
    let served = Served::new(K::bind(builder, echo()));
    assert_eq!(served.exchange(b"x"), b"x");
    assert!(served.stop().is_clean());
}

/// Runs `read` in a handler, and gives what `handle_error` says of it after the client has sent `bytes` without end.
fn told_after<K: StreamKind>(
    builder: BuilderOf<K>,
    bytes: &'static [u8],
    read: impl Fn(&mut Connection) -> io::Result<()> + Clone + Send + 'static,
) -> String {
    let (handle_error, told) = failures();
    let handler = handler_fn(move |request: &mut Connection| Ok(read(request)?));
    let served = Served::new(K::bind(builder.handle_error(handle_error), handler));
    let mut client = served.connect();
    client.write_all(bytes).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // Closed.
    assert_eq!(read_byte(&mut client), None);
    let failure = receive(&told);
    served.stop();
    failure
}

fn a_line_past_its_limit_ends_the_request<K: StreamKind>() {
    static LONG_LINE: [u8; 100_000] = [b'x'; 100_000];
    let read = |request: &mut Connection| request.read_line(&mut String::new()).map(drop);
    let failure = told_after::<K>(K::builder(), &LONG_LINE, read);
    assert!(
        failure.starts_with("handle of ") && failure.contains("failed: bad data on the connection with "),
        "{failure}"
    );
    assert!(failure.contains("a line is longer than the limit of 65536 bytes"), "{failure}");
    let failure = told_after::<K>(K::builder().max_line(10), b"12345678901\n", read);
    assert!(failure.contains("a line is longer than the limit of 10 bytes"), "{failure}");
}

fn a_frame_past_its_limit_ends_the_request<K: StreamKind>() {
    let read = |request: &mut Connection| request.read_frame(LengthPrefix::U64_BE).map(drop);
    let failure = told_after::<K>(K::builder(), &[0xff; 8], read);
    assert!(
        failure.contains("a frame of 18446744073709551615 bytes is longer than the limit of 1048576 bytes"),
        "{failure}"
    );
    let failure = told_after::<K>(K::builder().max_frame(3), b"\0\0\0\0\0\0\0\x04four", read);
    assert!(failure.contains("a frame of 4 bytes is longer than the limit of 3 bytes"), "{failure}");
    // Without a limit worth the name it ends early, having taken no more memory than has come.
    let failure = told_after::<K>(K::builder().max_frame(1 << 40), b"\0\0\0\xff\0\0\0\0some", read);
    assert!(failure.contains("the stream ended within a frame: 12 bytes of it had arrived"), "{failure}");
}

fn bytes_that_are_not_utf_8_end_in_an_error<K: StreamKind>() {
    let read = |request: &mut Connection| request.read_line(&mut String::new()).map(drop);
    let failure = told_after::<K>(K::builder(), b"caf\xe9\n", read);
    assert!(failure.contains("not UTF-8 from byte 3 of the message on"), "{failure}");
}

fn invalid(result: socketserver::Result<impl Debug>, expected: &str) -> String {
    match result.unwrap_err() {
        Error::InvalidAddress { address, reason } => {
            assert_eq!(address, expected);
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unusable_address_is_named() {
    let _watchdog = watchdog();
    for (address, reason) in [
        ("", "it is empty"),
        ("127.0.0.1", "there is no port"),
        ("127.0.0.1:", "there is no port behind the colon"),
        ("8080", "it is a port without a host"),
        (":8080", "an empty host"),
        ("*:8080", "a host of * is no address"),
        ("127.0.0.1:65536", "port 65536 is above 65535"),
        ("127.0.0.1:-1", "\"-1\" is not a number"),
        ("127.0.0.256:80", "it is no IPv4 address"),
        ("::1:80", "goes in brackets"),
        ("[::1]", "there is no port"),
        ("http://127.0.0.1:80", "slash"),
        ("127.0.0.1:80\n", "white space"),
        ("a\0b:80", "NUL"),
    ] {
        let told = invalid(TcpServer::bind(address, echo()), address);
        assert!(told.contains(reason), "{address:?}: {told}");
        let text = ThreadingTcpServer::bind(address, echo()).unwrap_err().to_string();
        assert!(text.starts_with(&format!("invalid address {address:?}: ")), "{text}");
    }
}

/// The address and the system's reason of an error of `bind`.
fn not_bound(result: socketserver::Result<impl Debug>) -> (String, io::ErrorKind, String) {
    let error = result.unwrap_err();
    let (text, kind) = (error.to_string(), error.kind());
    match error {
        Error::Bind { address, .. } => {
            assert!(text.starts_with(&format!("cannot listen on {address}: ")), "{text}");
            (address, kind, text)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_port_in_use_is_named() {
    let _watchdog = watchdog();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (named, kind, text) = not_bound(ThreadingTcpServer::bind(address.as_str(), echo()));
    assert_eq!((named, kind), (address, io::ErrorKind::AddrInUse));
    assert!(text.ends_with("(does another server run there?)"), "{text}");
}

#[test]
fn an_address_of_another_machine_is_named() {
    let _watchdog = watchdog();
    // Kept for documentation, by RFC 5737.
    let (named, kind, text) = not_bound(TcpServer::bind("192.0.2.1:0", echo()));
    assert_eq!((named.as_str(), kind), ("192.0.2.1:0", io::ErrorKind::AddrNotAvailable));
    assert!(text.ends_with("(no interface of this machine has that address)"), "{text}");
}

#[test]
fn a_privileged_port_is_named() {
    let _watchdog = watchdog();
    match TcpServer::bind("127.0.0.1:1", echo()) {
        // This user may.
        Ok(_) => {}
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            let text = error.to_string();
            assert!(text.starts_with("cannot listen on 127.0.0.1:1: ") && text.contains("below 1024"), "{text}");
        }
    }
}

#[test]
fn a_host_that_does_not_exist_is_named() {
    let _watchdog = watchdog();
    // Never registered, by RFC 6761.
    match TcpServer::bind("no-such-host.invalid:0", echo()).unwrap_err() {
        Error::Resolve { name, .. } => assert!(name.contains("no-such-host.invalid"), "{name}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn dual_stack_on_an_ipv4_address_is_refused() {
    let _watchdog = watchdog();
    let (setting, text) = refused(ThreadingTcpServer::builder().dual_stack(true).bind("127.0.0.1:0", echo()));
    assert_eq!(setting, "dual_stack");
    assert!(text.contains("127.0.0.1:0") && text.contains("bind to [::] for all interfaces"), "{text}");
}

#[test]
#[cfg(unix)]
fn a_unix_path_that_cannot_be_is_named() {
    use socketserver::UnixStreamServer;
    let _watchdog = watchdog();
    let folder = tempfile::tempdir().unwrap();

    let long = folder.path().join("x".repeat(120));
    let reason = invalid(UnixStreamServer::bind(&long, echo()), &long.display().to_string());
    assert!(reason.contains("at most 10") && reason.contains(&format!("has {}", long.as_os_str().len())), "{reason}");
    assert!(invalid(UnixStreamServer::bind("", echo()), "").contains("needs a path"));
    assert!(invalid(UnixStreamServer::bind("a\0b", echo()), "a\0b").contains("NUL"));

    let nowhere = folder.path().join("no/such/folder");
    let (named, kind, text) = not_bound(UnixStreamServer::bind(&nowhere, echo()));
    assert_eq!((named, kind), (nowhere.display().to_string(), io::ErrorKind::NotFound));
    assert!(text.ends_with("(does the folder exist?)"), "{text}");

    let taken = folder.path().join("taken");
    std::fs::write(&taken, "precious").unwrap();
    let (named, kind, _) = not_bound(UnixStreamServer::bind(&taken, echo()));
    assert_eq!((named, kind), (taken.display().to_string(), io::ErrorKind::AddrInUse));
    assert_eq!(std::fs::read(&taken).unwrap(), b"precious");
}

#[test]
fn a_zero_timeout_of_a_connection_is_refused_and_changes_nothing() {
    let _watchdog = watchdog();
    let (mut connection, _peer) = pair();
    let zero = Duration::ZERO;
    assert_eq!(refused(connection.set_read_timeout(zero)).0, "read_timeout");
    assert_eq!(refused(connection.set_write_timeout(zero)).0, "write_timeout");
    assert_eq!(refused(connection.set_deadline(zero)).0, "deadline");
    assert_eq!(connection.read_timeout(), Some(Duration::from_secs(60)));
    assert_eq!(connection.write_timeout(), Some(Duration::from_secs(30)));
    assert_eq!(connection.deadline(), None);
}

/// What no system can do, or what nobody can mean.
#[test]
fn settings_that_cannot_be_are_refused() {
    let _watchdog = watchdog();
    let builder = ThreadingTcpServer::builder;
    let hour = Duration::from_secs(3600);
    for (name, builder) in [
        ("stack_size", builder().stack_size(usize::MAX)),
        ("overload", builder().overload(Overload::Reject(&[b'x'; 5000]))),
        ("max_line", builder().max_line(0)),
        ("max_frame", builder().max_frame(0)),
        ("write_queue", builder().write_queue(0)),
        ("keepalive", builder().keepalive(Keepalive::new(10 * hour))),
        ("keepalive", builder().keepalive(Keepalive::new(hour).interval(10 * hour))),
        ("keepalive", builder().keepalive(Keepalive::new(hour).retries(200))),
    ] {
        let error = builder.bind("127.0.0.1:0", echo()).unwrap_err();
        assert!(matches!(&error, Error::InvalidSetting { setting, .. } if *setting == name), "{error:?}");
        assert!(error.to_string().starts_with(&format!("{name} cannot be ")), "{error}");
    }
    for group in ["127.0.0.1", "0.0.0.0", "::1"].map(|group| group.parse::<IpAddr>().unwrap()) {
        let (setting, text) = refused(UdpServer::builder().multicast(group).bind("127.0.0.1:0", echo::<Datagram>()));
        assert_eq!(setting, "multicast");
        assert!(text.contains(&format!("{group}: a group's address is in 224.0.0.0/4")), "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    // 660 in decimal is 0o1224.
    let error = UnixStreamServer::builder().mode(660).bind(folder.path().join("s"), echo()).unwrap_err();
    assert!(error.to_string().contains("octal"), "{error}");
}

/// Each of the three says what it is.
#[test]
fn a_unix_path_in_use_says_by_what() {
    let _watchdog = watchdog();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let said = || UnixStreamServer::bind(&path, echo()).unwrap_err().to_string();
    std::fs::write(&path, "").unwrap();
    assert!(said().contains("no socket"), "{}", said());
    std::fs::remove_file(&path).unwrap();
    let live = UnixStreamServer::bind(&path, echo()).unwrap();
    assert!(said().contains("another server"), "{}", said());
    drop(live);
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(said().contains("remove_stale"), "{}", said());
}
