//! Memory for trains that leave by several ways.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Sheets as long as the longest train: what is written on one of them is sent from there by all ways, and it is written on again
/// once the last of them is done with it.
#[derive(Debug, Default)]
pub(super) struct Sheets {
    /// What was lent, the oldest first.
    lent: VecDeque<Bytes>,
    /// What was given back without having been lent.
    blank: Option<BytesMut>,
}

impl Sheets {
    /// A sheet of `len` bytes; what it holds is left over from earlier use.
    pub(super) fn take(&mut self, len: usize) -> BytesMut {
        if let Some(blank) = self.blank.take() {
            return blank;
        }
        let oldest = self.lent.pop_front().map(Bytes::try_into_mut);
        match oldest {
            Some(Ok(sheet)) => sheet,
            Some(Err(in_use)) => {
                self.lent.push_front(in_use);
                sheet(len)
            }
            None => sheet(len),
        }
    }

    /// Takes back what is not needed.
    pub(super) fn put_back(&mut self, sheet: BytesMut) {
        self.blank = Some(sheet);
    }

    /// Lends the first `len` bytes.
    pub(super) fn lend(&mut self, sheet: BytesMut, len: usize) -> Bytes {
        let sheet = sheet.freeze();
        let train = sheet.slice(..len);
        self.lent.push_back(sheet);
        train
    }
}

/// New memory, counted by who holds it from the beginning on: else it would be anew with each use.
fn sheet(len: usize) -> BytesMut {
    let mut sheet = BytesMut::zeroed(len);
    drop(sheet.split_off(len));
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_used_again_once_nobody_holds_any_of_it() {
        let mut sheets = Sheets::default();
        let first = sheets.take(100);
        let memory = first.as_ptr();
        let train = sheets.lend(first, 10);
        let other = sheets.take(100);
        assert_ne!(other.as_ptr(), memory, "it is on its way");
        sheets.put_back(other);
        drop(train);
        let blank = sheets.take(100);
        assert_ne!(blank.as_ptr(), memory, "what was not used comes first");
        let again = sheets.take(100);
        assert_eq!((again.as_ptr(), again.len()), (memory, 100));
        assert_eq!(sheets.lend(again, 100).as_ptr(), memory);
    }
}
