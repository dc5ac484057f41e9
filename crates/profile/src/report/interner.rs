//! Texts by number, so that what is added up is added up by numbers.

use skipheap_symbolize::hash::FastMap;
use std::rc::Rc;

/// Each text once.
#[derive(Clone, Default)]
pub struct Interner {
    numbers: FastMap<Rc<str>, u32>,
    names: Vec<Rc<str>>,
}

impl Interner {
    /// The number of a text, from 1; 0 is no text.
    pub fn number(&mut self, name: &Rc<str>) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        self.names.push(Rc::clone(name));
        let number = self.names.len() as u32;
        self.numbers.insert(Rc::clone(name), number);
        number
    }

    /// The text with this number.
    pub fn name(&self, number: u32) -> Option<Rc<str>> {
        self.names.get((number as usize).checked_sub(1)?).cloned()
    }

    /// All texts in the order of their numbers, that of 1 first.
    #[cfg(feature = "profiles")]
    pub fn all(&self) -> &[Rc<str>] {
        &self.names
    }

    /// By number, the rank of each text in the order of the alphabet; that of no text is 0, the
    /// first.
    pub fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<(&str, u32)> = self.names.iter().map(|name| &**name).zip(1..).collect();
        order.sort_unstable();
        let mut ranks = vec![0; order.len() + 1];
        for ((_, number), rank) in order.into_iter().zip(1..) {
            if let Some(slot) = ranks.get_mut(number as usize) {
                *slot = rank;
            }
        }
        ranks
    }
}
