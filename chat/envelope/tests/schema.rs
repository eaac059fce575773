//! The schema and the envelopes agree; an envelope with any damage is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::{env, fs};

use jsonschema::Validator;
use serde_json::{Value, json};
use tenure_envelope::{Builder, NAMESPACE};

#[path = "support/corpora.rs"]
mod corpora;

/// The schema is a valid one, and states the namespace that ids are made in.
#[test]
fn schema_is_sound() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
    let stated = schema()["$defs"]["namespace"]["const"].as_str().unwrap().replace('-', "");
    let hex: String = NAMESPACE.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(stated, hex);
}

/// No object of the schema lets members in that it does not name, but for the two maps of tags.
#[test]
fn schema_names_every_member() {
    fn visit(value: &Value, at: &str, open: &mut Vec<String>) {
        if let Value::Object(map) = value {
            if map.contains_key("properties")
                && map.get("type").is_some()
                && map["additionalProperties"] != json!(false)
            {
                open.push(at.to_owned());
            }
            if map.get("additionalProperties").is_some_and(Value::is_object) {
                open.push(at.to_owned());
            }
            for (key, value) in map {
                visit(value, &format!("{at}/{key}"), open);
            }
        }
    }
    let mut open = Vec::new();
    visit(&schema(), "", &mut open);
    open.sort();
    assert_eq!(open, ["/$defs/notice/properties/params", "/$defs/raw/properties/tags"]);
}

/// Every envelope of the captured lines is valid.
#[test]
fn every_corpus_line_is_valid() {
    let Some(lines) = corpora::lines("envelope schema over the corpora") else { return };
    let (validator, mut builder, mut count) = (validator(), Builder::new(), 0);
    for line in &lines {
        let Ok(message) = tenure_irc::parse(line) else { continue };
        let mut out = Vec::new();
        if builder.build(&message, 1_763_744_520_123, &mut out).is_none() {
            assert!(out.is_empty());
            continue;
        }
        let envelope = serde_json::from_slice(&out).unwrap();
        if let Err(error) = validator.validate(&envelope) {
            panic!("{error} at {}:\n{}\n{envelope:#}", error.instance_path, String::from_utf8_lossy(line));
        }
        count += 1;
    }
    println!("{count} envelopes of {} lines", lines.len());
    assert!(count > 900, "only {count} envelopes");
}

/// Every golden envelope is valid, and no longer so with any member removed, of another type, or added.
#[test]
fn damaged_envelopes_are_refused() {
    let validator = validator();
    let mut damages = 0;
    for (name, envelope) in golden() {
        assert!(validator.is_valid(&envelope), "{name}: {:?}", validator.validate(&envelope));
        for path in members(&envelope, String::new()) {
            let (parent, key) = path.rsplit_once('/').unwrap();
            // Anything may be missing among the tags, and a room says only what it says.
            let free = parent.ends_with("/tags") || parent.ends_with("/params");
            let optional = free || key == "anomalies" || (name.starts_with("room") && is_setting(key));
            let mut damaged = envelope.clone();
            let removed = damaged.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
            assert_eq!(validator.is_valid(&damaged), optional, "{name} without {path}");
            let object = damaged.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            object.insert(key.to_owned(), json!({"x": [1.5]}));
            assert!(!validator.is_valid(&damaged), "{name} with another {path} than {removed}");
            damages += 2;
        }
        for path in objects(&envelope, String::new()) {
            let mut damaged = envelope.clone();
            let object = damaged.pointer_mut(&path).unwrap().as_object_mut().unwrap();
            object.insert("another".into(), json!(1));
            assert!(!validator.is_valid(&damaged), "{name} with another member in {path:?}");
            damages += 1;
        }
    }
    println!("{damages} damaged envelopes refused");
    assert!(damages > 500);
}

/// Values that only look right are refused.
#[test]
fn wrong_values_are_refused() {
    let validator = validator();
    let envelopes: Vec<_> = golden();
    for (name, path, value) in [
        ("message", "/v", json!("2")),
        ("message", "/id", json!("0b7c2f5e-1d5d-4d8e-9a53-6a1f0f3f8a01")),
        ("message", "/traceId", json!("0B7C2F5E1D5D5D8E9A536A1F0F3F8A01")),
        ("message", "/timestamp", json!("2025-11-21T17:02:00Z")),
        ("message", "/type", json!("external.chat.gap.v1")),
        ("message", "/type", json!("external.chat.other.v1")),
        ("message", "/source/channel", json!("")),
        ("message", "/routingSlip", json!([1])),
        ("message", "/payload/color", json!("red")),
        ("message", "/payload/bits", json!(-1)),
        ("message", "/payload/emotes/0/start", json!(0.5)),
        ("message", "/payload/raw/tags/badges", json!(["a"])),
        ("moderation-ban", "/payload/action", json!("forgive")),
        ("message-odd", "/payload/anomalies", json!([])),
        ("message-odd", "/payload/anomalies/0", json!("strange")),
        ("gap", "/payload/term", json!("7")),
    ] {
        let mut damaged = envelopes.iter().find(|(found, _)| found == name).unwrap().1.clone();
        *damaged.pointer_mut(path).unwrap() = value;
        assert!(!validator.is_valid(&damaged), "{name} with another {path}");
    }
}

fn schema() -> Value {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema/envelope.v1.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

fn golden() -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut golden = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        golden.push((name, serde_json::from_slice(&fs::read(path).unwrap()).unwrap()));
    }
    assert!(golden.len() >= 15);
    golden
}

fn is_setting(key: &str) -> bool {
    ["emoteOnly", "r9k", "subsOnly", "followersOnlyMinutes", "slowSeconds"].contains(&key)
}

/// The paths of all members, those of objects in lists too.
fn members(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| {
                let path = format!("{at}/{key}");
                [path.clone()].into_iter().chain(members(value, path))
            })
            .collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| members(item, format!("{at}/{index}"))).collect()
        }
        _ => Vec::new(),
    }
}

/// The paths of all objects.
fn objects(value: &Value, at: String) -> Vec<String> {
    let inner: Vec<_> = members(value, at.clone())
        .into_iter()
        .filter(|path| value.pointer(path.strip_prefix(&at).unwrap()).is_some_and(Value::is_object))
        .collect();
    inner.into_iter().chain([at]).collect()
}
