//! Every file below `src` is part of its crate.

use super::rule::{Finding, Rule, Verdict};
use crate::lex::code_only;
use crate::tree::{SourceFile, Tree};

pub(super) const RULE: Rule =
    Rule { name: "dead files", what: "every Rust file below src is declared as a module by the file above it", check };

fn check(tree: &Tree) -> Verdict {
    let dead = tree.rust().filter(|file| !is_reached(tree, file));
    Verdict::of(dead.map(|file| Finding::new(&file.path, 0, "no module declares it: declare or remove it")).collect())
}

/// Whether a module declares the file. Crate roots are always reached; another file is if its parent module says `mod
/// name;`.
fn is_reached(tree: &Tree, file: &SourceFile) -> bool {
    let Some((folder, name)) = file.path.rsplit_once('/') else { return true };
    let Some(name) = name.strip_suffix(".rs") else { return true };
    let is_root = matches!(name, "lib" | "main" | "build") || folder.ends_with("/bin");
    // Folders of tests and examples hold crate roots of their own.
    if is_root || !format!("{folder}/").contains("/src/") {
        return true;
    }
    let parents = if folder.ends_with("/src") {
        vec![format!("{folder}/lib.rs"), format!("{folder}/main.rs")]
    } else {
        vec![format!("{folder}.rs")]
    };
    let declaration = format!("mod {name};");
    tree.files.iter().filter(|file| parents.contains(&file.path)).any(|parent| {
        code_only(&parent.text).lines().any(|line| {
            let line = line.trim();
            line == declaration || line.ends_with(&format!(" {declaration}"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that nothing declares, or that only a comment does, is dead.
    #[test]
    fn a_file_that_no_module_declares_is_found() {
        let with =
            |root: &str| check(&Tree::of(&[("a/src/lib.rs", root), ("a/src/b.rs", "mod c;"), ("a/src/b/c.rs", "")]));
        assert_eq!(with("pub(crate) mod b;"), Verdict::Kept);
        assert_eq!(with("mod b;"), Verdict::Kept);
        assert!(matches!(with("// mod b;"), Verdict::Broken(_)));
        assert!(matches!(with("mod bb;"), Verdict::Broken(_)));
    }
}
