//! [`Timers`]: what is to happen when.

use std::time::Instant;

use super::arena::{Arena, Key};

/// Instants with something to remember at each. Setting, moving and cancelling one costs the logarithm of their number, looking for
/// the next nothing, and a cancelled one leaves nothing behind.
///
/// A binary heap whose entries know where they stand in it. (A heap that cannot cancel grows with every timeout that does not
/// come to pass, which is nearly all of them: Smithay/calloop before 0.14.4.)
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: Vec<Item>,
    entries: Arena<Entry<T>>,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    at: Instant,
    key: Key,
}

#[derive(Debug)]
struct Entry<T> {
    data: T,
    /// Its place in the heap; nowhere once it has expired. There are no more of them than an arena holds, which fits.
    place: u32,
}

const NOWHERE: u32 = u32::MAX;

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Timers { heap: Vec::new(), entries: Arena::new() }
    }

    /// How many there are, pending or expired.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// `None` where there are too many.
    pub(crate) fn insert(&mut self, at: Instant, data: T) -> Option<Key> {
        let key = self.entries.insert_with(|_| Entry { data, place: NOWHERE })?;
        self.push(Item { at, key });
        Some(key)
    }

    /// Moves a timer, pending or expired, to another instant.
    pub(crate) fn reset(&mut self, key: Key, at: Instant) -> bool {
        let Some(entry) = self.entries.get(key) else { return false };
        let place = entry.place as usize;
        match self.heap.get_mut(place) {
            Some(item) => {
                item.at = at;
                self.settle(place);
            }
            None => self.push(Item { at, key }),
        }
        true
    }

    /// Forgets a timer, pending or expired, and gives back what was to be remembered.
    pub(crate) fn cancel(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.remove(key)?;
        if entry.place != NOWHERE {
            self.take_out(entry.place as usize);
        }
        Some(entry.data)
    }

    /// When the next one comes.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|item| item.at)
    }

    /// A timer that has expired by `now`, and what was to be remembered at it. It stays, to be `reset` or `cancel`led.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(Key, &T)> {
        let Item { at, key } = *self.heap.first()?;
        if at > now {
            return None;
        }
        self.take_out(0);
        let entry = self.entries.get_mut(key)?;
        entry.place = NOWHERE;
        Some((key, &entry.data))
    }

    fn push(&mut self, item: Item) {
        self.heap.push(item);
        self.settle(self.heap.len() - 1);
    }

    fn take_out(&mut self, place: usize) {
        if place >= self.heap.len() {
            return;
        }
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.settle(place);
        }
    }

    /// Moves the item at `place` to where it belongs.
    fn settle(&mut self, place: usize) {
        let mut place = place;
        while place > 0 && self.before(place, (place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        loop {
            let left = 2 * place + 1;
            let child = if self.before(left + 1, left) { left + 1 } else { left };
            if !self.before(child, place) {
                break;
            }
            self.swap(child, place);
            place = child;
        }
        self.note(place);
    }

    /// Whether there is an item at `a` that comes before the one at `b`.
    fn before(&self, a: usize, b: usize) -> bool {
        match (self.heap.get(a), self.heap.get(b)) {
            (Some(a), Some(b)) => a.at < b.at,
            _ => false,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.note(a);
        self.note(b);
    }

    /// Tells the entry of the item at `place` where it stands.
    fn note(&mut self, place: usize) {
        let Some(item) = self.heap.get(place) else { return };
        if let Some(entry) = self.entries.get_mut(item.key) {
            entry.place = u32::try_from(place).unwrap_or(NOWHERE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn drained(timers: &mut Timers<u64>, now: Instant) -> Vec<u64> {
        let mut seen = Vec::new();
        while let Some((key, _)) = timers.expire(now) {
            seen.extend(timers.cancel(key));
        }
        seen
    }

    /// Against a sorted list, with a generator of its own so that a failure can be repeated.
    #[test]
    fn comes_in_order_whatever_was_moved_and_cancelled() {
        let start = Instant::now();
        let at = |offset: u64| start + Duration::from_millis(offset);
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for _ in 0..200 {
            let mut timers = Timers::new();
            let mut model: Vec<(u64, Key)> = Vec::new();
            for _ in 0..100 {
                match random(4) {
                    0 if !model.is_empty() => {
                        let (offset, key) = model.swap_remove(random(model.len() as u64) as usize);
                        assert_eq!(timers.cancel(key), Some(offset));
                        assert_eq!(timers.cancel(key), None);
                    }
                    1 if !model.is_empty() => {
                        // Remembers where it will have been moved to.
                        let moved = random(1000);
                        let key = timers.insert(at(random(1000)), moved).unwrap();
                        assert!(timers.reset(key, at(moved)));
                        model.push((moved, key));
                    }
                    _ => {
                        let offset = random(1000);
                        model.push((offset, timers.insert(at(offset), offset).unwrap()));
                    }
                }
            }
            model.sort();
            assert_eq!(timers.next(), model.first().map(|(offset, _)| at(*offset)));
            let half = 500;
            let expected: Vec<u64> = model.iter().map(|(offset, _)| *offset).filter(|offset| *offset <= half).collect();
            assert_eq!(drained(&mut timers, at(half)), expected);
            drained(&mut timers, at(1000));
            assert!(timers.heap.is_empty() && timers.entries.len() == 0);
        }
    }

    #[test]
    fn an_expired_timer_can_be_set_again_or_forgotten() {
        let now = Instant::now();
        let mut timers = Timers::new();
        let key = timers.insert(now, 'a').unwrap();
        assert_eq!(timers.expire(now), Some((key, &'a')));
        assert_eq!(timers.expire(now), None);
        assert!(timers.reset(key, now));
        assert_eq!(timers.expire(now), Some((key, &'a')));
        assert_eq!(timers.cancel(key), Some('a'));
        assert!(!timers.reset(key, now));
    }
}
