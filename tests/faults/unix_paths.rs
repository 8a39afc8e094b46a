//! T18: paths of Unix sockets, stale, taken, replaced, and fought over.

use std::fs::{self, File};
use std::io::{self, BufRead};
use std::os::unix::fs::{symlink, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::sys::stat::{umask, Mode};
use socketserver::server::Running;
use socketserver::{Address, Error, ReactorUnixServer, ThreadingUnixStreamServer};

use crate::child::tell;
use crate::client::Client;
use crate::harness::{count, eventually, Watchdog};
use crate::parent::Child;
use crate::reactor_talk::EventTalk;
use crate::talk::Talk;

const LIMIT: Duration = Duration::from_secs(10);

fn bind(path: &Path, remove_stale: bool) -> socketserver::Result<Running<Address>> {
    ThreadingUnixStreamServer::builder().remove_stale(remove_stale).bind(path, Talk)?.spawn()
}

/// What a server that was killed leaves behind.
fn leave_stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    wait_until_stale(path);
}

/// A process that another test is just starting holds all of this process's descriptors until it runs its own program.
fn wait_until_stale(path: &Path) {
    eventually(LIMIT, "nobody listens any more", || {
        UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    });
}

#[track_caller]
fn expect_in_use(result: socketserver::Result<Running<Address>>, path: &Path) {
    match result {
        Err(Error::Bind { address, source }) => {
            assert_eq!((address, source.kind()), (path.display().to_string(), io::ErrorKind::AddrInUse));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn t18_a_stale_socket_is_removed_only_when_asked() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    leave_stale(&path);
    expect_in_use(bind(&path, false), &path);
    let running = bind(&path, true).unwrap();
    Client::unix(&path).ping();
    running.stop().unwrap();
    assert!(!path.exists());
}

#[test]
fn t18_a_server_that_lives_is_not_displaced() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let running = bind(&path, true).unwrap();
    for remove_stale in [true, false] {
        expect_in_use(bind(&path, remove_stale), &path);
        Client::unix(&path).ping();
    }
    drop(running);
    // Bound, and not yet listening on behalf of a server: one of std's listens at once.
    let other = UnixListener::bind(&path).unwrap();
    expect_in_use(bind(&path, true), &path);
    drop(other);
    wait_until_stale(&path);
    let _running = bind(&path, true).unwrap();
}

#[test]
fn t18_what_is_no_socket_is_left_alone() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    fs::write(&path, "precious").unwrap();
    expect_in_use(bind(&path, true), &path);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();

    // A link, to a file and to a stale socket and to nothing.
    let (file, stale, nothing) =
        (folder.path().join("file"), folder.path().join("stale"), folder.path().join("nothing"));
    fs::write(&file, "precious").unwrap();
    leave_stale(&stale);
    for target in [&file, &stale, &nothing] {
        symlink(target, &path).unwrap();
        expect_in_use(bind(&path, true), &path);
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(fs::metadata(&stale).unwrap().file_type().is_socket());
    assert!(!nothing.exists());

    fs::create_dir(&path).unwrap();
    expect_in_use(bind(&path, true), &path);
    assert!(path.is_dir());
}

#[test]
fn t18_only_the_servers_own_file_is_unlinked() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    // Replaced by a file, by another server's socket, by nothing; and moved away.
    let running = bind(&path, false).unwrap();
    fs::remove_file(&path).unwrap();
    File::create(&path).unwrap();
    drop(running);
    assert!(path.exists());
    fs::remove_file(&path).unwrap();

    for _ in 0..count(20, 200) {
        let first = bind(&path, false).unwrap();
        fs::remove_file(&path).unwrap();
        let second = bind(&path, false).unwrap();
        drop(first);
        Client::unix(&path).ping();
        drop(second);
        assert!(!path.exists());
    }

    let running = bind(&path, false).unwrap();
    fs::remove_file(&path).unwrap();
    running.stop().unwrap();

    let running = bind(&path, false).unwrap();
    let moved = folder.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    running.stop().unwrap();
    assert!(moved.exists());
}

#[test]
fn t18_a_path_that_is_too_long_is_refused_and_the_longest_is_not() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let fill = 107 - folder.path().as_os_str().len() - 1;
    let longest = folder.path().join("x".repeat(fill));
    for remove_stale in [true, false] {
        let running = bind(&longest, remove_stale).unwrap();
        Client::unix(&longest).ping();
        drop(running);
        assert!(!longest.exists());
        match bind(&folder.path().join("x".repeat(fill + 1)), remove_stale) {
            Err(Error::InvalidAddress { reason, .. }) => assert!(reason.contains("107"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn t18_the_mode_is_the_one_asked_for_whatever_the_umask() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    for (role, mask) in [("binder", "000"), ("binder", "022"), ("binder", "777"), ("binder kind=reactor", "022")] {
        let mut child = Child::start(role);
        assert_eq!(child.ask(&format!("umask {mask}")), "done");
        for mode in ["600", "660", "666", "700", "777"] {
            assert_eq!(child.ask(&format!("bind {mode} {}", path.display())), "bound");
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(format!("{found:o}"), mode, "under umask {mask}");
            Client::unix(&path).ping();
            assert_eq!(child.ask("drop"), "done");
            assert!(!path.exists());
        }
    }
}

#[test]
fn t18_of_two_servers_that_start_on_a_stale_path_exactly_one_has_it() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut binders = [Child::start("binder"), Child::start("binder kind=reactor")];
    for round in 0..count(100, 1000) {
        if round % 2 == 0 {
            leave_stale(&path);
        }
        let bind = format!("bind 600 {}", path.display());
        binders.iter_mut().for_each(|binder| binder.tell(&bind));
        let mut answers = [binders[0].answer(), binders[1].answer()];
        Client::unix(&path).ping();
        answers.sort();
        assert_eq!(answers, ["bound", "in use"], "round {round}");
        binders.iter_mut().for_each(|binder| binder.tell("drop"));
        binders.iter_mut().for_each(|binder| assert_eq!(binder.answer(), "done"));
        assert!(!path.exists(), "round {round}");
    }
}

#[test]
fn t18_a_server_that_closes_takes_no_successors_path_away() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let bind = format!("bind 600 {}", path.display());
    let mut binders = [Child::start("binder kind=reactor"), Child::start("binder kind=reactor")];
    let mut met = 0;
    assert_eq!(binders[0].ask(&bind), "bound");
    for round in 0..count(500, 10_000) {
        let (old, new) = (round % 2, (round + 1) % 2);
        // At the same moment, in this order or that.
        binders[old].tell("drop");
        binders[new].tell(&bind);
        assert_eq!(binders[old].answer(), "done");
        if binders[new].answer() == "bound" {
            met += 1;
        } else {
            assert_eq!(binders[new].ask(&bind), "bound");
        }
        assert!(path.exists(), "round {round}");
        let inode = fs::metadata(&path).unwrap().ino();
        assert!(UnixStream::connect(&path).is_ok(), "round {round}, inode {inode}");
    }
    assert!(met > 0, "the two never met: the test tests nothing");
}

/// In a child: binds and drops servers as it is told to.
pub(crate) fn binder(kind: Option<&str>) {
    let nowhere = std::env::temp_dir().join("no-server");
    tell(format_args!("{} {}", std::process::id(), nowhere.display()));
    let mut running = None;
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        match words[..] {
            ["umask", mask] => {
                umask(Mode::from_bits_truncate(u32::from_str_radix(mask, 8).unwrap()));
                tell("done");
            }
            ["bind", mode, path] => {
                let mode = u32::from_str_radix(mode, 8).unwrap();
                let bound = match kind {
                    Some("reactor") => {
                        let builder = ReactorUnixServer::builder().remove_stale(true).mode(mode);
                        builder.bind(path, EventTalk::default()).and_then(|server| server.spawn())
                    }
                    _ => {
                        let builder = ThreadingUnixStreamServer::builder().remove_stale(true).mode(mode);
                        builder.bind(path, Talk).and_then(|server| server.spawn())
                    }
                };
                match bound {
                    Ok(server) => {
                        running = Some(server);
                        tell("bound");
                    }
                    Err(Error::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => tell("in use"),
                    Err(error) => tell(error),
                }
            }
            ["drop"] => {
                drop(running.take());
                tell("done");
            }
            _ => panic!("{line}"),
        }
    }
}
