//! An action's arguments on the command line: `KEY=VALUE`, nested by dots, from files and from standard input.
//!
//! Assumes nothing about the texts. Guarantees that what comes from a file or from standard input is never shown, and
//! that no key is given twice.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::fault::CarryOutError;

/// The largest file: what the agent takes in one request. *Units*: bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// One argument as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// The key, from the outside to the inside.
    path: Vec<String>,
    value: Given,
}

#[derive(Debug, Clone, PartialEq)]
enum Given {
    Here(Value),
    File(PathBuf),
    StandardInput,
}

/// Reads `KEY=VALUE`, `KEY.KEY=VALUE`, `KEY=@FILE` and `KEY=@-`.
///
/// *Errors*: a sentence, which never has the value in it.
pub fn parse_argument(text: &str) -> Result<Argument, String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    let path: Vec<String> = key.split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err(format!("{key:?} is no key"));
    }
    let value = match value.strip_prefix('@') {
        Some("") => return Err(format!("{key}=@ names no file")),
        Some("-") => Given::StandardInput,
        Some(file) => Given::File(file.into()),
        None => Given::Here(serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()))),
    };
    Ok(Argument { path, value })
}

/// All arguments as one object.
///
/// *Errors*: a key that is given twice; a file that cannot be read or is too large; standard input that is a terminal or
/// is asked for twice.
pub fn assemble(arguments: &[Argument]) -> Result<Value, CarryOutError> {
    let mut object = Map::new();
    let mut input_is_read = false;
    for Argument { path, value } in arguments {
        let key = path.join(".");
        let value = match value {
            Given::Here(value) => value.clone(),
            Given::File(file) => {
                let unreadable = |source| CarryOutError::Read { path: file.clone(), source };
                Value::String(text_of(File::open(file).map_err(unreadable)?, &key, unreadable)?)
            }
            Given::StandardInput if std::mem::replace(&mut input_is_read, true) => {
                return Err(CarryOutError::Usage("standard input can be read for one argument only".to_owned()));
            }
            Given::StandardInput => {
                let input = io::stdin();
                if input.is_terminal() {
                    let message = format!("{key}=@- reads standard input, and a terminal would show it: pipe it in");
                    return Err(CarryOutError::Usage(message));
                }
                let unreadable = |source| CarryOutError::Read { path: "standard input".into(), source };
                Value::String(text_of(input.lock(), &key, unreadable)?)
            }
        };
        if !put(&mut object, path, value) {
            return Err(CarryOutError::Usage(format!("{key} is given twice")));
        }
    }
    Ok(Value::Object(object))
}

/// The whole text without the line break that editors and `echo` end it with.
fn text_of(
    from: impl Read,
    key: &str,
    unreadable: impl Fn(io::Error) -> CarryOutError,
) -> Result<String, CarryOutError> {
    let mut text = String::new();
    from.take(FILE_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_MAX {
        return Err(CarryOutError::Usage(format!("{key} is at most {FILE_MAX} bytes")));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Puts a value where the path leads; false when something is there already.
fn put(into: &mut Map<String, Value>, path: &[String], value: Value) -> bool {
    match path {
        [] => false,
        [key] => !into.contains_key(key) && into.insert(key.clone(), value).is_none(),
        [key, inside @ ..] => match into.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(object) => put(object, inside, value),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(words: &[&str]) -> Result<Value, String> {
        let arguments: Vec<Argument> = words.iter().map(|word| parse_argument(word)).collect::<Result<_, _>>()?;
        assemble(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_is_json_when_it_can_be() {
        let given = object(&["vcpus=2", "name=demo-1", "other=\"7\"", "xml=<a b='c'/>=x", "disks=[\"vda\"]"]);
        let expected = json!({"vcpus": 2, "name": "demo-1", "other": "7", "xml": "<a b='c'/>=x", "disks": ["vda"]});
        assert_eq!(given, Ok(expected));
    }

    #[test]
    fn dots_lead_inside() {
        let given = object(&["mode=push", "files.vda=/b/a", "files.vdb=/b/b", "inbound.average=100"]);
        let expected = json!({"mode": "push", "files": {"vda": "/b/a", "vdb": "/b/b"}, "inbound": {"average": 100}});
        assert_eq!(given, Ok(expected));
        assert_eq!(
            object(&["files={\"vda\":\"/a\"}", "files.vdb=/b"]),
            Ok(json!({"files": {"vda": "/a", "vdb": "/b"}}))
        );
    }

    #[test]
    fn a_file_is_text_whatever_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pass.word");
        for (content, text) in [("1234\n", "1234"), ("<a/>\r\n", "<a/>"), ("two\n\n", "two\n"), ("", "")] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(object(&[&format!("password=@{}", file.display())]), Ok(json!({ "password": text })));
        }
        std::fs::write(&file, vec![b'x'; 1024 * 1024 + 1]).unwrap();
        assert!(object(&[&format!("xml=@{}", file.display())]).unwrap_err().contains("at most"));
        assert!(object(&["xml=@/no/such/file"]).unwrap_err().contains("/no/such/file"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_the_value() {
        for words in [
            &["hunter2"][..],
            &["=hunter2"],
            &["a.=hunter2"],
            &["a..b=hunter2"],
            &["a=hunter2", "a=hunter2"],
            &["a=hunter2", "a.b=hunter2"],
            &["a.b=hunter2", "a=hunter2"],
            &["a=@"],
        ] {
            let refused = object(words).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
