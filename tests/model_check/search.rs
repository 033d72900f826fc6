//! Every state that can be reached, each once; then the shortest paths among them.

use std::any::Any;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::bound::Bound;
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

/// Which of the states that are known and not yet looked at is looked at next.
#[derive(Clone, Copy)]
enum Next {
    /// The one found last, so that only the states beside one path are kept.
    Last,
    /// The nearest to the first, so that what is found is found by a shortest path.
    Nearest,
}

/// From which state to which, and by what.
struct Edge {
    from: usize,
    to: usize,
    by: Move,
}

/// Walks through every state of a scene within its bound.
pub(crate) fn all_states(scene: &Scene, bound: Bound) -> Result<Found, Broken> {
    walk(scene, bound, Next::Last).or_else(|broken| walk(scene, bound, Next::Nearest).and(Err(broken)))
}

fn walk(scene: &Scene, bound: Bound, next: Next) -> Result<Found, Broken> {
    let trace = std::env::var_os("COVIRT_TRACE").is_some();
    let first = Node::first(scene, bound);
    let mut known: HashMap<Mark, usize> = HashMap::from([(first.mark(), 0)]);
    let mut edges: Vec<Edge> = Vec::new();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    let mut witnesses: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
    let mut frontier = VecDeque::from([(0, first)]);
    let pop = |frontier: &mut VecDeque<(usize, Node)>| match next {
        Next::Last => frontier.pop_back(),
        Next::Nearest => frontier.pop_front(),
    };
    while let Some((number, node)) = pop(&mut frontier) {
        for (_, name, is) in scene.witnesses {
            if is(scene, &node) {
                witnesses.entry(name).or_default().push(number);
            }
        }
        let mut moves = node.moves(scene);
        let Some(last) = moves.pop() else {
            let broken = |what| Broken { what, path: path(&edges, &nearest(known.len(), &edges), number) };
            catch_unwind(AssertUnwindSafe(|| node.at_rest())).map_err(|panic| broken(said(&*panic)))?;
            *ends.entry(scene.end(&node)).or_default() += 1;
            continue;
        };
        let others = moves.into_iter().map(|one| (one, node.clone())).collect::<Vec<_>>();
        for (by, mut then) in others.into_iter().chain([(last, node)]) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| then.take(scene, &by))) {
                let mut path = path(&edges, &nearest(known.len(), &edges), number);
                path.push(by);
                return Err(Broken { what: said(&*panic), path });
            }
            let new = known.len();
            let to = *known.entry(then.mark()).or_insert(new);
            edges.push(Edge { from: number, to, by });
            if to == new {
                frontier.push_back((to, then));
                if trace && to.is_multiple_of(50_000) {
                    eprintln!("{to} states so far, {} to look at", frontier.len());
                }
            }
        }
    }
    let before = nearest(known.len(), &edges);
    if let Some(number) = on_a_cycle(known.len(), &edges) {
        let what = "liveness: the lane can come back to this state for ever".to_owned();
        return Err(Broken { what, path: path(&edges, &before, number) });
    }
    let shortest = |(name, states): (&'static str, Vec<usize>)| {
        let nearest = states.into_iter().min_by_key(|number| (before[*number].1, *number))?;
        Some((name, path(&edges, &before, nearest)))
    };
    Ok(Found {
        states: known.len(),
        transitions: edges.len(),
        depth: before.iter().map(|(_, depth)| *depth).max().unwrap_or_default(),
        ends,
        witnesses: witnesses.into_iter().filter_map(shortest).collect(),
    })
}

/// Of every state the last edge of a shortest path to it, and how many there are on it.
fn nearest(states: usize, edges: &[Edge]) -> Vec<(Option<usize>, usize)> {
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); states];
    edges.iter().enumerate().for_each(|(place, edge)| leaving[edge.from].push(place));
    let mut found: Vec<Option<(Option<usize>, usize)>> = vec![None; states];
    found[0] = Some((None, 0));
    let mut frontier = VecDeque::from([(0, 0)]);
    while let Some((number, depth)) = frontier.pop_front() {
        for place in &leaving[number] {
            let to = edges[*place].to;
            if found[to].is_none() {
                found[to] = Some((Some(*place), depth + 1));
                frontier.push_back((to, depth + 1));
            }
        }
    }
    found.into_iter().map(|way| way.unwrap_or((None, usize::MAX))).collect()
}

fn path(edges: &[Edge], nearest: &[(Option<usize>, usize)], mut number: usize) -> Vec<Move> {
    let mut path = Vec::new();
    while let (Some(last), _) = nearest[number] {
        path.push(edges[last].by.clone());
        number = edges[last].from;
    }
    path.reverse();
    path
}

/// A state from which a way leads back to itself. Without one every way ends, and it ends in a state of rest.
fn on_a_cycle(states: usize, edges: &[Edge]) -> Option<usize> {
    let mut follows: Vec<Vec<usize>> = vec![Vec::new(); states];
    let mut before = vec![0_usize; states];
    for Edge { from, to, .. } in edges {
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
    use super::{Edge, Move, nearest, on_a_cycle, path};

    fn edges(all: &[(usize, usize)]) -> Vec<Edge> {
        all.iter()
            .enumerate()
            .map(|(place, (from, to))| Edge { from: *from, to: *to, by: Move::Submit(place) })
            .collect()
    }

    #[test]
    fn a_cycle_is_found_and_two_ways_to_one_state_are_none() {
        assert_eq!(on_a_cycle(4, &edges(&[(0, 1), (0, 2), (1, 3), (2, 3)])), None);
        assert_eq!(on_a_cycle(4, &edges(&[(0, 1), (1, 2), (2, 1), (2, 3)])), Some(1));
        assert_eq!(on_a_cycle(2, &edges(&[(0, 1), (1, 1)])), Some(1));
    }

    #[test]
    fn a_path_is_a_shortest_one_whichever_was_walked_first() {
        let edges = edges(&[(0, 1), (1, 2), (2, 3), (0, 4), (4, 3)]);
        assert_eq!(path(&edges, &nearest(5, &edges), 3), [Move::Submit(3), Move::Submit(4)]);
    }
}
