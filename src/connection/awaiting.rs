//! The wait for a next request.

use std::io::{self, BufRead};
use std::time::Duration;

use super::Connection;

/// How long a stopping server's handler looks whether a next request has come: as short a wait as there is.
const GLANCE: Duration = Duration::from_millis(1);

impl Connection {
    /// Waits until the peer sends something: `true`, and a read will not wait. `false` when there will be no more: the peer has ended, or the
    /// server is stopping and nothing has come.
    ///
    /// That is how a handler with one request after another on its connection lets a stop pass: what waits here holds up no drain, and no
    /// request is cut. A handler that waits in [`read_line`](BufRead::read_line) or another read for the next request has the stop wait for
    /// its peer, up to the `drain_timeout`, because nobody knows whether half a request has come. Python's `rfile.readline()` in a loop is
    /// joined at the close, however long that takes.
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
    /// A stop that finds it waiting ends reading. Of a request whose first bytes come in that very moment, what comes later is not read, and
    /// the read says [`Error::Cut`](crate::Error::Cut): a client that keeps a connection open must be ready for its end wherever it has nothing under way.
    ///
    /// # Errors
    /// Those of reading, a timeout among them.
    pub fn await_request(&mut self) -> io::Result<bool> {
        if self.has_input() || self.input.unfinished > 0 {
            return Ok(true);
        }
        self.shared.pause.begin();
        let stopping = self.context.server().is_shutting_down();
        let result = if stopping {
            // What has come is served to its end.
            self.shared.pause.end();
            let usual = self.read_timeout.replace(GLANCE);
            let result = self.fill_buf().map(|available| !available.is_empty());
            self.read_timeout = usual;
            result
        } else {
            let result = self.fill_buf().map(|available| !available.is_empty());
            self.shared.pause.end();
            result
        };
        match result {
            Err(error) if stopping && error.kind() == io::ErrorKind::TimedOut => Ok(false),
            // The stop's own doing, whatever the stream calls it.
            Err(_) if self.shared.pause.is_dismissed() && !self.shared.is_cut() => Ok(false),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::sync::mpsc::{channel, Receiver, Sender};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::error::Error;
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
        request.dismiss();
        handler.join().unwrap();
    }

    #[test]
    fn whoever_reads_is_not_disturbed() {
        let (mut connection, stream, reads) = silent(|how| match how {
            Shutdown::Write => Err(io::ErrorKind::NotConnected.into()),
            _ => Ok(0),
        });
        let request = connection.cut_target().upgrade().unwrap();
        let handler = std::thread::spawn(move || connection.read(&mut [0]));
        reads.recv().unwrap();
        request.dismiss();
        // It would come after the stop's own.
        stream.end.send(Shutdown::Write).unwrap();
        assert_eq!(handler.join().unwrap().unwrap_err().kind(), io::ErrorKind::NotConnected);
    }

    #[test]
    fn a_failure_is_told_unless_the_stop_has_made_it() {
        for dismissed in [false, true] {
            let (mut connection, stream, reads) = silent(|_| Err(io::ErrorKind::UnexpectedEof.into()));
            let request = connection.cut_target().upgrade().unwrap();
            let handler = std::thread::spawn(move || connection.await_request());
            reads.recv().unwrap();
            match dismissed {
                true => request.dismiss(),
                false => stream.end.send(Shutdown::Read).unwrap(),
            }
            match (dismissed, handler.join().unwrap()) {
                (true, result) => assert!(!result.unwrap()),
                (false, result) => assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
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
}
