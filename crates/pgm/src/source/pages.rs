//! The memory of a packer.

use std::collections::VecDeque;
use std::mem;

use bytes::BytesMut;

/// Memory for packets, in pages that hold many each. Parts of a page are handed out without a copy, and a page is reused, in turn,
/// once no part of it is in use.
#[derive(Debug)]
pub(super) struct Pages {
    /// The greatest length of a packet.
    packet_len: usize,
    /// The length of a page.
    page_len: usize,
    /// The page that is being filled: what was written and not taken yet, and the free room after it. Not allocated before the first
    /// packet.
    page: BytesMut,
    has_page: bool,
    /// The earlier pages, the oldest first. They are empty handles through which the memory is reclaimed once no part of it is in use.
    full: VecDeque<BytesMut>,
}

impl Pages {
    pub(super) fn new(packet_len: usize) -> Self {
        let page_len = (TRAIN_LEN / packet_len).max(1) * packet_len * TRAINS;
        Pages { packet_len, page_len, page: BytesMut::new(), has_page: false, full: VecDeque::new() }
    }

    /// The page that is being filled.
    #[inline]
    pub(super) fn page(&mut self) -> &mut BytesMut {
        &mut self.page
    }

    /// Bytes in the page that were not taken yet.
    pub(super) fn len(&self) -> usize {
        self.page.len()
    }

    /// Moves on to the next page if this one has no room for a packet, and returns what was left in it.
    #[inline]
    pub(super) fn turn(&mut self) -> Option<BytesMut> {
        (self.page.capacity() - self.page.len() < self.packet_len).then(|| self.next())
    }

    /// Takes what was written up to `end`, or all of it.
    pub(super) fn split(&mut self, end: Option<usize>) -> BytesMut {
        self.page.split_to(end.unwrap_or(self.page.len()))
    }

    fn next(&mut self) -> BytesMut {
        let run = self.page.split();
        let page_len = self.page_len;
        // The pages of an unusually long burst are freed one by one while more are free than are kept.
        if self.full.get_mut(SPARE).is_some_and(|page| page.try_reclaim(page_len)) {
            self.full.pop_front();
        }
        let is_free = self.full.front_mut().is_some_and(|oldest| oldest.try_reclaim(page_len));
        let page = if is_free { self.full.pop_front() } else { None };
        let page = page.unwrap_or_else(|| BytesMut::with_capacity(page_len));
        let left = mem::replace(&mut self.page, page);
        if mem::replace(&mut self.has_page, true) {
            self.full.push_back(left);
        }
        run
    }
}

/// How many trains of full packets a page holds, each as long as one send operation allows.
const TRAINS: usize = 4;
const TRAIN_LEN: usize = 65_507;

/// How many free pages are kept.
const SPARE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills a page with packets of this many bytes, and takes it.
    fn fill(pages: &mut Pages, packet_len: usize) -> BytesMut {
        loop {
            if let Some(run) = pages.turn()
                && !run.is_empty()
            {
                return run;
            }
            pages.page().extend_from_slice(&vec![7; packet_len]);
        }
    }

    #[test]
    fn a_page_is_used_again_once_nobody_holds_any_of_it() {
        let mut pages = Pages::new(1000);
        let first = fill(&mut pages, 1000);
        assert_eq!(first.len(), 65_000 * TRAINS, "trains fill a page");
        let second = fill(&mut pages, 1000);
        let memory = first.as_ptr();
        let [mut rest, kept] = [first, second];
        let part = rest.split_to(10).freeze();
        drop(rest);
        let third = fill(&mut pages, 1000);
        assert!(![memory, kept.as_ptr()].contains(&third.as_ptr()), "part of it is held");
        drop(part);
        pages.page().clear();
        drop(fill(&mut pages, 1000));
        assert_eq!(fill(&mut pages, 1000).as_ptr(), memory);
    }

    #[test]
    fn what_is_kept_without_use_is_bounded() {
        let mut pages = Pages::new(1000);
        drop((0..100).map(|_| fill(&mut pages, 1000)).collect::<Vec<_>>());
        let most = pages.full.len();
        (0..200).for_each(|_| drop(fill(&mut pages, 1000)));
        assert!(most >= 99 && pages.full.len() <= SPARE + 1, "{most} and {} pages", pages.full.len());
    }
}
