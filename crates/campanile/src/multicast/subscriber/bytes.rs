//! Received bytes, shared without a copy.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::ops::{Deref, Range};
use std::sync::Arc;

use campanile_pgm::Tsi;
use campanile_pgm::receiver::Messages;

use super::Received;
use crate::multicast::queue::EventBatch;

/// Received bytes: a slice of shared memory, which can be kept and cloned cheaply.
///
/// They share memory with what arrived together with them, 256 KiB and one more message at most. To keep a few bytes for long, copy
/// them (`to_vec`), so that the memory can be freed.
// Not `bytes::Bytes`, which would allocate and free an owner for each batch, on two threads, and a batch of a slow feed is a single
// message. Here nothing is allocated for it.
#[derive(Clone)]
pub struct Bytes {
    memory: Arc<Messages>,
    range: Range<usize>,
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory.bytes()[self.range.clone()]
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Bytes {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl Eq for Bytes {}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.to_vec()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// What goes to the application together: one event, or a batch.
#[derive(Debug)]
pub(super) enum Delivered {
    Event(Received),
    Batch(Batch),
}

/// Messages of one source, or the next bytes of its stream. Never empty.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) tsi: Tsi,
    pub(super) memory: Arc<Messages>,
    /// How many messages have been taken.
    pub(super) taken: usize,
    /// Bytes at the front of the next one that are not for the application.
    pub(super) front: usize,
    pub(super) is_stream: bool,
}

impl Batch {
    /// The next message, or bytes of the stream.
    fn take(&mut self) -> Option<Received> {
        let Batch { tsi, is_stream, .. } = *self;
        let (Range { start, end }, more) = self.memory.range(self.taken)?;
        let bytes =
            Bytes { memory: Arc::clone(&self.memory), range: start + mem::take(&mut self.front)..end };
        self.taken += 1;
        Some(if is_stream { Received::Bytes { tsi, bytes } } else { Received::Message { tsi, bytes, more } })
    }

    fn len(&self) -> usize {
        self.memory.len() - self.taken
    }
}

impl EventBatch for Delivered {
    type Event = Received;

    fn len(&self) -> usize {
        match self {
            Delivered::Event(_) => 1,
            Delivered::Batch(batch) => batch.len(),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Delivered::Event(_) => 0,
            Delivered::Batch(Batch { memory, taken, front, .. }) => {
                let len = |nth| memory.range(nth).map_or(0, |(range, _)| range.len());
                memory.bytes_len() - (0..*taken).map(len).sum::<usize>() - front
            }
        }
    }

    fn next(waiting: &mut VecDeque<Self>) -> Option<Received> {
        if let Delivered::Batch(batch) = waiting.front_mut()? {
            let next = batch.take();
            if batch.len() == 0 {
                waiting.pop_front();
            }
            return next;
        }
        match waiting.pop_front()? {
            Delivered::Event(event) => Some(event),
            Delivered::Batch(_) => unreachable!("it was looked at"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multicast::queue::Weight;

    fn messages(all: &[&str]) -> Messages {
        let mut messages = Messages::default();
        all.iter().for_each(|message| messages.push(message.as_bytes(), false));
        messages
    }

    #[test]
    fn a_batch_is_taken_message_by_message() {
        let batch = |all: &[&str], taken, front, is_stream| {
            let memory = Arc::new(messages(all));
            Delivered::Batch(Batch { tsi: Tsi::default(), memory, taken, front, is_stream })
        };
        let stalled = Delivered::Event(Received::Stalled { tsi: Tsi::default() });
        let mut waiting = VecDeque::from([
            batch(&["profile", "one", ""], 1, 0, false),
            stalled,
            batch(&["profilestream"], 0, 7, true),
        ]);
        let sizes: Vec<_> = waiting.iter().map(|batch| (batch.len(), EventBatch::weight(batch))).collect();
        assert_eq!(sizes, [(2, 3), (1, 0), (1, 6)]);
        let mut text = Vec::new();
        let mut weight = 0;
        while let Some(event) = Delivered::next(&mut waiting) {
            weight += Weight::weight(&event);
            text.push(match event {
                Received::Message { bytes, .. } => format!("message {:?}", String::from_utf8_lossy(&bytes)),
                Received::Bytes { bytes, .. } => format!("bytes {:?}", String::from_utf8_lossy(&bytes)),
                _ => "event".to_owned(),
            });
        }
        assert_eq!(text, ["message \"one\"", "message \"\"", "event", "bytes \"stream\""]);
        assert_eq!(weight, 9, "what was put is what is taken");
    }
}
