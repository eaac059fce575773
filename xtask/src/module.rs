//! Reads from a module's tokens what it declares, defines, imports and names.
//!
//! This is a reader of names, not a compiler: it knows items and paths, and no types. A method of another file's `impl` block
//! is called without naming that file, and is not seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Token, closed};

/// One module: a file, or a block `mod name { .. }` inside one.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Each `mod name;`.
    pub(crate) declared: Vec<String>,
    /// Each `mod name { .. }`.
    pub(crate) inline: Vec<(String, Module)>,
    /// The items that are defined here, macros too.
    pub(crate) defined: BTreeSet<String>,
    /// The macros among them: they are called without a path by modules that are declared later.
    pub(crate) macros: BTreeSet<String>,
    /// The imports of every `use`, also inside functions.
    pub(crate) imports: Vec<Import>,
    /// Every path of two names or more in code, with its line.
    pub(crate) paths: Vec<(Vec<String>, usize)>,
    /// Every name in code that is no part of a path, and no field or method, with its first line.
    pub(crate) words: BTreeMap<String, usize>,
    /// The macros that are called without a path, with the first line.
    pub(crate) called: BTreeMap<String, usize>,
}

/// A name, or all names of a module, that a `use` brings in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// The path as it is written.
    pub(crate) path: Vec<String>,
    /// The name under which it is imported; `*` for all names.
    pub(crate) name: String,
    /// Whether other modules can reach it through this module.
    pub(crate) is_reexport: bool,
    pub(crate) line: usize,
}

impl Module {
    /// Reads a module from its shipped tokens.
    pub(crate) fn read(tokens: &[Token]) -> Self {
        let mut module = Self::default();
        let mut at = 0;
        let mut depth = 0_usize;
        let mut visible = false;
        while let Some(token) = tokens.get(at) {
            let next = tokens.get(at + 1);
            let next_is = |text: &str| next.is_some_and(|next| next.text == text);
            let name = next.filter(|next| next.is_name()).map(|next| next.text.clone());
            match (token.text.as_str(), name) {
                ("pub", _) => {
                    visible = true;
                    at = if next_is("(") { closed(tokens, at + 1) } else { at + 1 };
                    continue;
                }
                ("use", _) if !next_is("<") => {
                    at = module.read_use(tokens, at + 1, visible);
                    visible = false;
                    continue;
                }
                ("mod", Some(name)) => match tokens.get(at + 2).map(|token| token.text.as_str()) {
                    Some("{") => {
                        let end = closed(tokens, at + 2);
                        module.inline.push((name, Self::read(&tokens[at + 3..end - 1])));
                        at = end;
                        continue;
                    }
                    _ => module.declared.push(name),
                },
                ("fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static", Some(name))
                    if depth == 0 =>
                {
                    module.defined.insert(name);
                }
                ("macro_rules", _) => {
                    if let Some(name) = tokens.get(at + 2) {
                        module.defined.insert(name.text.clone());
                        module.macros.insert(name.text.clone());
                    }
                }
                ("(" | "[" | "{", _) => depth += 1,
                (")" | "]" | "}", _) => depth = depth.saturating_sub(1),
                _ => {}
            }
            visible = false;
            at = if token.is_name() { module.read_path(tokens, at) } else { at + 1 };
        }
        module
    }

    /// Records the path, or the single name, that begins at `at`; returns where it ends.
    fn read_path(&mut self, tokens: &[Token], at: usize) -> usize {
        let first = &tokens[at];
        let is = |index: usize, text: &str| tokens.get(index).is_some_and(|token| token.text == text);
        let mut path = vec![first.text.clone()];
        let mut end = at + 1;
        while is(end, "::") && tokens.get(end + 1).is_some_and(Token::is_name) {
            path.push(tokens[end + 1].text.clone());
            end += 2;
        }
        // `a.b` names a field or a method; `::a` names another crate, or an item of a type.
        if at > 0 && (is(at - 1, ".") && !(at > 1 && is(at - 2, ".")) || is(at - 1, "::")) {
            return end;
        }
        if path.len() > 1 {
            self.paths.push((path, first.line));
        } else {
            if is(end, "!") && !is(end + 1, "=") {
                self.called.entry(first.text.clone()).or_insert(first.line);
            }
            self.words.entry(first.text.clone()).or_insert(first.line);
        }
        end
    }

    /// Records a `use` whose tree begins at `at`; returns where it ends.
    fn read_use(&mut self, tokens: &[Token], at: usize, is_reexport: bool) -> usize {
        let end = tokens.iter().skip(at).position(|token| token.text == ";").map_or(tokens.len(), |length| at + length);
        let mut leaves = Vec::new();
        use_leaves(&tokens[at..end], &[], &mut leaves);
        let line = tokens.get(at).map_or(0, |token| token.line);
        self.imports.extend(leaves.into_iter().map(|(path, name)| Import { path, name, is_reexport, line }));
        end + 1
    }
}

/// The paths that a `use` tree stands for, each with the name that it gets.
fn use_leaves(tree: &[Token], before: &[String], leaves: &mut Vec<(Vec<String>, String)>) {
    let mut path = before.to_vec();
    let mut at = 0;
    while let Some(token) = tree.get(at) {
        match token.text.as_str() {
            // A leading `::` names another crate.
            "::" if at == 0 => path.push(String::new()),
            "::" => {}
            "{" => {
                let inner = &tree[at + 1..closed(tree, at) - 1];
                let mut from = 0;
                while from < inner.len() {
                    let to = branch_end(inner, from);
                    use_leaves(&inner[from..to], &path, leaves);
                    from = to + 1;
                }
                return;
            }
            "*" => {
                leaves.push((path, "*".to_owned()));
                return;
            }
            "as" => break,
            _ => path.push(token.text.clone()),
        }
        at += 1;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let alias = tree.get(at + 1).map(|token| token.text.clone());
    if let Some(name) = alias.or_else(|| path.last().cloned()) {
        leaves.push((path, name));
    }
}

/// The end of the branch that begins at `from`, in a list of a `use` tree.
fn branch_end(tree: &[Token], from: usize) -> usize {
    let mut at = from;
    while let Some(token) = tree.get(at) {
        match token.text.as_str() {
            "," => return at,
            "{" => at = closed(tree, at),
            _ => at += 1,
        }
    }
    tree.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::shipped;

    fn imports(text: &str) -> Vec<(String, String)> {
        let module = Module::read(&shipped(text));
        module.imports.into_iter().map(|import| (import.path.join("::"), import.name)).collect()
    }

    /// Every leaf of a tree, aliases, `self` and `*`.
    #[test]
    fn a_tree_of_use_is_taken_apart() {
        let of = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(path, name)| ((*path).to_owned(), (*name).to_owned())).collect()
        };
        assert_eq!(
            imports("use crate::{a::{self, B as C}, d, e::*};"),
            of(&[("crate::a", "a"), ("crate::a::B", "C"), ("crate::d", "d"), ("crate::e", "*")])
        );
        assert_eq!(imports("pub(crate) use super::x;"), of(&[("super::x", "x")]));
        assert_eq!(imports("use ::a::B;"), of(&[("::a::B", "B")]));
    }

    /// Items of the module itself are defined in it; methods are not, nor what a macro's caller names.
    #[test]
    fn items_and_paths_are_told() {
        let module = Module::read(&shipped(
            "pub struct A;\nimpl A { pub fn b(&self) { self.c(); d::e(f); } }\nmacro_rules! g { () => {} }\nmod h;\nmod i { fn j() {} }\ng!();",
        ));
        assert!(module.defined.iter().eq(["A", "g"]));
        assert_eq!(module.declared, ["h"]);
        assert_eq!(module.inline[0].0, "i");
        assert_eq!(module.paths, [(vec!["d".to_owned(), "e".to_owned()], 2)]);
        assert!(module.words.contains_key("f") && !module.words.contains_key("c"));
        assert_eq!(module.called.get("g"), Some(&6));
    }
}
