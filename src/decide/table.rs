//! One table by instance: a sorted vector that is searched by halves. Sightings, records, lines and charges are all kept
//! in it; in an outage of a hundred thousand tasks a map of the same takes half as much memory again (37 MB against 24).

use std::ops::Deref;

use super::model::InstanceId;
use super::text::read_name;

/// What belongs to one instance.
pub trait OfInstance {
    fn id(&self) -> &InstanceId;
}

/// Entries in the order of their instances, one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByInstance<T>(Vec<T>);

impl<T> Default for ByInstance<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Reading is that of a slice.
impl<T> Deref for ByInstance<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// Of two entries for one instance the first is kept.
impl<T: OfInstance> From<Vec<T>> for ByInstance<T> {
    fn from(mut entries: Vec<T>) -> Self {
        // Mostly they are in order, and to sort takes room for half of them.
        if !entries.is_sorted_by(|a, b| a.id() < b.id()) {
            entries.sort_by(|a, b| a.id().cmp(b.id()));
            entries.dedup_by(|later, earlier| later.id() == earlier.id());
        }
        Self(entries)
    }
}

impl<T: OfInstance> FromIterator<T> for ByInstance<T> {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        Self::from(Vec::from_iter(entries))
    }
}

impl<T> IntoIterator for ByInstance<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a ByInstance<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: OfInstance> ByInstance<T> {
    pub fn get(&self, id: &InstanceId) -> Option<&T> {
        self.0.get(self.find(id).ok()?)
    }

    pub fn get_mut(&mut self, id: &InstanceId) -> Option<&mut T> {
        let found = self.find(id).ok()?;
        self.0.get_mut(found)
    }

    pub fn has(&self, id: &InstanceId) -> bool {
        self.find(id).is_ok()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }

    /// The entries of one connector: its own first, then its tasks.
    pub fn of_connector(&self, name: &str) -> &[T] {
        let start = self.0.partition_point(|entry| *entry.id().connector < *name);
        let rest = self.0.get(start..).unwrap_or_default();
        let length = rest.partition_point(|entry| *entry.id().connector == *name);
        rest.get(..length).unwrap_or_default()
    }

    /// What is called so, as it is shown or as it is: all that belongs to a connector, or one of its tasks by NAME/TASK. A
    /// connector's name may hold a slash: a whole name comes first.
    pub fn named(&self, name: &str) -> &[T] {
        let exactly = |name: &str| {
            let whole = self.of_connector(name);
            if !whole.is_empty() {
                return whole;
            }
            let task = InstanceId::parse_task(name).and_then(|id| self.get(&id));
            task.map_or(&[] as &[T], std::slice::from_ref)
        };
        let shown = exactly(&read_name(name));
        if shown.is_empty() { exactly(name) } else { shown }
    }

    /// Adds the entry in its place, or replaces the one that is there. To add many, use [`ByInstance::extend`].
    pub fn insert(&mut self, entry: T) {
        match self.find(entry.id()) {
            Ok(found) => {
                if let Some(there) = self.0.get_mut(found) {
                    *there = entry;
                }
            }
            Err(gap) => self.0.insert(gap, entry),
        }
    }

    /// Adds entries; an instance that has one keeps it.
    pub fn extend(&mut self, entries: Vec<T>) {
        if entries.is_empty() {
            return;
        }
        if self.0.is_empty() {
            *self = Self::from(entries);
            return;
        }
        let mut all = std::mem::take(&mut self.0);
        // Grown step by step, it would at last take twice the room: in an outage that is a tenth of all memory.
        all.reserve_exact(entries.len());
        all.extend(entries);
        *self = Self::from(all);
    }

    pub fn retain(&mut self, keep: impl FnMut(&mut T) -> bool) {
        self.0.retain_mut(keep);
    }

    fn find(&self, id: &InstanceId) -> Result<usize, usize> {
        self.0.binary_search_by(|entry| entry.id().cmp(id))
    }
}
