//! The closed set of operations that a kernel may hold for an engine.

/// What the kernel was asked to do. TCP joins here with its own variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Datagrams in.
    Receive = 1,
    /// A train, or a piece of one, out.
    Send = 2,
    /// Room in a socket's send buffer.
    Writable = 3,
    /// Another thread's call to [`crate::Waker::wake`].
    Wake = 4,
    /// A request to end another operation.
    Cancel = 5,
}

/// An operation and its subject, packed into the number that a kernel returns with the completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) operation: Operation,
    /// The bits of a socket id, or a buffer's number.
    pub(crate) subject: u32,
}

impl Token {
    pub(crate) const fn to_bits(self) -> u64 {
        (self.operation as u64) << 32 | self.subject as u64
    }

    /// The token that [`Token::to_bits`] made this number from; `None` for any other number.
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        let operation = match bits >> 32 {
            1 => Operation::Receive,
            2 => Operation::Send,
            3 => Operation::Writable,
            4 => Operation::Wake,
            5 => Operation::Cancel,
            _ => return None,
        };
        Some(Self { operation, subject: bits as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        use Operation::{Cancel, Receive, Send, Wake, Writable};
        for operation in [Receive, Send, Writable, Wake, Cancel] {
            let token = Token { operation, subject: u32::MAX };
            assert_eq!(Token::from_bits(token.to_bits()), Some(token));
        }
        assert_eq!(Token::from_bits(0), None);
        assert_eq!(Token::from_bits(u64::MAX), None);
    }
}
