//! Memory for trains that leave by several ways.

use bytes::{Bytes, BytesMut};

/// Buffers as long as the longest train. A train is written into one and sent from there by all ways; the buffer is reused once the
/// last send is done with it. There is at most one more of them than trains in flight.
#[derive(Debug, Default)]
pub(super) struct Sheets(Vec<Bytes>);

impl Sheets {
    /// A free sheet of `len` bytes, with contents left over from earlier use.
    pub(super) fn take(&mut self, len: usize) -> BytesMut {
        let free = self.0.iter().position(Bytes::is_unique).map(|at| self.0.swap_remove(at));
        free.and_then(|sheet| sheet.try_into_mut().ok()).unwrap_or_else(|| sheet(len))
    }

    /// Takes a written sheet back, and returns it for reading: it is free again once that handle is dropped.
    pub(super) fn keep(&mut self, sheet: BytesMut) -> Bytes {
        let sheet = sheet.freeze();
        self.0.push(sheet.clone());
        sheet
    }
}

/// A new sheet. Splitting it allocates its reference count once; otherwise each use would allocate one.
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
        let [first, second] = [sheets.take(100), sheets.take(100)];
        let memory = [first.as_ptr(), second.as_ptr()];
        let held = sheets.keep(first).slice(..10);
        let train = sheets.keep(second).slice(..10);
        assert!(!memory.contains(&sheets.take(100).as_ptr()), "both are on their way");
        drop(train);
        let again = sheets.take(100);
        assert_eq!((again.as_ptr(), again.len()), (memory[1], 100), "though the first one is not free");
        drop((sheets.keep(again), held));
        assert_eq!(sheets.0.len(), 2);
        assert!((0..2).all(|_| memory.contains(&sheets.take(100).as_ptr())));
    }
}
