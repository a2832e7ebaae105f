//! The memory of an engine: buffers cut from one allocation, and the tokens that stand for them.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::ptr::NonNull;

use crate::config::Config;

/// Bytes in front of each buffer, for what a kernel interface writes there (io_uring puts name and control data before the
/// payload of a multishot receive). The payload always starts at a buffer's address, and so can be sent back from there.
pub(crate) const HEADROOM: usize = 256;

/// The right to touch one buffer. Not `Clone`: a token handed to the kernel is gone until the kernel gives the buffer back.
#[derive(Debug)]
pub(crate) struct Buffer(u32);

impl Buffer {
    /// Gives up the right, leaving the number by which a completion names the buffer.
    pub(crate) fn into_index(self) -> u32 {
        self.0
    }

    /// The token for a buffer that the kernel has given back.
    ///
    /// # Safety
    /// `index` came from [`Buffer::into_index`], the kernel has finished with the buffer, and no other token for it exists.
    pub(crate) unsafe fn from_index(index: u32) -> Self {
        Self(index)
    }

    /// The number of the buffer, 0 to [`Pool::count`].
    pub(crate) fn index(&self) -> usize {
        self.0 as usize
    }
}

/// Receive and transmit buffers of one engine, counted apart so that neither direction starves the other.
#[derive(Debug)]
pub(crate) struct Pool {
    memory: NonNull<u8>,
    layout: Layout,
    pitch: usize,
    buffer_len: usize,
    receive_count: usize,
    free_receive: Vec<Buffer>,
    free_transmit: Vec<Buffer>,
}

impl Pool {
    /// One allocation for everything; pages that are never used are never touched.
    ///
    /// # Errors
    /// There is no memory.
    pub(crate) fn new(config: &Config) -> io::Result<Self> {
        let count = config.receive_buffers + config.transmit_buffers;
        let pitch = (HEADROOM + config.buffer_len).next_multiple_of(64);
        let layout = Layout::from_size_align(pitch * count, 4096).expect("at most 8192 buffers of 66 KiB");
        // SAFETY: the layout's size is not zero: `Config::check` holds the count and the length above it.
        let memory = unsafe { alloc_zeroed(layout) };
        let memory = NonNull::new(memory).ok_or(io::ErrorKind::OutOfMemory)?;
        let first_transmit = config.receive_buffers as u32;
        // Taken from the end: the lowest numbers, and so the warmest memory, come first.
        let free_receive = (0..first_transmit).rev().map(Buffer).collect();
        let free_transmit = (first_transmit..count as u32).rev().map(Buffer).collect();
        Ok(Self {
            memory,
            layout,
            pitch,
            buffer_len: config.buffer_len,
            receive_count: config.receive_buffers,
            free_receive,
            free_transmit,
        })
    }

    /// All buffers, of both kinds.
    pub(crate) fn count(&self) -> usize {
        self.layout.size() / self.pitch
    }

    /// Receive buffers, free or not.
    pub(crate) fn receive_count(&self) -> usize {
        self.receive_count
    }

    /// Bytes of one buffer.
    pub(crate) fn buffer_len(&self) -> usize {
        self.buffer_len
    }

    pub(crate) fn take_receive(&mut self) -> Option<Buffer> {
        self.free_receive.pop()
    }

    pub(crate) fn take_transmit(&mut self) -> Option<Buffer> {
        self.free_transmit.pop()
    }

    /// Takes a buffer back, into the list of its kind.
    pub(crate) fn release(&mut self, buffer: Buffer) {
        if buffer.index() < self.receive_count {
            self.free_receive.push(buffer);
        } else {
            self.free_transmit.push(buffer);
        }
    }

    /// Receive buffers in the free list.
    pub(crate) fn receive_free(&self) -> usize {
        self.free_receive.len()
    }

    /// Transmit buffers in the free list.
    pub(crate) fn transmit_free(&self) -> usize {
        self.free_transmit.len()
    }

    /// Where the buffer's payload starts; [`HEADROOM`] bytes before it belong to the buffer too.
    pub(crate) fn address(&self, buffer: &Buffer) -> *mut u8 {
        self.address_of(buffer.index())
    }

    /// As [`Pool::address`], by number: for a buffer that is being lent to the kernel.
    pub(crate) fn address_of(&self, index: usize) -> *mut u8 {
        assert!(index < self.count(), "a buffer of this pool");
        // SAFETY: the index is below the count, so the offset stays inside the one allocation.
        unsafe { self.memory.as_ptr().add(index * self.pitch + HEADROOM) }
    }

    /// The first `len` bytes of a buffer.
    pub(crate) fn bytes(&self, buffer: &Buffer, len: usize) -> &[u8] {
        assert!(len <= self.buffer_len, "inside the buffer");
        // SAFETY: the range lies inside the buffer's part of the allocation, which was zeroed at the start; the token proves
        // that the kernel does not hold the buffer, and the pool's borrow that no `&mut` to it lives.
        unsafe { std::slice::from_raw_parts(self.address(buffer), len) }
    }

    /// The first `len` bytes of a buffer, to write.
    pub(crate) fn bytes_mut(&mut self, buffer: &Buffer, len: usize) -> &mut [u8] {
        assert!(len <= self.buffer_len, "inside the buffer");
        // SAFETY: as in `bytes`; the pool's unique borrow makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.address(buffer), len) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout. The engine drops its backend first, which reaps every operation, so
        // the kernel holds no buffer any more.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Pool {
        Pool::new(&Config { receive_buffers: 3, transmit_buffers: 2, buffer_len: 100, ..Config::default() })
            .expect("a little memory")
    }

    #[test]
    fn buffers_do_not_overlap() {
        let mut pool = small();
        let taken: Vec<Buffer> = std::iter::from_fn(|| pool.take_receive()).collect();
        assert_eq!(taken.len(), 3);
        for (value, buffer) in taken.iter().enumerate() {
            pool.bytes_mut(buffer, 100).fill(value as u8);
        }
        for (value, buffer) in taken.iter().enumerate() {
            assert!(pool.bytes(buffer, 100).iter().all(|&byte| byte == value as u8));
        }
    }

    #[test]
    fn a_buffer_returns_to_its_own_kind() {
        let mut pool = small();
        let receive = pool.take_receive().expect("three are free");
        let transmit = pool.take_transmit().expect("two are free");
        assert_eq!((pool.receive_free(), pool.transmit_free()), (2, 1));
        pool.release(transmit);
        pool.release(receive);
        assert_eq!((pool.receive_free(), pool.transmit_free()), (3, 2));
    }

    #[test]
    fn an_empty_pool_says_so() {
        let mut pool = small();
        let held: Vec<Buffer> = (0..2).map(|_| pool.take_transmit().expect("two are free")).collect();
        assert!(pool.take_transmit().is_none());
        held.into_iter().for_each(|buffer| pool.release(buffer));
        assert!(pool.take_transmit().is_some());
    }
}
