//! Circles in a directed graph: which nodes can be reached from themselves, and by which shortest path.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The shortest circle of one group of nodes that reach one another, without its first node again at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Circle<T> {
    /// All nodes that reach one another.
    pub(crate) members: BTreeSet<T>,
    /// A shortest circle through them.
    pub(crate) way: Vec<T>,
}

/// Finds the circles among these arrows; an arrow from a node to itself does not count.
pub(crate) fn circles<T: Copy + Ord>(arrows: impl IntoIterator<Item = (T, T)>) -> Vec<Circle<T>> {
    let mut next: BTreeMap<T, BTreeSet<T>> = BTreeMap::new();
    for (from, to) in arrows.into_iter().filter(|(from, to)| from != to) {
        next.entry(from).or_default().insert(to);
    }
    // Crates have some dozens of files, so computing reachability from each node is fast enough and simple.
    let reach: BTreeMap<T, BTreeSet<T>> = next.keys().map(|from| (*from, reached(&next, *from))).collect();
    let mut found: Vec<Circle<T>> = Vec::new();
    for (node, reached) in &reach {
        if !reached.contains(node) || found.iter().any(|circle| circle.members.contains(node)) {
            continue;
        }
        let members: BTreeSet<T> =
            reached.iter().copied().filter(|other| reach.get(other).is_some_and(|back| back.contains(node))).collect();
        let way = members.iter().filter_map(|member| shortest_circle(&next, *member)).min_by_key(Vec::len);
        found.push(Circle { members, way: way.unwrap_or_default() });
    }
    found
}

fn reached<T: Copy + Ord>(next: &BTreeMap<T, BTreeSet<T>>, from: T) -> BTreeSet<T> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        for to in next.get(&node).into_iter().flatten() {
            if reached.insert(*to) {
                open.push(*to);
            }
        }
    }
    reached
}

/// The shortest path from a node back to it.
fn shortest_circle<T: Copy + Ord>(next: &BTreeMap<T, BTreeSet<T>>, from: T) -> Option<Vec<T>> {
    let mut came_from: BTreeMap<T, T> = BTreeMap::new();
    let mut open = VecDeque::from([from]);
    while let Some(node) = open.pop_front() {
        for to in next.get(&node).into_iter().flatten().copied() {
            if to == from {
                let mut way = vec![node];
                while let Some(before) = way.last().and_then(|last| came_from.get(last)) {
                    way.push(*before);
                }
                way.reverse();
                return Some(way);
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = came_from.entry(to) {
                entry.insert(node);
                open.push_back(to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shortest way around is told, and who else is in it; what only leads there is not.
    #[test]
    fn the_shortest_way_around_is_told() {
        let found = circles([(1, 2), (2, 3), (3, 1), (2, 1), (0, 1), (3, 4), (5, 5)]);
        assert_eq!(found, [Circle { members: [1, 2, 3].into(), way: vec![1, 2] }]);
        assert_eq!(circles([(1, 2), (2, 3), (1, 3)]), []);
    }

    /// Two circles that do not touch are two.
    #[test]
    fn circles_apart_are_told_apart() {
        assert_eq!(circles([(1, 2), (2, 1), (3, 4), (4, 3), (2, 3)]).len(), 2);
    }
}
