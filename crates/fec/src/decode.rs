//! The decoder's side: which symbols are there, and how the missing ones follow from them.

use crate::{Code, kernel, lagrange};

/// Makes plans that recover lost data symbols, and remembers the last few of them by erasure pattern.
///
/// A few plans are enough. With independent loss a pattern of several erasures hardly ever recurs, and making a plan is cheap beside
/// using it (k² steps against k · symbol length for each lost symbol); kept plans serve single losses, and a group that is decoded in
/// parts.
#[derive(Clone, Debug)]
pub struct Decoder {
    k: u8,
    n: u8,
    plans: Vec<CachedPlan>,
    capacity: usize,
    clock: u64,
}

impl Decoder {
    /// A decoder for groups of `code`, remembering up to `plans` plans of at most k · min(k, n - k) bytes each.
    ///
    /// # Panics
    ///
    /// When `plans` is 0.
    pub fn new(code: &Code, plans: usize) -> Self {
        assert!(plans > 0, "a decoder needs room for one plan");
        Self { k: code.k(), n: code.n(), plans: Vec::new(), capacity: plans, clock: 0 }
    }

    /// How to recover the data symbols missing in `present`; `None` while fewer than k symbols are there.
    ///
    /// It uses all data symbols present, and as many parity symbols as are needed, the lowest first.
    ///
    /// # Panics
    ///
    /// When `present` holds an index that is not below n.
    pub fn plan(&mut self, present: &Present) -> Option<Plan<'_>> {
        assert!(present.iter().next_back().is_none_or(|last| last < self.n), "index outside 0..{}", self.n);
        if present.len() < self.k as usize {
            return None;
        }
        let key = present.first(self.k as usize);
        self.clock += 1;
        let slot = self.plans.iter().position(|plan| plan.key == key).unwrap_or_else(|| self.compute(key));
        let plan = &mut self.plans[slot];
        plan.used = self.clock;
        Some(Plan { missing: &plan.missing, sources: &plan.sources, coefficients: &plan.coefficients })
    }

    /// Computes the plan for exactly the symbols of `key`, in a new slot or in the least recently used one.
    fn compute(&mut self, key: Present) -> usize {
        let slot = if self.plans.len() < self.capacity {
            self.plans.push(CachedPlan::default());
            self.plans.len() - 1
        } else {
            let oldest = self.plans.iter().enumerate().min_by_key(|(_, plan)| plan.used);
            oldest.map(|(slot, _)| slot).expect("capacity is at least 1")
        };
        let plan = &mut self.plans[slot];
        plan.key = key;
        plan.sources.clear();
        plan.sources.extend(key.iter());
        plan.missing.clear();
        plan.missing.extend((0..self.k).filter(|&index| !key.contains(index)));
        plan.coefficients.clear();
        lagrange::coefficients(&plan.sources, &plan.missing, &mut plan.coefficients);
        slot
    }
}

/// How to recover the missing data symbols of one group from k present symbols.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    missing: &'a [u8],
    sources: &'a [u8],
    coefficients: &'a [u8],
}

impl<'a> Plan<'a> {
    /// Indices of the missing data symbols, ascending; empty when all data is there.
    pub fn missing(&self) -> &'a [u8] {
        self.missing
    }

    /// Indices of the k symbols that the plan reads, ascending.
    pub fn sources(&self) -> &'a [u8] {
        self.sources
    }

    /// Recovers all missing symbols.
    ///
    /// `symbols` are those of [`sources`](Self::sources), in that order; a shorter one counts as padded with zeros. `out` is
    /// overwritten: it is cut into as many equal rows as symbols are missing, row i receiving symbol `missing()[i]`, and the length of
    /// a row is the length of a symbol. Nothing happens when nothing is missing.
    ///
    /// # Panics
    ///
    /// When there are not exactly k symbols, when `out` cannot be cut evenly, or when a symbol is longer than a row.
    pub fn recover(&self, symbols: &[&[u8]], out: &mut [u8]) {
        assert_eq!(symbols.len(), self.sources.len(), "symbols given and sources of the plan");
        if self.missing.is_empty() {
            return;
        }
        assert!(out.len().is_multiple_of(self.missing.len()), "rows of equal length");
        let stride = out.len() / self.missing.len();
        assert!(symbols.iter().all(|symbol| symbol.len() <= stride), "symbol longer than a row");
        kernel::product(self.coefficients, symbols, out);
    }
}

/// A set of symbol indices of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    bits: [u64; 4],
}

impl Present {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an index; false if it was there already.
    pub fn insert(&mut self, index: u8) -> bool {
        let word = &mut self.bits[index as usize / 64];
        let bit = 1 << (index % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether an index is there.
    pub fn contains(&self, index: u8) -> bool {
        self.bits[index as usize / 64] & (1 << (index % 64)) != 0
    }

    /// Number of indices.
    pub fn len(&self) -> usize {
        self.bits.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no index is there.
    pub fn is_empty(&self) -> bool {
        self.bits == [0; 4]
    }

    /// The indices, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u8> + '_ {
        (0..=255).filter(|&index| self.contains(index))
    }

    /// The lowest `count` indices.
    fn first(&self, count: usize) -> Self {
        self.iter().take(count).collect()
    }
}

impl FromIterator<u8> for Present {
    fn from_iter<I: IntoIterator<Item = u8>>(indices: I) -> Self {
        let mut set = Self::new();
        for index in indices {
            set.insert(index);
        }
        set
    }
}

/// A plan with the set of symbols it is for, and when it was last asked for.
#[derive(Clone, Debug, Default)]
struct CachedPlan {
    key: Present,
    used: u64,
    sources: Vec<u8>,
    missing: Vec<u8>,
    coefficients: Vec<u8>,
}
