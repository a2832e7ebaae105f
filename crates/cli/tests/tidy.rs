//! Rules of the tree, checked as tests: `cargo tidy`.
//!
//! A rule is a function over a path and its text that returns violations. Each has two tests: the tree keeps it, and a breach
//! is found. Every violation is printed with its file and line, so that one run names all there is to mend.

mod tidy {
    pub(crate) mod commands;
    pub(crate) mod links;
    pub(crate) mod manifests;
    pub(crate) mod platforms;
    pub(crate) mod prose;
    pub(crate) mod purity;
    pub(crate) mod rooms;
    pub(crate) mod size;
    pub(crate) mod source;
    pub(crate) mod tree;
    pub(crate) mod unsafety;
    pub(crate) mod words;
}
