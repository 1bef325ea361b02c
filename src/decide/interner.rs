//! One copy of each value: in an outage thousands of tasks share a cause, a worker, a connector's name. It compares values
//! and knows nothing of them.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Keeps one copy of each value.
#[derive(Debug)]
pub struct Interner<'a, T: ?Sized> {
    known: Option<&'a HashSet<Arc<T>>>,
    new: HashSet<Arc<T>>,
}

impl<T: ?Sized> Default for Interner<'_, T> {
    fn default() -> Self {
        Self { known: None, new: HashSet::new() }
    }
}

impl<'a, T: ?Sized + Eq + Hash> Interner<'a, T> {
    /// One that shares also what is known already.
    pub fn knowing(known: &'a HashSet<Arc<T>>) -> Self {
        Self { known: Some(known), new: HashSet::new() }
    }

    /// The one copy of this.
    pub fn share(&mut self, value: impl Borrow<T> + Into<Arc<T>>) -> Arc<T> {
        let shared = self.known.and_then(|known| known.get(value.borrow()));
        if let Some(shared) = shared.or_else(|| self.new.get(value.borrow())) {
            return Arc::clone(shared);
        }
        let new = value.into();
        self.new.insert(Arc::clone(&new));
        new
    }
}
