//! Trains, without some of their datagrams.

/// The longest pieces of a train of which every datagram is kept.
pub(super) fn runs<'a>(
    stride: usize,
    bytes: &'a [u8],
    mut keeps: impl FnMut(&'a [u8]) -> bool,
) -> impl Iterator<Item = &'a [u8]> {
    let stride = stride.max(1);
    let mut at = 0;
    std::iter::from_fn(move || {
        let (mut start, mut end) = (at, at);
        while at < bytes.len() {
            let next = (at + stride).min(bytes.len());
            let is_kept = keeps(&bytes[at..next]);
            at = next;
            if is_kept {
                end = next;
            } else if end > start {
                return Some(&bytes[start..end]);
            } else {
                (start, end) = (next, next);
            }
        }
        (end > start).then(|| &bytes[start..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_leave_out_what_is_not_kept() {
        let cut = |keep: &str| {
            let mut keep = keep.chars();
            let bytes = b"aabbccdde";
            runs(2, bytes, |_| keep.next() == Some('1')).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        assert_eq!(cut("11111"), [b"aabbccdde".to_vec()]);
        assert_eq!(cut("00000"), Vec::<Vec<u8>>::new());
        assert_eq!(cut("01101"), [b"bbcc".to_vec(), b"e".to_vec()]);
        assert_eq!(cut("10010"), [b"aa".to_vec(), b"dd".to_vec()]);
    }
}
