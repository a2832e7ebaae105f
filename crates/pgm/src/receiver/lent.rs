//! Reuse of the memory of messages that were handed over, once nobody holds it.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use super::messages::Messages;

/// Memory that was handed over to the application, and that [`super::delivered::Delivered`] may hold as well. A piece is reused when
/// both have dropped it.
#[derive(Debug, Default)]
pub(super) struct Lent {
    /// The oldest piece first: pieces are mostly dropped in the order in which they were lent.
    memory: VecDeque<Arc<Messages>>,
    /// The size of these pieces in bytes.
    bytes: usize,
}

impl Lent {
    /// Hands `messages` over without copying them, and replaces them by the oldest piece of memory if that is free, or by a new one.
    /// An incomplete message at the end is copied there.
    pub(super) fn lend(&mut self, messages: &mut Messages) -> Arc<Messages> {
        let mut lent = self.memory.pop_front_if(|oldest| Arc::get_mut(oldest).is_some()).unwrap_or_default();
        let free = Arc::get_mut(&mut lent).expect("nobody else has it");
        self.bytes -= free.capacity();
        free.clear();
        messages.copy_unread(free);
        mem::swap(free, messages);
        self.bytes += lent.capacity();
        self.memory.push_back(Arc::clone(&lent));
        while self.memory.len() > PIECES_MAX || self.bytes > BYTES_MAX {
            // The application keeps it too long to wait for it: it is freed when the application drops it.
            let Some(given_up) = self.memory.pop_front() else { break };
            self.bytes -= given_up.capacity();
        }
        lent
    }
}

/// The most pieces that may be waited for, and the most memory of them in bytes.
const PIECES_MAX: usize = 64;
const BYTES_MAX: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(all: &[&str]) -> Messages {
        let mut messages = Messages::default();
        all.iter().for_each(|message| messages.push(message.as_bytes(), false));
        messages
    }

    #[test]
    fn memory_that_was_dropped_is_lent_again() {
        let mut lent = Lent::default();
        let mut first = messages(&["first"]);
        first.append(b"seco");
        let held = lent.lend(&mut first);
        assert_eq!((first.len(), first.unread()), (0, &b"seco"[..]), "what is not whole is copied");
        let mut second = messages(&["second"]);
        let address = second.bytes().as_ptr();
        drop(lent.lend(&mut second));
        assert!(second.is_empty(), "the oldest one is held");
        drop(held);
        let mut third = messages(&["third"]);
        let held = lent.lend(&mut third);
        assert_eq!((third.len(), held.get(0)), (0, Some((&b"third"[..], false))));
        let mut fourth = messages(&["fourth"]);
        lent.lend(&mut fourth);
        assert_eq!((fourth.len(), fourth.bytes().as_ptr()), (0, address), "the memory of the second one");
    }

    #[test]
    fn what_waits_to_come_back_has_a_bound() {
        let mut lent = Lent::default();
        let held: Vec<_> = (0..2 * PIECES_MAX).map(|_| lent.lend(&mut messages(&["held"]))).collect();
        assert_eq!(lent.memory.len(), PIECES_MAX);
        drop(held);
        let large = "x".repeat(BYTES_MAX / 2);
        (0..4).for_each(|_| drop(lent.lend(&mut messages(&[&large]))));
        assert!(lent.bytes <= BYTES_MAX);
        assert_eq!(lent.bytes, lent.memory.iter().map(|piece| piece.capacity()).sum::<usize>());
    }
}
