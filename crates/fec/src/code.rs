//! The encoder's side: a code of a given shape and its parity rows.

use std::fmt;

use crate::{kernel, lagrange, scalar};

/// A code of a fixed shape: k data symbols, n symbols in all.
///
/// Symbols are known by their index in the group: 0..k are the data symbols themselves, k..n the parity symbols.
#[derive(Clone, Debug)]
pub struct Code {
    k: u8,
    n: u8,
    /// Coefficients of the parity symbols, k for each; the first row is for index k.
    rows: Box<[u8]>,
}

impl Code {
    /// A code of `k` data symbols and `n - k` parity symbols.
    ///
    /// PGM's transmission group sizes are the powers of two from 2 to 128; `n` is at most 255 because the construction numbers 255
    /// points of the field. Costs (n - k) · k bytes and about n · k steps.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] when `k` is no such power of two or `n` is not above `k`.
    pub fn new(k: u8, n: u8) -> Result<Self, ShapeError> {
        if !(2..=128).contains(&k) || !k.is_power_of_two() {
            return Err(ShapeError::DataCount { k });
        }
        if n <= k {
            return Err(ShapeError::NoParity { k, n });
        }
        let data: Vec<u8> = (0..k).collect();
        let parity: Vec<u8> = (k..n).collect();
        let mut rows = Vec::with_capacity(data.len() * parity.len());
        lagrange::coefficients(&data, &parity, &mut rows);
        Ok(Self { k, n, rows: rows.into_boxed_slice() })
    }

    /// Number of data symbols in a group.
    pub fn k(&self) -> u8 {
        self.k
    }

    /// Number of symbols in a group, data and parity.
    pub fn n(&self) -> u8 {
        self.n
    }

    /// Makes one parity symbol from the data symbols of a group.
    ///
    /// A data symbol shorter than `parity`, or absent at the end of `data`, counts as padded with zeros. `parity` is overwritten.
    ///
    /// # Panics
    ///
    /// When `index` is no parity index (k..n), when there are more than k data symbols, or when one is longer than `parity`.
    pub fn encode(&self, index: u8, data: &[&[u8]], parity: &mut [u8]) {
        let row = self.row(index);
        assert!(data.len() <= row.len(), "{} data symbols for k = {}", data.len(), self.k);
        assert!(data.iter().all(|symbol| symbol.len() <= parity.len()), "data symbol longer than parity");
        kernel::product(&row[..data.len()], data, parity);
    }

    /// Makes consecutive parity symbols, from index `first` up, at several times the speed of making them one by one.
    ///
    /// As for [`encode`](Self::encode), but `parity` is cut into rows of `symbol_len` bytes, one for each symbol to be made.
    ///
    /// # Panics
    ///
    /// When a row's index is no parity index (k..n), when there are more than k data symbols, when one is longer than
    /// `symbol_len`, or when `parity` cannot be cut evenly.
    pub fn encode_run(&self, first: u8, data: &[&[u8]], symbol_len: usize, parity: &mut [u8]) {
        let k = self.k as usize;
        assert!(data.len() <= k, "{} data symbols for k = {k}", data.len());
        assert!(data.iter().all(|symbol| symbol.len() <= symbol_len), "data symbol longer than parity");
        if parity.is_empty() {
            return;
        }
        assert!(parity.len().is_multiple_of(symbol_len), "rows of equal length");
        let start = self.row_start(first);
        let end = start + parity.len() / symbol_len * k;
        assert!(end <= self.rows.len(), "parity indices from {first} end above {}", self.n);
        let mut symbols: [&[u8]; scalar::MAX_SOURCES] = [&[]; scalar::MAX_SOURCES];
        symbols[..data.len()].copy_from_slice(data);
        kernel::product(&self.rows[start..end], &symbols[..k], parity);
    }

    fn row(&self, index: u8) -> &[u8] {
        let start = self.row_start(index);
        &self.rows[start..start + self.k as usize]
    }

    fn row_start(&self, index: u8) -> usize {
        assert!((self.k..self.n).contains(&index), "parity index {index} outside {}..{}", self.k, self.n);
        usize::from(index - self.k) * usize::from(self.k)
    }
}

/// Why there is no code of the requested shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeError {
    /// k is no power of two from 2 to 128 (RFC 3208 §11.8.1).
    DataCount {
        /// The refused k.
        k: u8,
    },
    /// n leaves no parity symbol.
    NoParity {
        /// The requested k.
        k: u8,
        /// The refused n.
        n: u8,
    },
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataCount { k } => write!(f, "k = {k} is no power of two from 2 to 128"),
            Self::NoParity { k, n } => write!(f, "n = {n} leaves no parity symbol beside k = {k}"),
        }
    }
}

impl std::error::Error for ShapeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vector_of_rizzo_and_openpgm() {
        let code = Code::new(4, 7).unwrap();
        let data: [&[u8]; 4] = [&[0x41], &[0x42], &[0x43], &[0x44]];
        let parity = [4, 5, 6].map(|index| {
            let mut parity = [0];
            code.encode(index, &data, &mut parity);
            parity[0]
        });
        assert_eq!(parity, [0xc7, 0x6e, 0x5a]);
    }

    #[test]
    fn shapes() {
        for k in 0..=255u8 {
            let allowed = matches!(k, 2 | 4 | 8 | 16 | 32 | 64 | 128);
            match Code::new(k, 255) {
                Ok(code) => assert!(allowed && (code.k(), code.n()) == (k, 255)),
                Err(error) => assert!(!allowed && error == ShapeError::DataCount { k }),
            }
        }
        assert_eq!(Code::new(8, 8).unwrap_err(), ShapeError::NoParity { k: 8, n: 8 });
        assert_eq!(Code::new(8, 3).unwrap_err().to_string(), "n = 3 leaves no parity symbol beside k = 8");
    }

    #[test]
    #[should_panic(expected = "end above 6")]
    fn a_run_ends_with_the_code() {
        Code::new(4, 6).unwrap().encode_run(5, &[], 2, &mut [0; 4]);
    }

    #[test]
    #[should_panic(expected = "parity index 3 outside 4..6")]
    fn a_data_index_is_no_parity_index() {
        Code::new(4, 6).unwrap().encode(3, &[], &mut []);
    }

    #[test]
    #[should_panic(expected = "longer than parity")]
    fn a_data_symbol_must_fit() {
        Code::new(4, 6).unwrap().encode(4, &[&[1, 2]], &mut [0]);
    }
}
