//! The open files of a session.

/// The most recently used files, each by its number: a cache that closes the least recently used one.
///
/// A session may bring more files than a process may have open.
#[derive(Debug)]
pub(crate) struct OpenCache<T> {
    /// The most recently used one is last.
    open: Vec<(usize, T)>,
}

impl<T> OpenCache<T> {
    /// The most files that are open.
    const MAX: usize = 32;

    pub(crate) fn new() -> Self {
        Self { open: Vec::new() }
    }

    /// The file of this number, opened if it is not.
    pub(crate) fn get<E>(&mut self, index: usize, open: impl FnOnce() -> Result<T, E>) -> Result<&mut T, E> {
        match self.open.iter().rposition(|(known, _)| *known == index) {
            Some(at) if at + 1 == self.open.len() => {}
            Some(at) => {
                let used = self.open.remove(at);
                self.open.push(used);
            }
            None => {
                if self.open.len() == Self::MAX {
                    self.open.remove(0);
                }
                self.open.push((index, open()?));
            }
        }
        Ok(&mut self.open.last_mut().expect("it was put there").1)
    }

    /// Takes the file of this number out of the cache, if it is open.
    pub(crate) fn close(&mut self, index: usize) -> Option<T> {
        let at = self.open.iter().position(|(known, _)| *known == index)?;
        Some(self.open.remove(at).1)
    }

    /// Whether the next one that is opened closes another.
    pub(crate) fn is_full(&self) -> bool {
        self.open.len() == Self::MAX
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.open.iter_mut().map(|(index, file)| (*index, file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(opened: &mut OpenCache<String>, index: usize) -> bool {
        let mut is_new = false;
        let thing = opened.get(index, || {
            is_new = true;
            Ok::<_, ()>(index.to_string())
        });
        assert_eq!(thing, Ok(&mut index.to_string()));
        is_new
    }

    #[test]
    fn the_ones_used_last_stay_open() {
        let mut opened = OpenCache::new();
        for index in 0..OpenCache::<String>::MAX {
            assert!(get(&mut opened, index));
        }
        assert!(!get(&mut opened, 0));
        assert!(get(&mut opened, 1000));
        assert_eq!((get(&mut opened, 0), get(&mut opened, 1)), (false, true));
        assert_eq!(opened.iter_mut().count(), OpenCache::<String>::MAX);
        assert!(opened.is_full());
        assert_eq!(opened.close(0).as_deref(), Some("0"));
        assert!(!opened.is_full());
        assert_eq!(opened.close(0), None);
        assert!(get(&mut opened, 0));
    }

    #[test]
    fn what_cannot_be_opened_is_not_kept() {
        let mut opened = OpenCache::<()>::new();
        assert_eq!(opened.get(1, || Err("gone")), Err("gone"));
        assert_eq!(opened.iter_mut().count(), 0);
    }
}
