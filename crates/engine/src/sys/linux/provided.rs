//! The ring through which receive buffers are lent to the kernel.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::mem::size_of;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use crate::pool::Buffer;

/// A registered buffer ring. It must outlive the io_uring that it is registered with.
#[derive(Debug)]
pub(super) struct Provided {
    entries: NonNull<BufRingEntry>,
    layout: Layout,
    mask: u16,
    tail: u16,
    lent: usize,
}

impl Provided {
    /// The group by which receives ask for buffers of this ring.
    pub(super) const GROUP: u16 = 0;

    /// Makes and registers a ring for `count` buffers, at most 4096.
    pub(super) fn new(ring: &IoUring, count: usize) -> io::Result<Self> {
        let count = u16::try_from(count.next_power_of_two()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let layout = Layout::from_size_align(usize::from(count) * size_of::<BufRingEntry>(), 4096)
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the layout's size is at least one entry.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(entries) = NonNull::new(memory.cast()) else { handle_alloc_error(layout) };
        let provided = Self { entries, layout, mask: count - 1, tail: 0, lent: 0 };
        // SAFETY: the address is that of `count` entries, page-aligned; the owner drops the io_uring before this struct.
        unsafe { ring.submitter().register_buf_ring_with_flags(memory as u64, count, Self::GROUP, 0) }?;
        Ok(provided)
    }

    /// Queues a buffer for the kernel: `len` bytes from `start`. It is the kernel's from [`Provided::publish`] on.
    pub(super) fn lend(&mut self, buffer: Buffer, start: *mut u8, len: usize) {
        // SAFETY: the mask keeps the index inside the ring. The kernel does not read entries beyond the published tail, and at
        // most as many buffers as entries exist, so this entry has been consumed.
        let entry = unsafe { &mut *self.entries.as_ptr().add(usize::from(self.tail & self.mask)) };
        entry.set_addr(start as u64);
        entry.set_len(len as u32);
        entry.set_bid(buffer.into_index() as u16);
        self.tail = self.tail.wrapping_add(1);
        self.lent += 1;
    }

    /// Shows the kernel what was lent.
    pub(super) fn publish(&mut self) {
        // SAFETY: the entries start the registered ring, page-aligned and initialised; the tail is the field the kernel reads,
        // and only this thread writes it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// The token of a buffer that a completion named.
    pub(super) fn take_back(&mut self, index: u16) -> Buffer {
        self.lent -= 1;
        // SAFETY: the kernel names only buffers that were lent, and each once until it is lent again.
        unsafe { Buffer::from_index(u32::from(index)) }
    }

    /// Buffers that the kernel has.
    pub(super) fn lent(&self) -> usize {
        self.lent
    }
}

impl Drop for Provided {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; the io_uring it was registered with is gone (see `Uring`'s fields).
        unsafe { dealloc(self.entries.as_ptr().cast(), self.layout) }
    }
}
