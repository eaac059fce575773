//! The table of hand-overs in its short form, so that it cannot rot: two rounds on the stores that need no server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use serde_json::Value;

/// Every row has what can be measured there, and says of the rest why not; no lease changes hands before its holder is lost for
/// as long as it may act.
#[test]
fn the_short_form_measures() {
    let output = Command::new(env!("CARGO_BIN_EXE_tenure-benches"))
        .args(["handoff", "--rounds", "2", "--only", "memory", "--only", "sqlite", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = table["rows"].as_array().unwrap();
    let stores: Vec<_> = rows.iter().map(|row| row["store"].as_str().unwrap()).collect();
    assert_eq!(stores, ["memory", "SQLite"]);
    for row in rows {
        assert_eq!(row["candidate"], "Tenure");
        assert!(row["round_trip"]["median_ms"].as_f64().unwrap() > 0.0, "{row}");
        for measured in ["release", "lost"] {
            assert_eq!(row[measured]["times"], 2, "{measured}: {row}");
        }
        // Renewed each second, it lasts two more at least.
        assert!(row["lost"]["median_ms"].as_f64().unwrap() > 1_500.0, "{row}");
        assert!(row["release"]["median_ms"].as_f64().unwrap() < row["lost"]["median_ms"].as_f64().unwrap(), "{row}");
        assert_eq!(row["cut"]["does_not_apply"], "no network");
        assert!(row["at_release"].is_null(), "nobody else is measured there: {row}");
    }
    assert!(rows[0]["killed"]["does_not_apply"].is_string());
    // Beside this program there may be a `tenure`, or not: then the row says how to get it.
    let killed = &rows[1]["killed"];
    assert!(killed["times"] == 2 || killed["skipped"].as_str().unwrap().contains("cargo"), "{killed}");
}

/// A store that there is not is refused in words that name those that there are.
#[test]
fn an_unknown_store_is_refused() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tenure-benches")).args(["handoff", "--only", "paper"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("paper") && said.contains("firestore"), "{said}");
}
