//! A call, and what it is: tables to be read from left to right.

mod fuzz;
mod hostile;
mod meanings;
mod reads;
mod usual;

use std::fmt::Write as _;

use uuid::Uuid;

use super::*;
use crate::doors::rpc::procedures::{self, Procedure};
use crate::doors::rpc::xdr::Writer;
use crate::model::VmId;

/// The VM of every payload here.
const VM: VmId = VmId(Uuid::from_u128(7));

/// Builds a payload.
#[derive(Default)]
struct Payload(Writer);

impl Payload {
    fn bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }

    /// The VM, with a name and a number that are not to be believed.
    fn vm(mut self) -> Self {
        self.0.string("not-its-name").raw(VM.0.as_bytes()).i32(99);
        self
    }

    /// A snapshot or a checkpoint of the VM.
    fn named(mut self, name: &str) -> Self {
        self.0.string(name);
        self.vm()
    }

    fn u(mut self, value: u32) -> Self {
        self.0.u32(value);
        self
    }

    fn i(mut self, value: i32) -> Self {
        self.0.i32(value);
        self
    }

    /// A hyper.
    fn h(mut self, value: u64) -> Self {
        self.0.u64(value);
        self
    }

    fn s(mut self, text: &str) -> Self {
        self.0.string(text);
        self
    }

    /// A text that is there though it could be left out.
    fn some(mut self, text: &str) -> Self {
        self.0.optional_string(Some(text));
        self
    }

    fn none(mut self) -> Self {
        self.0.optional_string(None);
        self
    }

    fn texts(mut self, texts: &[&str]) -> Self {
        self.0.count(texts.len());
        for text in texts {
            self.0.string(text);
        }
        self
    }

    /// Parameters that are texts and such as are unsigned hypers.
    fn parameters(mut self, texts: &[(&str, &str)], numbers: &[(&str, u64)]) -> Self {
        self.0.count(texts.len() + numbers.len());
        for (name, text) in texts {
            self.0.string(name).u32(7).string(text);
        }
        for (name, number) in numbers {
            self.0.string(name).u32(4).u64(*number);
        }
        self
    }
}

fn p() -> Payload {
    Payload::default()
}

fn procedure(name: &str) -> &'static Procedure {
    let program = if name.starts_with("qemu:") { 0x2000_8087 } else { 0x2000_8086 };
    let name = name.trim_start_matches("qemu:");
    let found = procedures::all().find(|procedure| procedure.program == program && procedure.name == name);
    found.unwrap_or_else(|| panic!("{name} is in the table"))
}

fn treated(name: &str, payload: &[u8]) -> Treatment {
    let procedure = procedure(name);
    treatment(procedure.program, procedure.number, payload).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A treatment in a line: what is done with the call, of which VM, as what.
fn line(treatment: &Treatment) -> String {
    match treatment {
        Treatment::Pass => "pass".to_owned(),
        Treatment::Look { subject, secret: Secrecy::Open } => format!("look at {}", subject_in_words(subject)),
        Treatment::Look { subject, secret: Secrecy::Secret } => {
            format!("look at the secrets of {}", subject_in_words(subject))
        }
        Treatment::Host(access, subject) => {
            let verb = if *access == HostAccess::Read { "host read" } else { "host write" };
            if *subject == Subject::None { verb.to_owned() } else { format!("{verb} {}", subject_in_words(subject)) }
        }
        Treatment::Refuse(why) => format!("refuse: {why:?}"),
        Treatment::Change { subject, operation, pace } => {
            let mut text = match subject {
                Subject::Vm(vm) if *vm == VM => String::new(),
                other => format!("{}: ", subject_in_words(other)),
            };
            match pace {
                Pace::Held => {}
                other => write!(text, "[{other:?}] ").unwrap(),
            }
            text + &operation_in_words(operation)
        }
    }
}

fn operation_in_words(operation: &Operation) -> String {
    let Operation::Relayed(args) = operation else {
        let args = operation.args().to_string();
        return format!("{} {}", operation.action(), args.replace('"', "'"));
    };
    let touches: Vec<String> = args.touches.iter().map(ToString::to_string).collect();
    let touches = if touches.is_empty() { String::new() } else { format!(" + {}", touches.join(" ")) };
    format!("relayed {}{touches}", args.action)
}

fn subject_in_words(subject: &Subject) -> String {
    match subject {
        Subject::None => "no VM".to_owned(),
        Subject::Vm(vm) if *vm == VM => "the VM".to_owned(),
        other => format!("{other:?}").replace('"', "'"),
    }
}

/// The name of a procedure, its payload, and the line that it must give.
type Row = (&'static str, Payload, &'static str);

#[track_caller]
fn hold(rows: Vec<Row>) {
    let mut wrong = String::new();
    for (name, payload, expected) in rows {
        let found = line(&treated(name, &payload.bytes()));
        if found != expected {
            writeln!(wrong, "{name}\n  is  {found}\n  not {expected}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
