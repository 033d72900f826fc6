//! A list of virsh commands, and two guests on which each is run at once: on the near one directly, on the far one
//! through a door. How to read and write a list is said at the head of `fixtures/rpc/virsh.txt`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::door::Manners;
use crate::support::until;

/// How long a command may take, and how long one is watched that must wait. *Units*: seconds.
const LIMIT: &str = "60";
const HELD: &str = "2";
/// The exit code of `timeout` when it ended a command.
const TIMED_OUT: i32 = 124;

/// One line of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Section(String),
    Run(Run),
    /// Waits until virsh says this, and nothing else, to these words.
    Await(Vec<String>, String),
    /// Runs a program that is no libvirt client.
    Local(Vec<String>),
    /// Two files of a side are equal.
    Same(String, String),
}

/// A virsh command, and what is expected of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) words: Vec<String>,
    expect: Expect,
    compare: Compare,
    pub(crate) line: usize,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Expect {
    Success,
    Failure,
    /// Either; what counts is that both sides say the same.
    Either,
    /// Fails on both sides, at the door in covirt's own words.
    OwnWords,
    /// Succeeds directly and is refused at the door.
    Refusal,
    /// Fails directly, and waits at the door for what its own provider has open.
    Held,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Compare {
    /// Every byte, but for the guest's own names.
    Words,
    /// With every number read as the same.
    Shape,
    /// Every byte: it is about the host, which is one.
    Host,
}

/// The steps of a list, and the files that it wants written.
#[track_caller]
pub(crate) fn parse(text: &str) -> (Vec<Step>, BTreeMap<String, String>) {
    let (mut steps, mut files) = (Vec::new(), BTreeMap::new());
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
        } else if let Some(title) = line.strip_prefix("== ") {
            steps.push(Step::Section(title.to_owned()));
        } else if let Some(name) = line.strip_prefix("file ") {
            let body: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "end").collect();
            files.insert(name.to_owned(), body.join("\n") + "\n");
        } else if let Some(rest) = line.strip_prefix("await ") {
            let (words, wanted) = rest.split_once("->").unwrap_or_else(|| panic!("line {}: await … -> …", index + 1));
            steps.push(Step::Await(split(words), wanted.trim().to_owned()));
        } else if let Some(rest) = line.strip_prefix("local ") {
            steps.push(Step::Local(split(rest)));
        } else if let Some(rest) = line.strip_prefix("same ") {
            let words = split(rest);
            let [one, other] = words.as_slice() else { panic!("line {}: same ONE OTHER", index + 1) };
            steps.push(Step::Same(one.clone(), other.clone()));
        } else {
            steps.push(Step::Run(run(line, index + 1)));
        }
    }
    (steps, files)
}

fn run(mut line: &str, number: usize) -> Run {
    let (mut expect, mut compare) = (Expect::Success, Compare::Words);
    loop {
        if let Some(rest) = line.strip_prefix("! ") {
            (expect, line) = (Expect::Failure, rest);
        } else if let Some(rest) = line.strip_prefix("? ") {
            (expect, line) = (Expect::Either, rest);
        } else if let Some(rest) = line.strip_prefix("own: ") {
            (expect, line) = (Expect::OwnWords, rest);
        } else if let Some(rest) = line.strip_prefix("refused: ") {
            (expect, line) = (Expect::Refusal, rest);
        } else if let Some(rest) = line.strip_prefix("held: ") {
            (expect, line) = (Expect::Held, rest);
        } else if let Some(rest) = line.strip_prefix("~ ") {
            (compare, line) = (Compare::Shape, rest);
        } else if let Some(rest) = line.strip_prefix("host: ") {
            (compare, line) = (Compare::Host, rest);
        } else {
            return Run { words: split(line), expect, compare, line: number };
        }
    }
}

/// Words as a shell splits them, with single quotes only.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for letter in line.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            letter if letter.is_whitespace() && !quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// One of the two guests, and the way to it.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) uri: String,
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) mac: String,
    /// The first three bytes of addresses that only it uses.
    pub(crate) net: &'static str,
    /// Where its files are.
    pub(crate) folder: PathBuf,
}

impl Side {
    fn fill(&self, text: &str) -> String {
        let folder = self.folder.display().to_string();
        let text = text.replace("$UUID", &self.uuid).replace("$SECRET", &format!("5ec2e700{}", &self.uuid[8..]));
        text.replace("$MAC", &self.mac).replace("$NET", self.net).replace("$DIR", &folder).replace('@', &self.name)
    }

    fn virsh(&self, words: &[String], limit: &str) -> Output {
        let mut command = Command::new("timeout");
        command.args([limit, "virsh", "-c", &self.uri]).args(words.iter().map(|word| self.fill(word)));
        command.env("LC_ALL", "C.UTF-8").env("VISUAL", "sed -i -e s/the-old-words/the-new-words/");
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// What virsh said, as far as it is compared.
    fn said(&self, output: &Output, compare: Compare) -> String {
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let socket = self.uri.rsplit('=').next().unwrap_or_default();
        let text = text.replace(socket, "SOCKET");
        if compare == Compare::Host {
            return text;
        }
        let own = [
            (self.folder.display().to_string(), "DIR"),
            (self.name.clone(), "NAME"),
            (self.uuid.clone(), "OWN-UUID"),
            (self.mac.clone(), "OWN-MAC"),
        ];
        let text = own.iter().fold(text, |text, (own, word)| text.replace(own, word));
        let text = shaped(&shaped(&text, &[8, 4, 4, 4, 12], '-', "UUID"), &[2; 6], ':', "MAC");
        if compare == Compare::Shape { without_numbers(&text) } else { text }
    }
}

/// Replaces what has the form of groups of hexadecimal digits of these lengths.
fn shaped(text: &str, groups: &[usize], between: char, word: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let after = groups.iter().enumerate().try_fold(rest, |rest, (index, length)| {
            let rest = if index == 0 { rest } else { rest.strip_prefix(between)? };
            let group = rest.get(..*length)?;
            group.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| &rest[*length..])
        });
        if let Some(after) = after {
            out.push_str(word);
            rest = after;
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// Every number as `#`; columns are as wide as their numbers, so white space and rules count as one each.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        let letter = match letter {
            letter if letter.is_ascii_digit() => '#',
            letter if letter.is_whitespace() && letter != '\n' => ' ',
            letter => letter,
        };
        if !(matches!(letter, '#' | ' ' | '-') && out.ends_with(letter)) {
            out.push(letter);
        }
    }
    out
}

/// The two sides of every comparison.
pub(crate) struct Twins {
    pub(crate) near: Side,
    pub(crate) far: Side,
    pub(crate) manners: Manners,
}

impl Twins {
    fn both<T: Send>(&self, work: impl Fn(&Side) -> T + Sync) -> (T, T) {
        std::thread::scope(|scope| {
            let far = scope.spawn(|| work(&self.far));
            (work(&self.near), far.join().expect("the far side"))
        })
    }

    /// Writes the list's files for both.
    pub(crate) fn write(&self, files: &BTreeMap<String, String>) {
        self.both(|side| {
            for (name, text) in files {
                std::fs::write(side.folder.join(name), side.fill(text)).expect("write a file of the list");
            }
        });
    }

    /// Runs a step on both sides; what is wrong with it.
    pub(crate) fn play(&self, step: &Step) -> Result<(), String> {
        match step {
            Step::Section(_) => Ok(()),
            Step::Run(run) => self.compare(run),
            Step::Await(words, wanted) => {
                self.both(|side| {
                    until(&format!("virsh {words:?} says {wanted:?}"), Duration::from_secs(90), || {
                        let output = side.virsh(words, LIMIT);
                        let (said, wanted) = (String::from_utf8_lossy(&output.stdout), side.fill(wanted));
                        let is_so = match wanted.strip_prefix("… ") {
                            Some(part) => said.contains(part),
                            None => said.trim() == wanted,
                        };
                        is_so.then_some(())
                    });
                });
                Ok(())
            }
            Step::Local(words) => self.local(words),
            Step::Same(one, other) => self.same(one, other),
        }
    }

    fn compare(&self, run: &Run) -> Result<(), String> {
        let limit = if run.expect == Expect::Held { HELD } else { LIMIT };
        let (near, far) = self.both(|side| side.virsh(&run.words, limit));
        let words = run.words.join(" ");
        let (near_said, far_said) = (self.near.said(&near, run.compare), self.far.said(&far, run.compare));
        let at = format!("line {}: virsh {words}", run.line);
        let codes = (near.status.code(), far.status.code());
        let by_covirt = match run.expect {
            Expect::Success | Expect::Failure | Expect::Either => None,
            Expect::OwnWords => Some((1, 1)),
            Expect::Refusal => Some((0, 1)),
            Expect::Held => Some((1, TIMED_OUT)),
        };
        if let Some((direct, door)) = by_covirt.filter(|_| self.manners == Manners::Door) {
            return if codes == (Some(direct), Some(door)) && near_said != far_said {
                Ok(())
            } else {
                Err(format!("{at}: {:?}, but {codes:?}\n--- direct\n{near_said}\n--- door\n{far_said}", run.expect))
            };
        }
        if codes.0 != codes.1 {
            return Err(format!("{at}: exit codes {codes:?}\n--- direct\n{near_said}\n--- door\n{far_said}"));
        }
        if near_said != far_said {
            return Err(format!("{at}: other words\n--- direct\n{near_said}\n--- door\n{far_said}"));
        }
        let wanted = match run.expect {
            Expect::Success | Expect::Refusal => codes.0 == Some(0),
            Expect::Failure | Expect::OwnWords | Expect::Held => codes.0 == Some(1),
            Expect::Either => matches!(codes.0, Some(0 | 1)),
        };
        if wanted { Ok(()) } else { Err(format!("{at}: exit code {:?} on both sides\n{near_said}", codes.0)) }
    }

    fn local(&self, words: &[String]) -> Result<(), String> {
        let (near, far) = self.both(|side| {
            let words: Vec<String> = words.iter().map(|word| side.fill(word)).collect();
            let output = Command::new(&words[0]).args(&words[1..]).output().expect("a program of the list starts");
            output.status.success().then_some(()).ok_or_else(|| format!("{words:?}: {output:?}"))
        });
        near.and(far)
    }

    fn same(&self, one: &str, other: &str) -> Result<(), String> {
        let (near, far) = self.both(|side| {
            let read =
                |file: &str| std::fs::read(Path::new(&side.fill(file))).map_err(|error| format!("{file}: {error}"));
            if read(one)? == read(other)? { Ok(()) } else { Err(format!("{}: {one} is not {other}", side.name)) }
        });
        near.and(far)
    }
}

#[test]
fn words_are_split_as_a_shell_does() {
    assert_eq!(split("desc @  --config 'two words' ''"), ["desc", "@", "--config", "two words", ""]);
}

#[test]
fn numbers_and_the_width_of_columns_do_not_count() {
    assert_eq!(without_numbers("Id:     17\n--------\n a.3  12 kB"), "Id: #\n-\n a.# # kB");
    let text = "x 1c2d3e4f-0011-2233-4455-66778899aabb 52:54:00:ab:cd:ef y";
    assert_eq!(shaped(&shaped(text, &[8, 4, 4, 4, 12], '-', "UUID"), &[2; 6], ':', "MAC"), "x UUID MAC y");
}
