//! [`Members`]: who is in a chat whose handlers block.

use std::collections::HashMap;
use std::hash::Hash;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socketserver::ConnectionWriter;

use super::complain;

/// The members of a chat, by what tells them apart, and how each is written to. Python's dict or list of sockets with its lock.
#[derive(Clone, Default)]
pub(crate) struct Members<K> {
    writers: Arc<Mutex<HashMap<K, ConnectionWriter>>>,
}

impl<K: Eq + Hash> Members<K> {
    /// The room, for as long as nobody comes, goes or speaks but whoever holds it: so all hear everything in the same order.
    pub(crate) fn room(&self) -> Room<'_, K> {
        // Nothing is left half done in it, whatever panics.
        Room { writers: self.writers.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

pub(crate) struct Room<'a, K> {
    writers: MutexGuard<'a, HashMap<K, ConnectionWriter>>,
}

impl<K: Eq + Hash> Room<'_, K> {
    pub(crate) fn has(&self, key: &K) -> bool {
        self.writers.contains_key(key)
    }

    pub(crate) fn join(&mut self, key: K, writer: ConnectionWriter) {
        self.writers.insert(key, writer);
    }

    pub(crate) fn leave(&mut self, key: &K) {
        self.writers.remove(key);
    }

    pub(crate) fn count(&self) -> usize {
        self.writers.len()
    }

    pub(crate) fn tell_all(&self, news: &str) {
        self.writers.values().for_each(|member| tell(member, news));
    }

    pub(crate) fn tell_others(&self, speaker: &K, news: &str) {
        self.writers.iter().filter(|(key, _)| *key != speaker).for_each(|(_, member)| tell(member, news));
    }
}

/// Never waits: who does not read is put out before he holds anybody up. His handler reads the end then, and he leaves as others do.
fn tell(member: &ConnectionWriter, news: &str) {
    match member.try_write(news.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            complain(format_args!("put out: {error}"));
            let _ = member.shutdown();
        }
        // Whoever cannot be written to is about to leave.
        _ => {}
    }
}
