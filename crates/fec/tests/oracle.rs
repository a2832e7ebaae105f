//! The code against a slow oracle that shares no line with it: schoolbook field arithmetic, the Vandermonde matrix as the
//! papers write it, and Gaussian elimination.

use std::sync::LazyLock;

use campanile_fec::{Code, Decoder, Present};
use proptest::prelude::*;

#[test]
fn every_generator_coefficient_equals_vandermonde_times_inverse() {
    for (k, n) in [(2, 6), (4, 9), (8, 255), (16, 40), (32, 64), (64, 96), (128, 255)] {
        let expected = generator(k, n);
        let code = Code::new(k, n).unwrap();
        for index in k..n {
            for (data_index, expected) in expected[index as usize].iter().enumerate() {
                let mut unit: Vec<&[u8]> = vec![&[]; data_index];
                unit.push(&[1]);
                let mut coefficient = [0];
                code.encode(index, &unit, &mut coefficient);
                assert_eq!(coefficient, [*expected], "({k}, {n}) {index}");
            }
        }
    }
}

#[test]
fn every_erasure_pattern_of_small_codes_decodes() {
    for (k, n) in [(2u8, 6u8), (4, 8), (8, 12)] {
        let sent = sent_group(k, n, 5);
        let mut decoder = Decoder::new(&Code::new(k, n).unwrap(), 3);
        let mut decoded = 0;
        for pattern in 0u32..1 << n {
            let present: Present = (0..n).filter(|index| pattern & (1 << index) != 0).collect();
            match decoder.plan(&present) {
                None => assert!(pattern.count_ones() < u32::from(k)),
                Some(plan) => {
                    let out = recover(&plan, &sent, 5);
                    let missing: Vec<u8> = (0..k).filter(|&index| !present.contains(index)).collect();
                    assert_eq!(plan.missing(), missing);
                    assert!(missing.iter().zip(&out).all(|(&index, row)| *row == sent[index as usize]));
                    decoded += 1;
                }
            }
        }
        assert!(decoded > 0);
    }
}

#[test]
fn a_plan_forgotten_and_made_again_is_the_same() {
    let (k, n) = (4, 8);
    let sent = sent_group(k, n, 3);
    let mut decoder = Decoder::new(&Code::new(k, n).unwrap(), 2);
    for _ in 0..3 {
        for lost in 0..k {
            let present: Present = (0..=k).filter(|&index| index != lost).collect();
            let plan = decoder.plan(&present).unwrap();
            assert_eq!(recover(&plan, &sent, 3), [sent[lost as usize].clone()]);
            assert_eq!(
                decoder.plan(&present).unwrap().missing(),
                [lost],
                "asked again while it is remembered"
            );
        }
    }
}

#[test]
fn surplus_symbols_are_left_aside() {
    let (k, n) = (4, 8);
    let mut decoder = Decoder::new(&Code::new(k, n).unwrap(), 1);
    let all: Present = (0..n).collect();
    assert_eq!(decoder.plan(&all).unwrap().sources(), [0, 1, 2, 3]);
    let but_one: Present = all.iter().filter(|&index| index != 2).collect();
    assert_eq!(decoder.plan(&but_one).unwrap().sources(), [0, 1, 3, 4]);
}

proptest! {
    #[test]
    fn random_erasures_of_large_codes_decode_as_the_oracle_says(
        shape in 0..4usize,
        order in Just((0..255u8).collect::<Vec<u8>>()).prop_shuffle(),
        length in 1usize..40,
    ) {
        let (k, n, sent) = &LARGE[shape];
        let (k, n) = (*k, *n);
        let arrived: Vec<u8> = order.into_iter().filter(|&index| index < n).take(k as usize).collect();
        let sent: Vec<Vec<u8>> = sent.iter().map(|symbol| symbol[..length].to_vec()).collect();
        let present: Present = arrived.iter().copied().collect();
        let mut decoder = Decoder::new(&Code::new(k, n).unwrap(), 1);
        let plan = decoder.plan(&present).unwrap();
        let out = recover(&plan, &sent, length);
        for (row, &index) in out.iter().zip(plan.missing()) {
            prop_assert_eq!(row, &sent[index as usize]);
        }
    }

    #[test]
    fn any_bytes_make_a_group_that_survives(input in prop::collection::vec(any::<u8>(), 0..60)) {
        campanile_fec::fuzz::code(&input);
    }
}

type Symbols = Vec<Vec<u8>>;

/// Groups of the large shapes, made once: the oracle is slow.
static LARGE: LazyLock<[(u8, u8, Symbols); 4]> =
    LazyLock::new(|| [(16, 24), (32, 255), (64, 128), (128, 255)].map(|(k, n)| (k, n, sent_group(k, n, 40))));

/// The rows that `plan` recovers, given all sent symbols to pick from.
fn recover(plan: &campanile_fec::Plan<'_>, sent: &[Vec<u8>], length: usize) -> Symbols {
    let symbols: Vec<&[u8]> = plan.sources().iter().map(|&index| &sent[index as usize][..]).collect();
    let mut out = vec![0xee; plan.missing().len() * length];
    plan.recover(&symbols, &mut out);
    out.chunks(length).map(<[u8]>::to_vec).collect()
}

/// n symbols: arbitrary data, and the parity that the oracle's generator matrix gives.
fn sent_group(k: u8, n: u8, length: usize) -> Symbols {
    let mut state = u32::from(k) * 256 + u32::from(n);
    let data: Symbols = (0..k)
        .map(|_| {
            let next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            std::iter::repeat_with(next).take(length).collect()
        })
        .collect();
    let column =
        |row: &[u8], at: usize| row.iter().zip(&data).fold(0, |sum, (&c, symbol)| sum ^ mul(c, symbol[at]));
    generator(k, n).iter().map(|row| (0..length).map(|at| column(row, at)).collect()).collect()
}

/// V · V_kk⁻¹ over the points 0, 1, 2, 4, …
fn generator(k: u8, n: u8) -> Vec<Vec<u8>> {
    let mut point = 0;
    let vandermonde: Vec<Vec<u8>> = (0..n)
        .map(|_| {
            let row = (0..k).scan(1, |power, _| Some(std::mem::replace(power, mul(*power, point)))).collect();
            point = if point == 0 { 1 } else { mul(point, 2) };
            row
        })
        .collect();
    let inverse = invert(&vandermonde[..k as usize]);
    let product = |row: &Vec<u8>, column: usize| {
        row.iter().zip(&inverse).fold(0, |sum, (&a, inverse_row)| sum ^ mul(a, inverse_row[column]))
    };
    vandermonde.iter().map(|row| (0..k as usize).map(|column| product(row, column)).collect()).collect()
}

/// Inverse of a square matrix by Gauss and Jordan.
fn invert(matrix: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let size = matrix.len();
    let unit = |i: usize| (0..size).map(move |j| u8::from(i == j));
    let mut rows: Vec<Vec<u8>> =
        matrix.iter().enumerate().map(|(i, row)| row.iter().copied().chain(unit(i)).collect()).collect();
    for column in 0..size {
        let pivot = (column..size).find(|&row| rows[row][column] != 0).expect("the matrix is regular");
        rows.swap(column, pivot);
        let scale = inverse(rows[column][column]);
        rows[column].iter_mut().for_each(|value| *value = mul(*value, scale));
        let pivot_row = rows[column].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|&(row, _)| row != column) {
            let factor = row[column];
            row.iter_mut().zip(&pivot_row).for_each(|(value, &pivot)| *value ^= mul(factor, pivot));
        }
    }
    rows.iter().map(|row| row[size..].to_vec()).collect()
}

fn inverse(a: u8) -> u8 {
    (1..=255).find(|&b| mul(a, b) == 1).expect("only 0 has no inverse")
}

/// Polynomial product modulo x⁸ + x⁴ + x³ + x² + 1.
fn mul(a: u8, b: u8) -> u8 {
    let mut product =
        (0..8).filter(|bit| b & (1 << bit) != 0).fold(0u16, |sum, bit| sum ^ u16::from(a) << bit);
    for bit in (8..16).rev() {
        if product & (1 << bit) != 0 {
            product ^= 0x11d << (bit - 8);
        }
    }
    product as u8
}
