//! [`random`]: bytes that nobody can foresee, from the operating system.

use std::io;

#[cfg(unix)]
pub(crate) use device::random;
#[cfg(not(unix))]
pub(crate) use keyed::random;

/// Neither std nor socket2 asks the system for random bytes, so on Unix they come from its device. `getrandom(2)` would need
/// `unsafe`, or a dependency.
#[cfg(unix)]
mod device {
    use std::fs::File;
    use std::io::Read;
    use std::sync::OnceLock;

    use super::io;

    /// Opened once and kept, so that neither a `chroot` nor a shortage of descriptors takes it away later.
    static DEVICE: OnceLock<File> = OnceLock::new();

    /// # Errors
    /// Whatever the system says. There is no weaker source to fall back on: an id that can be guessed protects nobody, and nobody
    /// would notice.
    pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
        let mut device = match DEVICE.get() {
            Some(device) => device,
            None => {
                let opened = File::open("/dev/urandom")?;
                // Two threads may have opened it; the later one's is closed again.
                DEVICE.get_or_init(|| opened)
            }
        };
        let mut bytes = [0; N];
        device.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Elsewhere std alone has a way to the system's random numbers: the keys of its hash maps. SipHash under such a key is made so
/// that nobody can tell its values from random ones, so the values of a counter serve.
#[cfg(any(not(unix), test))]
mod keyed {
    use std::collections::hash_map::RandomState;
    use std::hash::BuildHasher;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::OnceLock;

    use super::io;

    static KEYS: OnceLock<RandomState> = OnceLock::new();
    static COUNTER: AtomicU64 = AtomicU64::new(0);

    pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
        let keys = KEYS.get_or_init(RandomState::new);
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            let value = keys.hash_one(COUNTER.fetch_add(1, Ordering::Relaxed)).to_ne_bytes();
            chunk.iter_mut().zip(value).for_each(|(to, from)| *to = from);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every bit is drawn afresh. With 256 draws a bit that never changes by chance is one in 2^255.
    fn every_bit_varies<const N: usize>(random: fn() -> io::Result<[u8; N]>) {
        let (mut zeros, mut ones) = ([0_u8; N], [0_u8; N]);
        for _ in 0..256 {
            for ((byte, zeros), ones) in random().unwrap().iter().zip(&mut zeros).zip(&mut ones) {
                *zeros |= !byte;
                *ones |= byte;
            }
        }
        assert_eq!((zeros, ones), ([0xff; N], [0xff; N]));
    }

    #[test]
    fn every_bit_is_drawn_afresh() {
        every_bit_varies(random::<8>);
        every_bit_varies(random::<13>);
        every_bit_varies(keyed::random::<8>);
        every_bit_varies(keyed::random::<13>);
    }

    #[test]
    fn no_value_comes_twice() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            assert!(seen.insert(random::<8>().unwrap()));
            assert!(seen.insert(keyed::random::<8>().unwrap()));
        }
    }
}
