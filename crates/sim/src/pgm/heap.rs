//! How much heap memory a machine holds, counted from outside.

/// Counts what calls into one machine allocate and free.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heap {
    used: i64,
    most: u64,
}

impl Heap {
    /// Makes a call in which all allocations and frees are the machine's.
    pub(crate) fn within<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let mut result = None;
        let counted = allocation_counter::measure(|| result = Some(call()));
        let before = u64::try_from(self.used).unwrap_or_default();
        self.used += counted.bytes_current;
        self.most = self.most.max(before + counted.bytes_max);
        result.expect("the call was made")
    }

    /// The most bytes that the machine ever held.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_and_peaks_count_and_what_is_freed_does_not() {
        let mut heap = Heap::default();
        let mut kept = heap.within(|| vec![0u8; 1000]);
        heap.within(|| drop(std::hint::black_box(vec![0u8; 500])));
        assert_eq!(heap.most(), 1500);
        heap.within(|| kept = Vec::new());
        heap.within(|| kept = vec![0u8; 1200]);
        assert_eq!(heap.most(), 1500);
        assert_eq!(heap.used, 1200);
        assert_eq!(kept.len(), 1200);
    }
}
