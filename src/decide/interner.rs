//! One copy of each value: in an outage thousands of tasks share a cause, a worker, a connector's name. It compares values
//! and knows nothing of them.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::ops::Deref;

/// Keeps one copy of each value, behind a pointer `P` that is cheap to clone.
#[derive(Debug)]
pub struct Interner<'a, P> {
    known: Option<&'a HashSet<P>>,
    new: HashSet<P>,
}

impl<P> Default for Interner<'_, P> {
    fn default() -> Self {
        Self { known: None, new: HashSet::new() }
    }
}

impl<'a, P: Clone + Eq + Hash + Deref + Borrow<P::Target>> Interner<'a, P>
where
    P::Target: Eq + Hash,
{
    /// One that shares also what is known already.
    pub fn knowing(known: &'a HashSet<P>) -> Self {
        Self { known: Some(known), new: HashSet::new() }
    }

    /// The one copy of this.
    pub fn share(&mut self, value: impl Borrow<P::Target> + Into<P>) -> P {
        let shared = self.known.and_then(|known| known.get(value.borrow()));
        if let Some(shared) = shared.or_else(|| self.new.get(value.borrow())) {
            return shared.clone();
        }
        let new = value.into();
        self.new.insert(new.clone());
        new
    }
}
