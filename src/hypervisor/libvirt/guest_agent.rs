//! Talking with the agent in a guest: no longer than it is given, and in its own words.

use serde_json::{Value, json};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use super::failure::{Fault, Reached};
use crate::hypervisor::evidence::Seen;

/// What tells whether file systems stand still.
const STATUS: &str = "guest-fsfreeze-status";
/// How long an agent is given that is asked what is so. *Units*: seconds.
const QUESTION_LIMIT_S: u32 = 10;
/// The longest answer of an agent that is kept with a command for ever. *Units*: bytes.
const ANSWER_MAX: usize = 256 * 1024;
/// What libvirt puts before an agent's own sentence.
const PREFIX: &str = "unable to execute QEMU agent command '";

/// Whether file systems stand still, as the agent believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FreezeStatus {
    /// At least one does.
    Frozen,
    /// None does.
    Thawed,
}

/// Asks the agent whether file systems stand still. It changes nothing.
pub(super) fn freeze_status(connect: &Connect, domain: &Domain) -> Result<FreezeStatus, Fault> {
    command(connect, domain, STATUS, &Value::Null, QUESTION_LIMIT_S, Reached::Harmless)
        .and_then(|said| status_in(&said))
}

/// Whether file systems are as a call was to make them. An agent that does not tell leaves it unknown.
pub(super) fn seen(connect: &Connect, domain: &Domain, wanted: FreezeStatus) -> Result<Seen, Fault> {
    let asked = json!({ "execute": STATUS }).to_string();
    let error = match domain.qemu_agent_command(&asked, seconds(QUESTION_LIMIT_S), 0) {
        Ok(answer) => {
            let status = read(&answer).and_then(|said| status_in(&said));
            return Ok(status.map_or(Seen::Never, |status| Seen::when(status == wanted)));
        }
        Err(error) => error,
    };
    match Fault::of(connect, &error, Reached::Harmless) {
        gone @ (Fault::Unsent(_) | Fault::Lost(_) | Fault::NoSuchVm(_)) => Err(gone),
        // Another call has the agent, perhaps the very one that is asked about: later.
        busy if error.code().to_raw() == sys::VIR_ERR_OPERATION_TIMEOUT => Err(busy),
        Fault::Forbidden(_) | Fault::Failed(_) | Fault::GuestTimeout(_) => Ok(Seen::Never),
    }
}

fn status_in(answer: &Value) -> Result<FreezeStatus, Fault> {
    match answer.as_str() {
        Some("frozen") => Ok(FreezeStatus::Frozen),
        Some("thawed") => Ok(FreezeStatus::Thawed),
        Some(_) | None => Err(Fault::Failed(format!("the guest's agent says {answer} of its file systems"))),
    }
}

/// Gives the agent a command and its answer back. *Units*: `limit`: seconds.
pub(super) fn command(
    connect: &Connect,
    domain: &Domain,
    name: &str,
    arguments: &Value,
    limit: u32,
    reached: Reached,
) -> Result<Value, Fault> {
    let mut asked = json!({ "execute": name });
    if let (Some(fields), false) = (asked.as_object_mut(), arguments.is_null()) {
        fields.insert("arguments".to_owned(), arguments.clone());
    }
    let answer = domain.qemu_agent_command(&asked.to_string(), seconds(limit), 0);
    read(&answer.map_err(|error| fault(connect, &error, reached))?)
}

fn read(answer: &str) -> Result<Value, Fault> {
    if answer.len() > ANSWER_MAX {
        let bytes = answer.len();
        return Ok(json!({ "left_out": format!("the answer is {bytes} bytes; at most {ANSWER_MAX} are kept") }));
    }
    let whole: Result<Value, _> = serde_json::from_str(answer);
    match whole.ok().and_then(|mut whole| whole.get_mut("return").map(Value::take)) {
        Some(answer) => Ok(answer),
        None => {
            Err(Fault::Failed("the guest's agent answered with something else than JSON with a \"return\"".to_owned()))
        }
    }
}

/// What libvirt said, in the agent's own words where it only passes them on.
pub(super) fn fault(connect: &Connect, error: &Error, reached: Reached) -> Fault {
    match Fault::of(connect, error, reached) {
        Fault::Failed(text) => Fault::Failed(in_own_words(&text).unwrap_or(text)),
        other => other,
    }
}

fn in_own_words(text: &str) -> Option<String> {
    let (_, said) = text.split_once(PREFIX)?;
    let (command, sentence) = said.split_once("': ")?;
    Some(format!("the guest's agent refuses {command}: {sentence}"))
}

fn seconds(limit: u32) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_own_sentence_is_passed_on() {
        let text = "internal error: unable to execute QEMU agent command 'guest-nope': The command guest-nope has not \
                    been found";
        let own = "the guest's agent refuses guest-nope: The command guest-nope has not been found";
        assert_eq!(in_own_words(text).as_deref(), Some(own));
        assert_eq!(in_own_words("internal error: client socket is closed"), None);
    }

    #[test]
    fn an_answer_is_what_the_agent_returned_and_not_without_end() {
        assert_eq!(read(r#"{"return":{"pid":7}}"#), Ok(json!({ "pid": 7 })));
        assert_eq!(read(r#"{"return":{}}"#), Ok(json!({})));
        assert!(matches!(read("7"), Err(Fault::Failed(_))));
        let long = read(&format!("{{\"return\":\"{}\"}}", "x".repeat(ANSWER_MAX))).unwrap();
        assert!(long["left_out"].as_str().is_some_and(|note| note.contains("bytes")), "{long}");
    }
}
