//! A path through a scene, in the language of the scenario files.

use covirt::model::CommandId;
use covirt::resolver::Evidence;
use serde_json::Value;

use super::bound::Bound;
use super::node::{Move, Node};
use super::scenes::Scene;
use super::script;
use super::world::World;

/// What to put above the lines of a path to make it a scenario file.
pub(crate) fn head(scene: &Scene) -> Vec<String> {
    let names: Vec<&str> = scene.commands.iter().map(|(_, name, _)| *name).collect();
    vec![format!("policy {}", scene.settings), "providers north".to_owned(), format!("names {}", names.join(" "))]
}

/// The lines of a path. An append waits until a line says that the journal confirms it, or that it catches up.
pub(crate) fn lines(scene: &Scene, bound: Bound, path: &[Move]) -> Vec<String> {
    let mut node = Node::first(scene, bound);
    let mut lines =
        vec![format!("north delegates {} to south shared", scene.delegated), "the journal stalls".to_owned()];
    for (place, one) in path.iter().enumerate() {
        let (was_prompt, ticks) = (node.is_prompt(), matches!(one, Move::Tick));
        lines.extend(told(scene, &node, one));
        // The last one may be what breaks a promise.
        if place + 1 < path.len() {
            node.take(scene, one);
        }
        if ticks && node.looks() {
            lines.push("the agent looks at the VM".to_owned());
        }
        if node.is_prompt() && !was_prompt {
            lines.push("the journal catches up".to_owned());
        }
    }
    lines
}

fn told(scene: &Scene, node: &Node, one: &Move) -> Vec<String> {
    let name = |id: &CommandId| scene.name_of(*id);
    vec![match one {
        Move::Submit(which) => {
            let (who, name, line) = scene.commands[*which];
            format!("{who} submits {name}: {line}")
        }
        Move::Confirm => "the journal confirms one append".to_owned(),
        Move::Finish(id) => format!("hypervisor finishes {}", name(id)),
        Move::Answer(conflict, who, said) => {
            let Value::String(said) = serde_json::to_value(said).unwrap() else { unreachable!("an answer is a word") };
            let about = node.asked_about(*conflict, who).unwrap();
            format!("{who} answers {said} about {}", name(&about))
        }
        Move::Show(id, evidence) => {
            let shown = match evidence {
                Evidence::Done => "done",
                Evidence::Undone => "undone",
                Evidence::None => "nothing",
            };
            format!("hypervisor shows {} {shown}", name(id))
        }
        Move::Tick => format!("at {}us", node.wakes_at().unwrap().0),
        Move::JobsEnd => "libvirt shows the backup over".to_owned(),
        Move::Fail(id) => format!("hypervisor fails {}", name(id)),
        Move::Lose(id) => format!("hypervisor loses {}", name(id)),
        Move::Destroy => "somebody runs virsh destroy".to_owned(),
        Move::CutOff => "south is cut off".to_owned(),
        Move::Revoke => "north revokes from south".to_owned(),
        Move::Crash(written) => {
            let again = "the agent dies and starts again, and the journal stalls".to_owned();
            let look = "the agent looks at the VM".to_owned();
            return match written {
                0 => vec![again, look],
                _ => vec![format!("the journal writes {written} appends, of which nobody hears"), again, look],
            };
        }
    }]
}

/// A path, and what the lane did at each step, for people.
pub(crate) fn story(scene: &Scene, bound: Bound, path: &[Move]) -> String {
    let mut world = world(scene);
    let mut told = head(scene);
    for line in lines(scene, bound, path) {
        told.push(line.clone());
        // What is told of may be just what the scenario's own checks refuse to play.
        let play = std::panic::AssertUnwindSafe(|| script::run(&mut world, &line));
        match std::panic::catch_unwind(play) {
            Ok(answer) => told.extend(answer.into_iter().map(|line| format!("    {line}"))),
            Err(_) => break,
        }
    }
    told.join("\n")
}

/// Where the lines of a path are played: names have the ids of the scene.
pub(crate) fn world(scene: &Scene) -> World {
    let mut world = World::alone(scene.policy());
    for (which, (_, name, _)) in scene.commands.iter().enumerate() {
        assert_eq!(world.id(name), scene.id(which));
    }
    world
}
