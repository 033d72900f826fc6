//! Every state that can be reached, nearest first, so that the first path to anything is a shortest one.

use std::any::Any;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::fingerprint::Mark;
use super::node::{Move, Node};
use super::scenes::Scene;

/// What was found where no promise was broken.
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    /// How many moves the state farthest away is from the first.
    pub(crate) depth: usize,
    /// How everything ended, and in how many states of rest.
    pub(crate) ends: BTreeMap<String, usize>,
    /// A shortest way to each witness that was found.
    pub(crate) witnesses: BTreeMap<&'static str, Vec<Move>>,
}

/// A promise that is broken, and a shortest way there.
pub(crate) struct Broken {
    pub(crate) what: String,
    pub(crate) path: Vec<Move>,
}

/// Where a state was first come upon from, and by which move.
type Parent = Option<(usize, Move)>;

/// Walks through every state of a scene with at most so many faults on any path.
pub(crate) fn all_states(scene: &Scene, faults: usize) -> Result<Found, Broken> {
    let first = Node::first(scene, faults);
    let mut known: HashMap<Mark, usize> = HashMap::from([(first.mark(), 0)]);
    let mut parents: Vec<Parent> = vec![None];
    let mut edges: Vec<(usize, usize)> = Vec::new();
    let mut found = Found { states: 0, transitions: 0, depth: 0, ends: BTreeMap::new(), witnesses: BTreeMap::new() };
    let mut frontier = VecDeque::from([(0, 0, first)]);
    while let Some((number, depth, node)) = frontier.pop_front() {
        found.depth = depth;
        for (_, name, is) in scene.witnesses {
            if !found.witnesses.contains_key(name) && is(scene, &node) {
                found.witnesses.insert(name, path(&parents, number));
            }
        }
        let moves = node.moves(scene);
        if moves.is_empty() {
            let broken = |what| Broken { what, path: path(&parents, number) };
            catch_unwind(AssertUnwindSafe(|| node.at_rest())).map_err(|panic| broken(said(&*panic)))?;
            *found.ends.entry(scene.end(&node)).or_default() += 1;
        }
        for one in moves {
            let mut next = node.clone();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| next.take(scene, &one))) {
                let mut path = path(&parents, number);
                path.push(one);
                return Err(Broken { what: said(&*panic), path });
            }
            let place = *known.entry(next.mark()).or_insert(parents.len());
            edges.push((number, place));
            if place == parents.len() {
                parents.push(Some((number, one)));
                frontier.push_back((place, depth + 1, next));
                if std::env::var_os("COVIRT_TRACE").is_some() && place.is_multiple_of(5_000) {
                    eprintln!("{place} states so far, {depth} moves deep, {} to look at", frontier.len());
                }
            }
        }
    }
    (found.states, found.transitions) = (parents.len(), edges.len());
    match on_a_cycle(parents.len(), &edges) {
        Some(number) => {
            let what = "liveness: the lane can come back to this state for ever".to_owned();
            Err(Broken { what, path: path(&parents, number) })
        }
        None => Ok(found),
    }
}

fn path(parents: &[Parent], mut number: usize) -> Vec<Move> {
    let mut path = Vec::new();
    while let Some((from, one)) = &parents[number] {
        path.push(one.clone());
        number = *from;
    }
    path.reverse();
    path
}

/// A state from which a way leads back to itself. Without one every way ends, and it ends in a state of rest.
fn on_a_cycle(states: usize, edges: &[(usize, usize)]) -> Option<usize> {
    let mut follows: Vec<Vec<usize>> = vec![Vec::new(); states];
    let mut before = vec![0_usize; states];
    for (from, to) in edges {
        follows[*from].push(*to);
        before[*to] += 1;
    }
    let mut free: Vec<usize> = (0..states).filter(|state| before[*state] == 0).collect();
    while let Some(state) = free.pop() {
        for next in &follows[state] {
            before[*next] -= 1;
            if before[*next] == 0 {
                free.push(*next);
            }
        }
    }
    // What is left is on a cycle or behind one; who comes first on the way there is on it or before all others.
    (0..states).find(|state| before[*state] > 0)
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::on_a_cycle;

    #[test]
    fn a_cycle_is_found_and_two_ways_to_one_state_are_none() {
        assert_eq!(on_a_cycle(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]), None);
        assert_eq!(on_a_cycle(4, &[(0, 1), (1, 2), (2, 1), (2, 3)]), Some(1));
        assert_eq!(on_a_cycle(2, &[(0, 1), (1, 1)]), Some(1));
    }
}
