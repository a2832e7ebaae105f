//! Memory for trains that leave by several interfaces.

use bytes::{Bytes, BytesMut};

/// Buffers as long as the longest train. A train is written into one and sent from there by all interfaces; the buffer is reused once
/// the last send is done with it. There is at most one more of them than trains in flight.
#[derive(Debug, Default)]
pub(super) struct SharedBuffers(Vec<Bytes>);

impl SharedBuffers {
    /// A free buffer of `len` bytes, with contents left over from earlier use.
    pub(super) fn take(&mut self, len: usize) -> BytesMut {
        let free = self.0.iter().position(Bytes::is_unique).map(|at| self.0.swap_remove(at));
        free.and_then(|buffer| buffer.try_into_mut().ok()).unwrap_or_else(|| new_buffer(len))
    }

    /// Takes a written buffer back, and returns it for reading: it is free again once that handle is dropped.
    pub(super) fn share(&mut self, buffer: BytesMut) -> Bytes {
        let buffer = buffer.freeze();
        self.0.push(buffer.clone());
        buffer
    }
}

/// A new buffer. Splitting it allocates its reference count once; otherwise each use would allocate one.
fn new_buffer(len: usize) -> BytesMut {
    let mut buffer = BytesMut::zeroed(len);
    drop(buffer.split_off(len));
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_nobody_holds_any_of_it() {
        let mut buffers = SharedBuffers::default();
        let [first, second] = [buffers.take(100), buffers.take(100)];
        let memory = [first.as_ptr(), second.as_ptr()];
        let held = buffers.share(first).slice(..10);
        let train = buffers.share(second).slice(..10);
        assert!(!memory.contains(&buffers.take(100).as_ptr()), "both are on their way");
        drop(train);
        let again = buffers.take(100);
        assert_eq!((again.as_ptr(), again.len()), (memory[1], 100), "though the first one is not free");
        drop((buffers.share(again), held));
        assert_eq!(buffers.0.len(), 2);
        assert!((0..2).all(|_| memory.contains(&buffers.take(100).as_ptr())));
    }
}
