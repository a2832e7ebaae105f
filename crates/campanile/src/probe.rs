//! The datagram that asks an echo server what it has counted.
//!
//! ```text
//!  0          4         5      6      8       16       24                          256
//!  | "CmPb"   | version | kind | zero | nonce | cookie | ask: zero, account: words |
//! ```
//!
//! All numbers are little-endian. An ask has 256 bytes, so no answer is larger than the ask. The kind tells the direction: an answer is
//! never answered. The first answer is a cookie, which never reaches a sender with a forged source address; an ask that returns the
//! cookie gets the account. A mirror that knows no probes, or another version of them, sends the ask back unchanged, which shows that
//! it is a mirror.

use crate::echo::EchoCounts;

/// What a probe datagram says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Probe {
    /// Asks for the account; without a cookie it asks for one.
    Ask { nonce: u64, cookie: u64 },
    /// An ask with this cookie gets the account.
    Cookie { nonce: u64, cookie: u64 },
    /// What the server has counted.
    Account { nonce: u64, account: Account },
}

/// What an echo server reports about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Since its start.
    pub(crate) uptime_ns: u64,
    /// Threads, one per core.
    pub(crate) workers: u64,
    /// Bytes of receive buffer of each socket.
    pub(crate) receive_buffer: u64,
    /// Processor time of the thread that has worked most.
    pub(crate) busiest_ns: u64,
    /// The counters of all workers.
    pub(crate) counts: EchoCounts,
}

/// The first bytes of every probe, of whatever version.
const MAGIC: [u8; 4] = *b"CmPb";
const VERSION: u8 = 2;
/// Bytes before the words of an account.
const HEADER: usize = 24;

const ASK: u8 = 1;
const COOKIE: u8 = 2;
const ACCOUNT: u8 = 3;

impl Probe {
    /// Bytes of an ask, and of the longest answer.
    pub(crate) const LEN: usize = 256;

    /// Reads a datagram; `None` if it is no probe of this version.
    pub(crate) fn read(datagram: &[u8]) -> Option<Self> {
        let (magic, rest) = datagram.split_first_chunk::<4>()?;
        let (&[version, kind, 0, 0], rest) = rest.split_first_chunk::<4>()? else { return None };
        if *magic != MAGIC || version != VERSION {
            return None;
        }
        let (nonce, rest) = rest.split_first_chunk()?;
        let (cookie, rest) = rest.split_first_chunk()?;
        let (nonce, cookie) = (u64::from_le_bytes(*nonce), u64::from_le_bytes(*cookie));
        match kind {
            ASK if datagram.len() == Self::LEN && rest.iter().all(|&byte| byte == 0) => {
                Some(Self::Ask { nonce, cookie })
            }
            COOKIE if rest.is_empty() => Some(Self::Cookie { nonce, cookie }),
            ACCOUNT if cookie == 0 => Some(Self::Account { nonce, account: Account::read(rest)? }),
            _ => None,
        }
    }

    /// Whether a datagram begins as an answer does, of whatever version.
    pub(crate) fn is_answer(datagram: &[u8]) -> bool {
        datagram.starts_with(&MAGIC) && datagram.get(5).is_some_and(|&kind| kind == COOKIE || kind == ACCOUNT)
    }

    /// Writes the probe, and returns its length.
    pub(crate) fn write(&self, datagram: &mut [u8; Self::LEN]) -> usize {
        datagram.fill(0);
        let (kind, nonce, cookie, len) = match *self {
            Self::Ask { nonce, cookie } => (ASK, nonce, cookie, Self::LEN),
            Self::Cookie { nonce, cookie } => (COOKIE, nonce, cookie, HEADER),
            Self::Account { nonce, account } => {
                (ACCOUNT, nonce, 0, HEADER + account.write(&mut datagram[HEADER..]))
            }
        };
        datagram[..4].copy_from_slice(&MAGIC);
        datagram[4..6].copy_from_slice(&[VERSION, kind]);
        datagram[8..16].copy_from_slice(&nonce.to_le_bytes());
        datagram[16..HEADER].copy_from_slice(&cookie.to_le_bytes());
        len
    }
}

impl Account {
    const WORDS: usize = 4 + EchoCounts::WORDS;

    fn read(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let words: &[[u8; 8]; Self::WORDS] = words.try_into().ok().filter(|_| rest.is_empty())?;
        let words = words.map(u64::from_le_bytes);
        let [uptime_ns, workers, receive_buffer, busiest_ns, counts @ ..] = words;
        // Bounds below which calculations with these numbers cannot overflow.
        let is_sound = words.iter().all(|&word| word <= COUNT_MAX)
            && (1..=WORKERS_MAX).contains(&workers)
            && receive_buffer <= BUFFER_MAX;
        if !is_sound {
            return None;
        }
        let counts = EchoCounts::from_words(counts);
        Some(Self { uptime_ns, workers, receive_buffer, busiest_ns, counts })
    }

    /// Writes the words, and returns how many bytes they took.
    fn write(&self, bytes: &mut [u8]) -> usize {
        const { assert!(HEADER + 8 * Self::WORDS <= Probe::LEN, "no answer is larger than its ask") };
        let head = [self.uptime_ns, self.workers, self.receive_buffer, self.busiest_ns];
        let words = head.into_iter().chain(self.counts.to_words());
        let (places, _) = bytes.as_chunks_mut::<8>();
        places.iter_mut().zip(words).for_each(|(place, word)| *place = word.to_le_bytes());
        8 * Self::WORDS
    }
}

/// More than any server counts, in packets, bytes or nanoseconds: nine years.
const COUNT_MAX: u64 = 1 << 58;
/// More threads than any server has, and more bytes than any socket's buffer.
const WORKERS_MAX: u64 = 1 << 16;
const BUFFER_MAX: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn account() -> Account {
        let counts = EchoCounts::from_words(std::array::from_fn(|index| index as u64 + 9));
        Account { uptime_ns: 5, workers: 2, receive_buffer: 212_992, busiest_ns: 3, counts }
    }

    fn written(probe: Probe) -> Vec<u8> {
        let mut datagram = [0xFF; Probe::LEN];
        let len = probe.write(&mut datagram);
        datagram[..len].to_vec()
    }

    #[test]
    fn what_was_written_is_read() {
        let ask = Probe::Ask { nonce: 7, cookie: 8 };
        for probe in
            [ask, Probe::Cookie { nonce: 7, cookie: 8 }, Probe::Account { nonce: 7, account: account() }]
        {
            let bytes = written(probe);
            assert_eq!(Probe::read(&bytes), Some(probe));
            assert!(bytes.len() <= written(ask).len(), "no answer is larger than its ask");
            assert_eq!(Probe::is_answer(&bytes), probe != ask);
        }
    }

    #[test]
    fn another_length_version_or_filling_is_no_probe() {
        let ask = written(Probe::Ask { nonce: 7, cookie: 0 });
        assert_eq!(Probe::read(&ask[..255]), None);
        assert_eq!(Probe::read(&[&ask[..], &[0]].concat()), None);
        for (place, value) in [(0, b'c'), (4, 1), (5, 0), (5, 4), (6, 1), (255, 1)] {
            let mut other = ask.clone();
            other[place] = value;
            assert_eq!(Probe::read(&other), None, "{place}: {value}");
        }
        let mut account = written(Probe::Account { nonce: 7, account: account() });
        assert_eq!(Probe::read(&account[..account.len() - 1]), None);
        account[16] = 1;
        assert_eq!(Probe::read(&account), None, "a cookie has no place in an account");
    }

    #[test]
    fn impossible_counts_are_no_account() {
        let good = written(Probe::Account { nonce: 7, account: account() });
        for word in 0..Account::WORDS {
            let mut bad = good.clone();
            bad[HEADER + 8 * word..][..8].fill(0xFF);
            assert_eq!(Probe::read(&bad), None, "word {word}");
        }
        let none = Account { workers: 0, ..account() };
        assert_eq!(Probe::read(&written(Probe::Account { nonce: 7, account: none })), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            kind in 0..5_u8,
            len in prop_oneof![Just(HEADER), Just(HEADER + 8 * Account::WORDS), Just(Probe::LEN), 8..300_usize],
            bytes in prop::collection::vec(any::<u8>(), 300),
        ) {
            let datagram = [&MAGIC[..], &[VERSION, kind, 0, 0], &bytes[8..len]].concat();
            if let Some(probe) = Probe::read(&datagram) {
                prop_assert_eq!(written(probe), datagram);
            }
        }
    }
}
