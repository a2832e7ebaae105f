//! Sockets by id: a slab that reuses its places, but not their ids.

/// A socket within its engine. After it is closed, its id names no other socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId {
    index: u16,
    generation: u16,
}

impl SocketId {
    /// The id as one number, for a kernel to carry.
    pub(crate) fn to_bits(self) -> u32 {
        u32::from(self.generation) << 16 | u32::from(self.index)
    }

    /// The id that [`SocketId::to_bits`] made this number from.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self { index: bits as u16, generation: (bits >> 16) as u16 }
    }
}

/// The sockets of one engine, at most [`Slots::LIMIT`].
#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Vec<Place<T>>,
    /// Counts the calls of [`Slots::in_turn`].
    turn: usize,
}

#[derive(Debug)]
struct Place<T> {
    generation: u16,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// The most sockets that one engine holds.
    pub(crate) const LIMIT: usize = 4096;

    pub(crate) fn new() -> Self {
        Self { places: Vec::new(), turn: 0 }
    }

    /// Puts a value into the first free place; `None` when all are taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<SocketId> {
        let index = match self.places.iter().position(|place| place.value.is_none()) {
            Some(index) => index,
            None if self.places.len() == Self::LIMIT => return None,
            None => {
                self.places.push(Place { generation: 0, value: None });
                self.places.len() - 1
            }
        };
        let place = &mut self.places[index];
        place.value = Some(value);
        Some(SocketId { index: index as u16, generation: place.generation })
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<&T> {
        let place = self.places.get(usize::from(id.index))?;
        place.value.as_ref().filter(|_| place.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut T> {
        let place = self.places.get_mut(usize::from(id.index))?;
        place.value.as_mut().filter(|_| place.generation == id.generation)
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<T> {
        self.get(id)?;
        let place = &mut self.places[usize::from(id.index)];
        place.generation = place.generation.wrapping_add(1);
        place.value.take()
    }

    /// Every value with its id, in the order of places.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (SocketId, &mut T)> {
        self.places.iter_mut().enumerate().filter_map(|(index, place)| {
            let id = SocketId { index: index as u16, generation: place.generation };
            place.value.as_mut().map(|value| (id, value))
        })
    }

    /// The number of places ever used: ids run below it.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// Every place ever used, beginning with another one each time: what there is too little of goes to another socket first.
    pub(crate) fn in_turn(&mut self) -> impl Iterator<Item = usize> + use<T> {
        self.turn = self.turn.wrapping_add(1);
        let (turn, places) = (self.turn, self.places());
        (0..places).map(move |place| turn.wrapping_add(place) % places)
    }

    /// The id and value at a place, if one is there.
    pub(crate) fn at_mut(&mut self, index: usize) -> Option<(SocketId, &mut T)> {
        let place = self.places.get_mut(index)?;
        let id = SocketId { index: index as u16, generation: place.generation };
        place.value.as_mut().map(|value| (id, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_place_has_another_id() {
        let mut slots = Slots::new();
        let first = slots.insert('a').expect("room");
        assert_eq!(slots.remove(first), Some('a'));
        let second = slots.insert('b').expect("room");
        assert_ne!(first, second);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&'b'));
        assert_eq!(SocketId::from_bits(second.to_bits()), second);
    }

    #[test]
    fn each_place_is_the_first_in_its_turn() {
        let mut slots = Slots::new();
        "abc".chars().for_each(|value| assert!(slots.insert(value).is_some()));
        let turns: Vec<Vec<usize>> = (0..4).map(|_| slots.in_turn().collect()).collect();
        assert_eq!(turns, [[1, 2, 0], [2, 0, 1], [0, 1, 2], [1, 2, 0]]);
        assert_eq!(Slots::<()>::new().in_turn().count(), 0);
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let mut slots = Slots::new();
        for _ in 0..Slots::<()>::LIMIT {
            assert!(slots.insert(()).is_some());
        }
        assert!(slots.insert(()).is_none());
    }
}
