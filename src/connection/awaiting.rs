//! The wait for a next request.

use std::io::{self, BufRead};
use std::time::Duration;

use super::Connection;
use crate::clock;
use crate::error::Error;

/// How long a stopping server's handler looks whether a next request has come: as short a wait as there is.
const GLANCE: Duration = Duration::from_millis(1);

impl Connection {
    /// Waits until a request has begun: `true`; a part of it may still have to come. `false` when there will be none: the peer has ended, or the server
    /// is stopping and nothing has come.
    ///
    /// That is how a handler with one request after another on its connection lets a stop pass. One that waits in
    /// [`read_line`](BufRead::read_line) or another read for the next request has the stop wait for its peer, up to the `drain_timeout`, and then be
    /// cut, because nobody knows whether half a request has come. Python's `rfile.readline()` in a loop is joined at the close, however long that
    /// takes.
    ///
    /// ```
    /// use std::io::{BufRead, Write};
    /// use std::time::Duration;
    /// use socketserver::{Connection, HandlerResult};
    ///
    /// fn handle(request: &mut Connection) -> HandlerResult {
    ///     while request.await_request()? {
    ///         // From its first byte to the end of the answer.
    ///         request.set_deadline(Duration::from_secs(5))?;
    ///         let mut line = String::new();
    ///         request.read_line(&mut line)?;
    ///         request.write_all(line.as_bytes())?;
    ///         // The pause is limited by the read timeout.
    ///         request.set_deadline(None)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// A stop lets go at once whoever has waited for a second or more, and the others when they have: as every close does, it gives the peer a second
    /// from the last answer on, in which he may still be reading it. Of a request whose first bytes come in the very moment that it ends, what comes
    /// later is not read, and the read says [`Error::Cut`]: a client that keeps a connection open must be ready for its end wherever it has
    /// nothing under way. (With [`block_on_close(false)`](crate::server::Builder::block_on_close), nobody comes back for the others.)
    ///
    /// What a decoder or a buffer of your own holds of a request is not known here. Ask before whether it is empty
    /// ([`Decoder::buffered`](crate::framing::Decoder::buffered)).
    ///
    /// # Errors
    /// Those of reading, a timeout among them.
    pub fn await_request(&mut self) -> io::Result<bool> {
        if self.has_input() || self.input.unfinished > 0 {
            return Ok(true);
        }
        self.shared.pause.begin(clock::micros());
        let stopping = self.context.server().is_shutting_down();
        let usual = self.read_timeout;
        if stopping {
            // What has come is served to its end.
            self.shared.pause.end();
            self.read_timeout = Some(GLANCE);
        }
        let result = self.fill_buf().map(|available| !available.is_empty());
        self.read_timeout = usual;
        self.shared.pause.end();
        match result {
            Err(error) if stopping && error.kind() == io::ErrorKind::TimedOut => Ok(false),
            Err(error) if self.shared.pause.is_dismissed() && is_cut(&error) && !self.shared.is_cut() => Ok(false),
            result => result,
        }
    }
}

fn is_cut(error: &io::Error) -> bool {
    matches!(Error::of(error), Some(Error::Cut { .. }))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::sync::mpsc::{channel, Receiver, Sender};
    use std::sync::{Arc, Mutex};

    use super::super::pause::Pause;
    use super::*;
    use crate::control::{Cut, LINGER};
    use crate::stream::{Stream, Wait};
    use crate::Address;

    /// Says that it is being read, and waits for the end of its reading.
    #[derive(Debug)]
    struct Silent {
        read: Sender<()>,
        end: Sender<Shutdown>,
        ended: Mutex<Receiver<Shutdown>>,
        /// What its reading ends with.
        result: fn(Shutdown) -> io::Result<usize>,
    }

    impl Stream for Silent {
        fn read(&self, _: &mut [u8], _: Wait) -> io::Result<usize> {
            let _ = self.read.send(());
            (self.result)(self.ended.lock().unwrap().recv().unwrap())
        }

        fn write(&self, buf: &[u8], _: Wait) -> io::Result<usize> {
            Ok(buf.len())
        }

        fn shutdown(&self, how: Shutdown) -> io::Result<()> {
            self.end.send(how).map_err(io::Error::other)
        }
    }

    fn silent(result: fn(Shutdown) -> io::Result<usize>) -> (Connection, Arc<Silent>, Receiver<()>) {
        let ((read, reads), (end, ended)) = (channel(), channel());
        let stream = Arc::new(Silent { read, end, ended: Mutex::new(ended), result });
        let under: Arc<dyn Stream> = Arc::<Silent>::clone(&stream);
        (Connection::from_stream(under, Address::Unnamed), stream, reads)
    }

    /// A stop that comes when the wait has lasted for long enough.
    fn dismiss_late(request: &dyn Cut) {
        std::thread::sleep(LINGER);
        request.dismiss();
    }

    #[test]
    fn a_stop_ends_the_wait_and_what_is_read_after_it_is_cut() {
        let (mut connection, stream, reads) = silent(|_| Ok(0));
        let request = connection.cut_target().upgrade().unwrap();
        let handler = std::thread::spawn(move || {
            assert!(!connection.await_request().unwrap());
            for size in [1, 10_000] {
                // Its own end, of which the stream says that it is one, must not look like the peer's.
                stream.end.send(Shutdown::Read).unwrap();
                let error = connection.read(&mut vec![0; size]).unwrap_err();
                assert!(matches!(Error::of(&error), Some(Error::Cut { .. })), "{error:?}");
            }
            stream.end.send(Shutdown::Read).unwrap();
            assert!(!connection.await_request().unwrap());
            connection.write_all(b"goodbye").unwrap();
        });
        reads.recv().unwrap();
        dismiss_late(&*request);
        handler.join().unwrap();
    }

    #[test]
    fn whoever_reads_or_has_not_waited_for_long_is_not_disturbed() {
        for awaits in [false, true] {
            let (mut connection, stream, reads) = silent(|how| match how {
                Shutdown::Write => Err(io::ErrorKind::NotConnected.into()),
                _ => Ok(0),
            });
            let request = connection.cut_target().upgrade().unwrap();
            let handler = std::thread::spawn(move || match awaits {
                true => connection.await_request().map(usize::from),
                false => connection.read(&mut [0]),
            });
            reads.recv().unwrap();
            match awaits {
                true => request.dismiss(),
                false => dismiss_late(&*request),
            }
            // It would come after the stop's own.
            stream.end.send(Shutdown::Write).unwrap();
            assert_eq!(handler.join().unwrap().unwrap_err().kind(), io::ErrorKind::NotConnected);
        }
    }

    #[test]
    fn a_failure_is_told_unless_the_stop_has_made_it() {
        for dismissed in [false, true] {
            let (mut connection, stream, reads) = silent(|_| Err(io::ErrorKind::UnexpectedEof.into()));
            let request = connection.cut_target().upgrade().unwrap();
            let handler = std::thread::spawn(move || (connection.await_request(), connection));
            reads.recv().unwrap();
            match dismissed {
                true => dismiss_late(&*request),
                false => stream.end.send(Shutdown::Read).unwrap(),
            }
            let (result, mut connection) = handler.join().unwrap();
            stream.end.send(Shutdown::Read).unwrap();
            let error = connection.read(&mut [0]).unwrap_err();
            match dismissed {
                true => assert!(!result.unwrap() && is_cut(&error)),
                false => assert_eq!([result.unwrap_err().kind(), error.kind()], [io::ErrorKind::UnexpectedEof; 2]),
            }
        }
    }

    #[test]
    fn a_cut_is_no_end() {
        let (mut connection, _stream, reads) = silent(|_| Ok(0));
        let request = connection.cut_target().upgrade().unwrap();
        let handler = std::thread::spawn(move || connection.await_request());
        reads.recv().unwrap();
        request.cut();
        let error = handler.join().unwrap().unwrap_err();
        assert!(matches!(Error::of(&error), Some(Error::Cut { .. })), "{error:?}");
    }

    #[test]
    fn a_pause_that_has_lasted_long_enough_is_ended() {
        let pause = Pause::new();
        assert!(!pause.dismiss(u64::MAX), "there is none");
        for (since, before, ended) in [
            (0, 0, true),
            (5, 4, false),
            (5, 5, true),
            (5, 6, true),
            (u64::MAX, u64::MAX - 3, false),
            (7, u64::MAX, true),
        ] {
            let pause = Pause::new();
            pause.begin(since);
            assert_eq!((pause.dismiss(before), pause.is_dismissed()), (ended, ended), "{since} {before}");
            // What has been ended stays so.
            pause.end();
            pause.begin(since);
            assert_eq!(pause.is_dismissed(), ended);
            assert_eq!(pause.dismiss(u64::MAX), !ended, "once");
        }
        pause.begin(3);
        pause.end();
        assert!(!pause.dismiss(u64::MAX), "it is over");
    }
}
