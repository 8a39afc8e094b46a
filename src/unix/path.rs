//! Binding a Unix socket to a path, and taking the path away again: only ever one's own.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::{Error, Result};
use crate::socket_listener::BindOptions;

/// The longest path a Unix socket can have, in bytes: what is left of 108 after a NUL (unix(7)); 104 on the BSDs.
const MAX_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// Binds a socket of that type to a path, and makes a listener of it.
///
/// `finish` is what makes it one, such as `listen`; a path that is to be replaced where it is stale is locked until then, when it can be
/// told from a stale one.
pub(crate) fn bind_path<T>(
    path: &Path,
    kind: Type,
    options: &BindOptions,
    finish: impl FnOnce(Socket, Option<BoundPath>) -> io::Result<T>,
) -> Result<T> {
    check_path(path)?;
    let bind = || {
        let socket = Socket::new(Domain::UNIX, kind, None)?;
        if path.as_os_str().as_bytes().first() == Some(&0) {
            socket.bind(&SockAddr::unix(path)?)?;
            return finish(socket, None);
        }
        let lock = if options.remove_stale { PathLock::take(path)? } else { None };
        if lock.is_some() {
            remove_stale(path)?;
        }
        let (socket, bound) = BoundPath::bind(socket, path, options.mode)?;
        finish(socket, Some(bound))
    };
    bind().map_err(|source| {
        let source = match source.kind() {
            io::ErrorKind::AddrInUse => io::Error::new(source.kind(), in_use(path)),
            _ => source,
        };
        Error::Bind { address: path.display().to_string(), source }
    })
}

fn check_path(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_bytes();
    let reason = match bytes {
        [] => "a Unix socket needs a path".to_owned(),
        // Linux's abstract names may contain anything.
        [0, ..] if cfg!(any(target_os = "linux", target_os = "android")) => return Ok(()),
        _ if bytes.contains(&0) => "a path cannot contain a NUL".to_owned(),
        _ if bytes.len() > MAX_PATH => {
            format!("the path of a Unix socket has at most {MAX_PATH} bytes, this one has {}", bytes.len())
        }
        _ => return Ok(()),
    };
    Err(Error::InvalidAddress { address: path.display().to_string(), reason })
}

/// A path that this process has bound, unlinked on drop if it is still the same file.
#[derive(Debug)]
pub(crate) struct BoundPath {
    path: PathBuf,
    identity: Identity,
}

/// What tells one file from another that has taken its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of the file itself, not of what a symbolic link leads to.
    fn of(path: &Path) -> io::Result<(Self, fs::Metadata)> {
        let metadata = fs::symlink_metadata(path)?;
        Ok((Identity { device: metadata.dev(), inode: metadata.ino() }, metadata))
    }
}

impl BoundPath {
    /// Binds `socket` to `path`, with that mode from the first moment.
    fn bind(socket: Socket, path: &Path, mode: u32) -> io::Result<(Socket, BoundPath)> {
        // The program may change its working directory before the path is to be unlinked.
        let absolute = if path.is_absolute() { path.to_path_buf() } else { std::env::current_dir()?.join(path) };
        // On Linux the file that bind makes has the mode of the socket's descriptor, less the umask, so nobody can get in between.
        let descriptor = File::from(OwnedFd::from(socket));
        let set = descriptor.set_permissions(Permissions::from_mode(mode));
        if cfg!(any(target_os = "linux", target_os = "android")) {
            set?;
        }
        let socket = Socket::from(OwnedFd::from(descriptor));
        socket.bind(&SockAddr::unix(path)?)?;
        let (identity, metadata) = Identity::of(&absolute)?;
        let bound = BoundPath { path: absolute, identity };
        if metadata.mode() & 0o7777 != mode {
            // The umask took something away, or the system does not work as above. Nobody can connect before `listen`.
            fs::set_permissions(&bound.path, Permissions::from_mode(mode))?;
        }
        Ok((socket, bound))
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        match Identity::of(&self.path) {
            Ok((identity, _)) if identity == self.identity => {
                if let Err(error) = fs::remove_file(&self.path) {
                    log::warn!("cannot remove the Unix socket {}: {error}", self.path.display());
                }
            }
            // Somebody has removed it, or made another of that name.
            _ => {}
        }
    }
}

/// Removes a socket that nobody listens on, left behind by a server that was killed. Does nothing about any other file, and
/// nothing if there is none: `bind` will say what is wrong.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok((identity, metadata)) = Identity::of(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() || !is_ours(&metadata) || !is_deserted(path)? {
        return Ok(());
    }
    // Still that very file? What can happen from here on is kept away by the lock.
    match Identity::of(path) {
        Ok((now, _)) if now == identity => fs::remove_file(path),
        _ => Ok(()),
    }
}

/// Why a path is in use.
fn in_use(path: &Path) -> &'static str {
    match Identity::of(path) {
        Ok((_, metadata)) if !metadata.file_type().is_socket() => "there is a file that is no socket",
        Ok(_) if is_deserted(path).unwrap_or(false) => {
            "a server that was killed has left its socket there (`remove_stale` removes it)"
        }
        _ => "another server listens there",
    }
}

/// Whether nobody listens on a socket.
fn is_deserted(path: &Path) -> io::Result<bool> {
    // Without waiting: a server whose queue is full lives too.
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    // Anything but a refusal means that somebody is there, or may be: a full queue, a file one may not open, a datagram socket. One that
    // nobody holds refuses whatever its type was.
    Ok(matches!(probe.connect(&SockAddr::unix(path)?), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused))
}

/// Whether the file is this user's. Where that cannot be found out, the folder's permissions decide alone.
fn is_ours(file: &fs::Metadata) -> bool {
    fs::metadata("/proc/self").map_or(true, |process| process.uid() == file.uid())
}

/// Held while a stale socket is looked at, removed and bound anew. Without it, of two servers that start at once one could
/// remove the other's fresh socket, which refuses connections until it listens.
///
/// The lock is a socket of its own, bound to an abstract name made of the folder's identity and the file's name: the kernel
/// gives it back when the process ends, however it ends, and no file is left behind. Only Linux has such names; elsewhere
/// there is no lock, and servers that share a path must not be started at the same moment.
#[derive(Debug)]
struct PathLock {
    #[allow(dead_code)] // held for its drop
    socket: Option<Socket>,
}

impl PathLock {
    /// Waits for the lock, for a time: whoever has it is between two system calls. `None` when that does not help, as where
    /// somebody holds the name to be a nuisance; then nothing may be removed.
    fn take(path: &Path) -> io::Result<Option<PathLock>> {
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            return Ok(Some(PathLock { socket: None }));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = fs::metadata(folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // At most 107 bytes fit; a file name may be longer than what is left.
        let mut key = format!("\0socketserver-path-{:x}-{:x}-{name}", folder.dev(), folder.ino());
        while key.len() > 100 {
            key.pop();
        }
        let address = SockAddr::unix(&key)?;
        for _ in 0..500 {
            let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
            match socket.bind(&address) {
                Ok(()) => return Ok(Some(PathLock { socket: Some(socket) })),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                Err(error) => return Err(error),
            }
        }
        log::warn!("another server has been starting on {} for a second, so nothing is removed there", path.display());
        Ok(None)
    }
}
