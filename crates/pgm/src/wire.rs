//! The packets of PGM as they are on the wire (RFC 3208 §8, §9).
