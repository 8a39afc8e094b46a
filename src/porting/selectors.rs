//! Python's `selectors`, word by word, and `select.select`.
//!
//! What is different everywhere stands [one page up](super#what-is-different-everywhere). Here it is this:
//!
//! * **[`Selector`] owns what it watches.** [`register`](Selector::register) takes the socket and gives a [`Key`];
//!   [`get_mut`](Selector::get_mut) lends it, [`unregister`](Selector::unregister) gives it back, [`remove`](Selector::remove) closes it. So
//!   a number that the system gives to a newcomer is never taken for the old socket.
//! * **Level-triggered over an edge-triggered poller.** As in Python, whatever is still ready is reported by every `select`. mio below
//!   reports changes only, so each source that was reported is registered anew before the next wait, at the cost of a system call.
//! * **Sockets are mio's**, which are non-blocking from the start: [`mio::net`](https://docs.rs/mio/1/mio/net/index.html). Both mio and [`Interest`](https://docs.rs/mio/1/mio/struct.Interest.html) are re-exported by this crate.
//! * **Timers and wake-ups are part of it**, so no timeout has to be computed and no socket pair kept.
//!
//! # `selectors`
//! | Python | here | differences |
//! |---|---|---|
//! | `DefaultSelector()`, `BaseSelector` | [`Selector::new`] | |
//! | `SelectSelector`, `PollSelector`, `EpollSelector`, `DevpollSelector`, `KqueueSelector` | [`Selector`], on what the system has | no limit on the number of descriptors |
//! | `EVENT_READ`, `EVENT_WRITE` | [`Interest::READABLE`](https://docs.rs/mio/1/mio/struct.Interest.html#associatedconstant.READABLE), [`Interest::WRITABLE`](https://docs.rs/mio/1/mio/struct.Interest.html#associatedconstant.WRITABLE) | |
//! | `EVENT_READ \| EVENT_WRITE` | `Interest::READABLE \| Interest::WRITABLE` | |
//! | `register(fileobj, events, data)` | [`Selector::register`] | data is of one type, `()` if you need none |
//! | `unregister(fileobj)` | [`Selector::unregister`] with the socket's type, or [`Selector::remove`] | |
//! | `modify(fileobj, events, data)` | [`Selector::modify`]; the data by [`Selector::data_mut`] | where it fails, the source stays registered as it was |
//! | `events=0` | none: `unregister`, and `register` again later | |
//! | `select(timeout)` | [`Selector::select`] | the timeout is an `Option<Duration>`; a list of [`Ready`], detached: register and unregister freely while going through it |
//! | `for key, mask in …` | `for ready in …`: [`Ready::key`], [`Ready::is_readable`], [`Ready::is_writable`] | errors and hang-ups are readiness, as in Python |
//! | `SelectorKey.fileobj` | [`Selector::get`], [`Selector::get_mut`] with the socket's type | `None` where the key names another type |
//! | `SelectorKey.data` | [`Selector::data`], [`Selector::data_mut`]; socket and data at once by [`Selector::entry_mut`] | where Python's data is a callback, an enum of yours and a `match` |
//! | `SelectorKey.events` | [`Selector::interest`] | |
//! | `SelectorKey.fd`, `fileno()` | none | |
//! | `get_key(fileobj)` | the [`Key`], which is `Copy`, with the methods above | |
//! | `get_map()` | [`Selector::iter`], [`Selector::len`] | timers are in it too |
//! | `close()`, `with` | [`Selector::close`], or dropping it | closes what is registered, which Python does not |
//! | `register(sys.stdin, …)`, a file descriptor | whatever implements [`mio::event::Source`](https://docs.rs/mio/1/mio/event/trait.Source.html) and owns its descriptor | for standard input, a thread that reads it and a [waker](Selector::waker) |
//! | `sock.setblocking(False)` | nothing to do for mio's sockets | one of std's: `set_nonblocking(true)`, then `TcpStream::from_std` |
//! | a socket pair or pipe to end the wait | [`Selector::waker`], which is `Clone + Send`; [`Selector::was_woken`] | |
//! | a deadline of one's own, `timeout=deadline - time.monotonic()` | [`Selector::set_timer`], [`Selector::set_interval`] | reported like a socket: [`Ready::is_timer`] |
//!
//! # `select`, `poll`, `epoll`
//! | Python | here |
//! |---|---|
//! | `select.select(inputs, outputs, [], timeout)` | each socket registered once, with its [`Interest`](https://docs.rs/mio/1/mio/struct.Interest.html); then [`Selector::select`] |
//! | `select.select([], [sock], [], 5.0)` after a non-blocking connect | [`tcp::connect_nonblocking`], a [timer](Selector::set_timer), [`tcp::connect_outcome`] |
//! | the list of exceptional conditions | none: errors are readiness; urgent data is `Interest::PRIORITY`, on Linux, and reported as readable |
//! | `time.sleep`, `select.select([], [], [], t)` | [`Selector::select`] of an empty selector waits, too |
//! | `select.poll()`, `select.epoll()`, `select.kqueue()` | [`Selector`] |
//! | `POLLIN`, `POLLOUT`, `EPOLLIN`, `EPOLLOUT` | [`Interest::READABLE`](https://docs.rs/mio/1/mio/struct.Interest.html#associatedconstant.READABLE), [`Interest::WRITABLE`](https://docs.rs/mio/1/mio/struct.Interest.html#associatedconstant.WRITABLE) |
//! | `POLLHUP`, `POLLERR`, `EPOLLRDHUP` | readiness; the next read or write says which |
//! | `EPOLLET` | [`mio::Poll`](https://docs.rs/mio/1/mio/struct.Poll.html) itself, without a [`Selector`] |
//! | `EPOLLONESHOT`, `EPOLLEXCLUSIVE` | none |
//!
//! # A select loop
//! An echo. A client is not read while something waits to be sent to it, so that one who does not read his answers cannot fill the
//! memory. In both programs an error of one client ends the loop; in a server it should end that client.
//!
//! ```python
//! selector = selectors.DefaultSelector()
//! listener = socket.create_server(("127.0.0.1", 10000))
//! listener.setblocking(False)
//! selector.register(listener, selectors.EVENT_READ)
//!
//! while True:
//!     for key, mask in selector.select(timeout=1):
//!         client, unsent = key.fileobj, key.data
//!         if client is listener:
//!             client, _ = listener.accept()
//!             client.setblocking(False)
//!             selector.register(client, selectors.EVENT_READ, bytearray())
//!         elif mask & selectors.EVENT_READ:
//!             data = client.recv(4096)
//!             if data:
//!                 unsent += data
//!                 selector.modify(client, selectors.EVENT_WRITE, unsent)
//!             else:
//!                 selector.unregister(client)
//!                 client.close()
//!         else:
//!             del unsent[:client.send(unsent)]
//!             if not unsent:
//!                 selector.modify(client, selectors.EVENT_READ, unsent)
//! ```
//!
//! ```
//! use socketserver::mio::net::{TcpListener, TcpStream};
//! use socketserver::mio::Interest;
//! use socketserver::reactor::Selector;
//! use socketserver::tcp;
//! use std::io::{Read, Write};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut selector = Selector::new()?;
//! let listener = tcp::listen("127.0.0.1:0")?;
//! # let address = listener.local_addr()?;
//! # let client = std::thread::spawn(move || -> std::io::Result<String> {
//! #     let mut client = std::net::TcpStream::connect(address)?;
//! #     client.write_all("안녕하세요".as_bytes())?;
//! #     client.shutdown(std::net::Shutdown::Write)?;
//! #     let mut answer = String::new();
//! #     client.read_to_string(&mut answer)?;
//! #     Ok(answer)
//! # });
//! selector.register(listener, Interest::READABLE, Vec::new())?;
//!
//! # let mut gone = false;
//! loop {
//!     for ready in selector.select(Some(Duration::from_secs(1)))? {
//!         let key = ready.key();
//!         if let Some(listener) = selector.get::<TcpListener>(key) {
//!             let (client, _) = listener.accept()?;
//!             selector.register(client, Interest::READABLE, Vec::new())?;
//!         } else if let Some((client, unsent)) = selector.entry_mut::<TcpStream>(key) {
//!             if ready.is_readable() {
//!                 let mut buffer = [0; 4096];
//!                 let count = client.read(&mut buffer)?;
//!                 if count > 0 {
//!                     unsent.extend_from_slice(&buffer[..count]);
//!                     selector.modify(key, Interest::WRITABLE)?;
//!                 } else {
//!                     selector.remove(key)?;
//! #                   gone = true;
//!                 }
//!             } else {
//!                 let count = client.write(unsent)?;
//!                 unsent.drain(..count);
//!                 if unsent.is_empty() {
//!                     selector.modify(key, Interest::READABLE)?;
//!                 }
//!             }
//!         }
//!     }
//! #   if gone { break; }
//! }
//! # assert_eq!(client.join().unwrap()?, "안녕하세요");
//! # Ok(()) }
//! ```

#![doc(alias(
    "DefaultSelector",
    "BaseSelector",
    "SelectSelector",
    "PollSelector",
    "EpollSelector",
    "DevpollSelector",
    "KqueueSelector",
    "SelectorKey",
    "EVENT_READ",
    "EVENT_WRITE",
    "get_key",
    "get_map",
    "fileobj",
    "poll",
    "epoll",
    "kqueue",
    "EPOLLET"
))]

#[allow(unused_imports)] // for the documentation
use crate::reactor::{Key, Ready, Selector};
#[allow(unused_imports)] // for the documentation
use crate::tcp;
