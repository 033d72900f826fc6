//! Weaves mutants into sources: all in one program, each behind a switch, so that trying one costs a run and no build.
//!
//!     weave LIST CRATE
//!
//! `LIST` is what `cargo mutants --list --json` prints; the files that it names are changed where they are, in `CRATE`. The
//! mutant that is LIST's nth is on where `crate::woven::on(n)` says so. What it replaces is between `/*<n*/` and `/*n>*/`, so
//! that who compiles it can tell which mutant an error is in.
//!
//! A mutant means what it means to cargo-mutants, which changes the text: `a && b && c` with `||` first is `a || (b && c)`. So
//! a tree of binary operators is repeated whole for each of its mutants. What cannot be woven (an operator beside `let`, what is in a
//! macro) is left out.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;

use proc_macro2::LineColumn;
use serde_json::Value;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

struct Mutant {
    number: usize,
    replacement: String,
}

/// The text of one file, what is woven into it, and the mutants of it, by where they begin.
struct Weaver<'a> {
    text: &'a str,
    mutants: HashMap<(String, usize), Vec<Mutant>>,
    /// At each offset: what closes there, inner first; and what opens, outer first.
    closes: BTreeMap<usize, Vec<String>>,
    opens: BTreeMap<usize, Vec<String>>,
    /// What is left out.
    cuts: Vec<Range<usize>>,
}

impl Weaver<'_> {
    fn take(&mut self, genre: &str, at: usize) -> Vec<Mutant> {
        self.mutants.remove(&(genre.to_owned(), at)).unwrap_or_default()
    }

    fn open(&mut self, at: usize, text: String) {
        self.opens.entry(at).or_default().push(text);
    }

    fn close(&mut self, at: usize, text: &str) {
        self.closes.entry(at).or_default().push(text.to_owned());
    }

    /// Opens a choice between an expression and what its mutants make of it. Whoever opens it closes it with `})`.
    fn choose(&mut self, at: usize, alternatives: &[(usize, String)]) {
        let choices: String = alternatives
            .iter()
            .map(|(number, text)| format!("if {} {{ {} }} else ", on(*number), marked(*number, text)))
            .collect();
        self.open(at, format!("({choices}{{ "));
    }

    /// The operators of a tree of binary operators, its leaves not looked into.
    fn operators(&mut self, tree: &syn::ExprBinary, root: &Range<usize>, found: &mut Vec<(usize, String)>) {
        for side in [&tree.left, &tree.right] {
            if let syn::Expr::Binary(inner) = &**side {
                self.operators(inner, root, found);
            }
        }
        let op = tree.op.span().byte_range();
        for mutant in self.take("BinaryOperator", op.start) {
            let text =
                format!("{}{}{}", &self.text[root.start..op.start], mutant.replacement, &self.text[op.end..root.end]);
            found.push((mutant.number, text));
        }
    }

    fn leaves(&mut self, tree: &syn::ExprBinary) {
        for side in [&tree.left, &tree.right] {
            match &**side {
                syn::Expr::Binary(inner) => self.leaves(inner),
                leaf => self.visit_expr(leaf),
            }
        }
    }

    fn body(&mut self, constness: Option<syn::Token![const]>, output: &syn::ReturnType, block: &syn::Block) {
        let Some(first) = block.stmts.first() else { return };
        let mutants = self.take("FnValue", first.span().byte_range().start);
        // Whoever asks for a switch is no constant.
        if let Some(constness) = constness {
            self.cuts.push(constness.span().byte_range());
        }
        let (at, end) =
            (block.brace_token.span.open().byte_range().end, block.brace_token.span.close().byte_range().start);
        let opaque = matches!(output, syn::ReturnType::Type(_, of) if matches!(**of, syn::Type::ImplTrait(_)));
        for Mutant { number, replacement, .. } in mutants {
            let (on, value) = (on(number), marked(number, &replacement));
            // An opaque type is one type; a leaked box is of no type that is known beside another iterator.
            if opaque && replacement.contains("leak") {
                continue;
            }
            if opaque {
                self.open(
                    at,
                    format!(" if {on} {{ crate::woven::Either::One({value}) }} else {{ crate::woven::Either::Other({{"),
                );
                self.close(end, " }) }");
            } else {
                self.open(at, format!(" if {on} {{ return {value}; }}"));
            }
        }
    }
}

fn on(number: usize) -> String {
    format!("crate::woven::on({number})")
}

fn marked(number: usize, text: &str) -> String {
    format!("/*<{number}*/ {text} /*{number}>*/")
}

/// Whether a tree of binary operators has a `let` in it: a choice around it would be none in a chain.
fn has_let(tree: &syn::ExprBinary) -> bool {
    [&tree.left, &tree.right].into_iter().any(|side| match &**side {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(inner) => has_let(inner),
        _ => false,
    })
}

impl<'ast> Visit<'ast> for Weaver<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(item.sig.constness, &item.sig.output, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(item.sig.constness, &item.sig.output, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_expr_binary(&mut self, tree: &'ast syn::ExprBinary) {
        if has_let(tree) {
            return visit::visit_expr_binary(self, tree);
        }
        let root = tree.span().byte_range();
        let mut found = Vec::new();
        self.operators(tree, &root, &mut found);
        if !found.is_empty() {
            self.choose(root.start, &found);
        }
        self.leaves(tree);
        if !found.is_empty() {
            self.close(root.end, " })");
        }
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        let whole = unary.span().byte_range();
        let inner = self.text[unary.expr.span().byte_range()].to_owned();
        let found: Vec<_> =
            self.take("UnaryOperator", whole.start).into_iter().map(|mutant| (mutant.number, inner.clone())).collect();
        if !found.is_empty() {
            self.choose(whole.start, &found);
        }
        visit::visit_expr_unary(self, unary);
        if !found.is_empty() {
            self.close(whole.end, " })");
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let deleted = self.take("MatchArm", arm.span().byte_range().start);
        let not: String =
            deleted.iter().map(|mutant| marked(mutant.number, &format!("!{}", on(mutant.number)))).collect();
        let Some((_, guard)) = &arm.guard else {
            if !not.is_empty() {
                self.open(arm.pat.span().byte_range().end, format!(" if {not}"));
            }
            return visit::visit_arm(self, arm);
        };
        let whole = guard.span().byte_range();
        let found: Vec<_> = (self.take("MatchArmGuard", whole.start).into_iter())
            .map(|mutant| (mutant.number, mutant.replacement))
            .collect();
        let lets =
            matches!(&**guard, syn::Expr::Let(_)) || matches!(&**guard, syn::Expr::Binary(tree) if has_let(tree));
        if lets || (found.is_empty() && not.is_empty()) {
            return visit::visit_arm(self, arm);
        }
        if !not.is_empty() {
            self.open(whole.start, format!("{not} && "));
        }
        self.choose(whole.start, &found);
        visit::visit_arm(self, arm);
        self.close(whole.end, " })");
    }

    fn visit_expr_struct(&mut self, literal: &'ast syn::ExprStruct) {
        let mut ends = Vec::new();
        if let Some(base) = literal.rest.as_deref() {
            let base = self.text[base.span().byte_range()].to_owned();
            for field in &literal.fields {
                for Mutant { number, .. } in self.take("StructField", field.span().byte_range().start) {
                    let value = field.expr.span().byte_range();
                    let name = self.text[field.member.span().byte_range()].to_owned();
                    let prefix = if field.colon_token.is_none() { format!("{name}: ") } else { String::new() };
                    let old = marked(number, &format!("({base}).{name}"));
                    self.open(value.start, format!("{prefix}if {} {{ {old} }} else {{ ", on(number)));
                    ends.push(value.end);
                }
            }
        }
        visit::visit_expr_struct(self, literal);
        ends.into_iter().for_each(|end| self.close(end, " }"));
    }
}

/// The offset of a line and a column, as cargo-mutants counts them: both from 1, columns in characters.
fn offset(text: &str, at: &Value) -> usize {
    let number = |name: &str| usize::try_from(at[name].as_u64().unwrap()).unwrap() - 1;
    let LineColumn { line, column } = LineColumn { line: number("line"), column: number("column") };
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    start + text[start..].chars().take(column).map(char::len_utf8).sum::<usize>()
}

fn weave(text: &str, mutants: HashMap<(String, usize), Vec<Mutant>>) -> String {
    let file = syn::parse_file(text).unwrap();
    let mut weaver = Weaver { text, mutants, closes: BTreeMap::new(), opens: BTreeMap::new(), cuts: Vec::new() };
    weaver.visit_file(&file);
    let mut edges: Vec<usize> = weaver.closes.keys().chain(weaver.opens.keys()).copied().collect();
    edges.extend(weaver.cuts.iter().flat_map(|cut| [cut.start, cut.end]));
    edges.extend([0, text.len()]);
    edges.sort_unstable();
    edges.dedup();
    let mut woven = String::new();
    for (index, &from) in edges.iter().enumerate() {
        woven.extend(weaver.closes.get(&from).into_iter().flatten().map(String::as_str));
        woven.extend(weaver.opens.get(&from).into_iter().flatten().map(String::as_str));
        let to = edges.get(index + 1).copied().unwrap_or(from);
        if !weaver.cuts.iter().any(|cut| cut.start == from) {
            woven.push_str(&text[from..to]);
        }
    }
    woven
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let list: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&arguments[1]).unwrap()).unwrap();
    let text_of = |value: &Value| value.as_str().unwrap().to_owned();
    let mut files: BTreeMap<String, Vec<(usize, &Value)>> = BTreeMap::new();
    for (number, mutant) in list.iter().enumerate().filter(|(_, mutant)| !mutant.is_null()) {
        files.entry(text_of(&mutant["file"])).or_default().push((number, mutant));
    }
    for (file, listed) in files {
        let path = Path::new(&arguments[2]).join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let mut mutants: HashMap<_, Vec<Mutant>> = HashMap::new();
        for (number, mutant) in listed {
            let genre = text_of(&mutant["genre"]);
            let mutant_of = Mutant { number, replacement: text_of(&mutant["replacement"]) };
            mutants.entry((genre, offset(&text, &mutant["span"]["start"]))).or_default().push(mutant_of);
        }
        std::fs::write(&path, weave(&text, mutants)).unwrap();
    }
}
