//! The public IRC parser suite (ircdocs/parser-tests, CC0): splitting, joining, user hosts.

use std::collections::BTreeMap;
use std::fs;

use saphyr::{LoadableYamlNode, Yaml};
use tenure_irc::{Prefix, assemble, parse, unescape};

use crate::corpora;

/// Every message of msg-split.yaml splits into the atoms that the suite gives.
#[test]
fn messages_split_as_the_public_suite_says() {
    each_case("msg-split", 35, |case| {
        let input = text(case, "input").unwrap();
        let message = parse(input.as_bytes()).unwrap_or_else(|error| panic!("{input:?}: {error}"));
        let atoms = &case["atoms"];
        assert_eq!(message.command(), text(atoms, "verb").unwrap().as_bytes(), "{input:?}");
        assert_eq!(message.prefix().map(|prefix| prefix.raw), text(atoms, "source").map(str::as_bytes), "{input:?}");
        let params: Vec<&[u8]> = message.params().collect();
        assert_eq!(params, list(atoms, "params"), "{input:?}");
        // Of doubles the last one counts: a map keeps it.
        let tags: BTreeMap<Vec<u8>, Vec<u8>> = message
            .tags()
            .map(|tag| (tag.key.to_vec(), unescape(tag.value.unwrap_or_default()).into_owned()))
            .collect();
        assert_eq!(tags, pairs(atoms).into_iter().collect(), "{input:?}");
        for (key, value) in pairs(atoms) {
            assert_eq!(message.tags().get(&key).map(unescape).as_deref(), Some(&value[..]), "{input:?}");
        }
    });
}

/// Every set of atoms of msg-join.yaml is written as one of the lines that the suite accepts.
#[test]
fn messages_are_written_as_the_public_suite_accepts() {
    each_case("msg-join", 18, |case| {
        let atoms = &case["atoms"];
        let tags = pairs(atoms);
        let tags: Vec<(&[u8], &[u8])> = tags.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        let source = text(atoms, "source").map(str::as_bytes);
        let line = assemble(&tags, source, text(atoms, "verb").unwrap().as_bytes(), &list(atoms, "params")).unwrap();
        assert!(list(case, "matches").contains(&&line[..]), "wrote {:?}", line.escape_ascii().to_string());
    });
}

/// Every source of userhost-split.yaml splits into nick, user and host.
#[test]
fn sources_split_as_the_public_suite_says() {
    each_case("userhost-split", 7, |case| {
        let source = text(case, "source").unwrap();
        let prefix = Prefix::new(source.as_bytes());
        let part = |name| text(&case["atoms"], name).map(str::as_bytes);
        assert_eq!(
            (Some(prefix.name), prefix.user, prefix.host),
            (part("nick"), part("user"), part("host")),
            "{source:?}"
        );
    });
}

fn each_case(file: &str, at_least: usize, check: impl Fn(&Yaml<'_>)) {
    let Some(folder) = corpora::folder(&format!("parser/public suite {file}")) else { return };
    let yaml = fs::read_to_string(folder.join(format!("ircdocs-parser-tests/tests/{file}.yaml"))).unwrap();
    let documents = Yaml::load_from_str(&yaml).unwrap();
    let cases = documents[0]["tests"].as_sequence().unwrap();
    cases.iter().for_each(check);
    println!("{file}: {} cases", cases.len());
    assert!(cases.len() >= at_least, "{file} has {} cases, {at_least} were expected", cases.len());
}

fn text<'y>(node: &'y Yaml<'_>, key: &str) -> Option<&'y str> {
    node.as_mapping_get(key).map(|value| value.as_str().unwrap())
}

fn list<'y>(node: &'y Yaml<'_>, key: &str) -> Vec<&'y [u8]> {
    let items = node.as_mapping_get(key).map(|items| items.as_sequence().unwrap());
    items.into_iter().flatten().map(|item| item.as_str().unwrap().as_bytes()).collect()
}

fn pairs(atoms: &Yaml<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let tags = atoms.as_mapping_get("tags").map(|tags| tags.as_mapping().unwrap());
    let bytes = |node: &Yaml<'_>| node.as_str().unwrap().as_bytes().to_vec();
    tags.into_iter().flatten().map(|(key, value)| (bytes(key), bytes(value))).collect()
}
