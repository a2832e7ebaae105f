//! Reed-Solomon erasure code over GF(2^8), as PGM (RFC 3208 §11) uses it.
//!
//! A group is k data symbols; from them up to n - k parity symbols are made, and any k of the n give the data back. A symbol is
//! a run of bytes; byte i of a parity symbol depends on byte i of each data symbol and on nothing else, so a symbol may be cut into
//! columns, each coded by a call of its own (as PGM's payload and the two bytes of its original length are).
//!
//! # The code
//!
//! Field polynomial 0x11D, generator element α = 2. The generator matrix is L. Rizzo's systematic one, G = V · V_kk⁻¹ with V the
//! Vandermonde matrix over the points 0, 1, α, α², …: the code that RFC 3208 appendix A refers to, that OpenPGM puts on the wire
//! and that the `zfec` package computes. In terms of polynomials: the data symbols are the values of a polynomial of degree below k at
//! the first k points, and the parity symbols are its values at the next n - k points. All coefficients here are therefore Lagrange's,
//! computed directly; no matrix is inverted.
//!
//! # Order of calls
//!
//! A source makes a [`Code`] and calls [`Code::encode`] or [`Code::encode_run`] with a whole group. A receiver makes a [`Decoder`],
//! notes in a [`Present`] what arrived, asks [`Decoder::plan`] when k symbols are there, and calls [`Plan::recover`] once for each
//! part of the symbols.
//!
//! # Memory, panics, unsafe
//!
//! All symbol memory is the caller's. Once warm nothing allocates: a decoder keeps a fixed number of plans and reuses their
//! memory. Functions panic only on errors of the calling program, which each function documents; nothing that a peer sends can cause a
//! panic as long as indices are checked against k and n. Only the kernels for particular instruction sets use `unsafe`; each is in its
//! own file and computes what `scalar.rs` does.
#![deny(unsafe_code)]

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "a kernel")]
mod avx2;
mod code;
mod decode;
pub mod fuzz;
mod gf;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "a kernel")]
mod gfni;
mod kernel;
mod lagrange;
#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code, reason = "a kernel")]
mod neon;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod nibbles;
mod scalar;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "a kernel")]
mod ssse3;

pub use code::{Code, ShapeError};
pub use decode::{Decoder, Plan, Present};
