//! A train under construction.

/// Packets of equal length, the last one possibly shorter.
#[derive(Debug)]
pub(super) struct Train<'b> {
    buffer: &'b mut [u8],
    pub(super) stride: usize,
    pub(super) len: usize,
    /// Bytes of payload in its data packets.
    pub(super) payload_len: usize,
    /// Whether the last packet is shorter than the others, so that none may follow.
    pub(super) is_closed: bool,
    /// Whether its packets are not in the buffer, but in the window's memory.
    pub(super) is_lent: bool,
}

impl<'b> Train<'b> {
    pub(super) fn new(buffer: &'b mut [u8]) -> Self {
        Train { buffer, stride: 0, len: 0, payload_len: 0, is_closed: false, is_lent: false }
    }

    pub(super) fn takes(&self, packet_len: usize) -> bool {
        self.len == 0 || packet_len <= self.stride && self.len + packet_len <= self.buffer.len()
    }

    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.len..]
    }

    pub(super) fn push(&mut self, packet_len: usize) {
        if self.len == 0 {
            self.stride = packet_len;
        }
        self.is_closed = packet_len < self.stride;
        self.len += packet_len;
    }
}
