//! [`Arena`] and [`Key`]: things kept under numbers that are never given out twice.

use std::fmt;

use mio::Token;

/// Names something registered with a [`Selector`](crate::reactor::Selector): a source or a timer.
///
/// A key is never given out again: that of a source which has been unregistered names nothing from then on, even where a
/// newcomer has taken its place in memory. It means nothing to another selector, which may have something else under the same key. (The generation that sees to that has 32 bits, half a pointer on 32-bit systems.)
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    index: u32,
    generation: u32,
}

/// A token holds both halves of a key.
const HALF: u32 = usize::BITS / 2;
const MASK: usize = usize::MAX >> HALF;

impl Key {
    pub(crate) fn token(self) -> Token {
        Token((self.generation as usize & MASK) << HALF | self.index as usize)
    }

    pub(crate) fn from_token(token: Token) -> Key {
        // Both fit: a half of a `usize` has no more than 32 bits.
        Key { index: (token.0 & MASK) as u32, generation: (token.0 >> HALF) as u32 }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Values under keys; adding, finding and removing one takes the same time however many there are.
pub(crate) struct Arena<T> {
    slots: Vec<Slot<T>>,
    /// The first of the chain of vacant slots.
    vacant: Option<u32>,
    len: usize,
}

struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

enum Content<T> {
    /// With the next of the chain.
    Vacant(Option<u32>),
    Occupied(T),
}

impl<T> Arena<T> {
    /// The most that fit: an index is half a token, and the last tokens are the poller's and the listeners'.
    const MOST: usize = MASK - 2048;

    pub(crate) fn new() -> Self {
        Arena { slots: Vec::new(), vacant: None, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The key that the next value will get.
    pub(crate) fn next_key(&self) -> Key {
        let vacant = self.vacant.and_then(|index| Some((index, self.slots.get(index as usize)?.generation)));
        let (index, generation) = vacant.unwrap_or((self.slots.len() as u32, 0));
        Key { index, generation }
    }

    /// Keeps the value that `make` makes, which may have its key in it. `None` where none can be added any more.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Option<Key> {
        if let Some(index) = self.vacant {
            let slot = self.slots.get_mut(index as usize)?;
            let key = Key { index, generation: slot.generation };
            if let Content::Vacant(next) = slot.content {
                self.vacant = next;
                slot.content = Content::Occupied(make(key));
                self.len += 1;
                return Some(key);
            }
        }
        if self.slots.len() >= Self::MOST {
            return None;
        }
        let key = Key { index: self.slots.len() as u32, generation: 0 };
        self.slots.push(Slot { generation: 0, content: Content::Occupied(make(key)) });
        self.len += 1;
        Some(key)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.index as usize) {
            Some(Slot { generation, content: Content::Occupied(value) }) if *generation == key.generation => {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.index as usize) {
            Some(Slot { generation, content: Content::Occupied(value) }) if *generation == key.generation => {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let slot = self.slots.get_mut(key.index as usize)?;
        slot.generation = (slot.generation as usize).wrapping_add(1) as u32 & MASK as u32;
        let content = std::mem::replace(&mut slot.content, Content::Vacant(self.vacant));
        self.vacant = Some(key.index);
        self.len -= 1;
        match content {
            Content::Occupied(value) => Some(value),
            Content::Vacant(_) => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| match &slot.content {
            Content::Occupied(value) => Some((Key { index: index as u32, generation: slot.generation }, value)),
            Content::Vacant(_) => None,
        })
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.iter().map(|(key, _)| key).collect()
    }

    pub(crate) fn clear(&mut self) {
        for key in self.keys() {
            self.remove(key);
        }
    }
}

impl<T> fmt::Debug for Arena<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_never_finds_a_newcomer() {
        let mut arena = Arena::new();
        let old = arena.insert_with(|_| 1).unwrap();
        assert_eq!(arena.remove(old), Some(1));
        let new = arena.insert_with(|_| 2).unwrap();
        assert_eq!(old.index, new.index, "the place is used again");
        assert_eq!(arena.get(old), None);
        assert_eq!(arena.get_mut(old), None);
        assert_eq!(arena.remove(old), None);
        assert_eq!(arena.get(new), Some(&2));
        assert_eq!(arena.len(), 1);
    }

    #[test]
    fn a_key_survives_the_way_through_a_token() {
        for key in [Key { index: 0, generation: 0 }, Key { index: 7, generation: MASK as u32 }] {
            assert_eq!(Key::from_token(key.token()), key);
            assert_ne!(key.token(), crate::poller::Poller::WAKER);
        }
    }

    #[test]
    fn places_are_reused_before_new_ones_are_made() {
        let mut arena = Arena::new();
        for round in 0..10 {
            let keys: Vec<Key> = (0..100).filter_map(|value| arena.insert_with(|_| value)).collect();
            assert_eq!(arena.len(), 100, "round {round}");
            let listed = arena.keys();
            assert!(listed.len() == 100 && keys.iter().all(|key| listed.contains(key)));
            for key in keys {
                arena.remove(key);
            }
        }
        assert_eq!(arena.slots.len(), 100);
    }
}
