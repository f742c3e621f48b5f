//! Grafana's dashboard, read as far as it can be wrong.

use std::collections::BTreeSet;

use serde_json::Value;

/// The schema the dashboard is written in; Grafana 10.4 and newer read it.
const SCHEMA: u64 = 39;

pub(crate) struct Dashboard(Value);

/// A metric that a query asks for, and the labels it selects or groups it by.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    pub(crate) labels: BTreeSet<String>,
}

impl Dashboard {
    pub(crate) fn read() -> Dashboard {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/grafana.json");
        Dashboard(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    fn panels(&self) -> &[Value] {
        self.0["panels"].as_array().unwrap()
    }

    fn variables(&self) -> &[Value] {
        self.0["templating"]["list"].as_array().unwrap()
    }

    /// What its panels ask Prometheus.
    pub(crate) fn queries(&self) -> Vec<String> {
        let targets = self.panels().iter().filter_map(|panel| panel["targets"].as_array()).flatten();
        targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
    }

    /// What an import needs: its schema, a source of data that is chosen on import, panels that do not overlap.
    pub(crate) fn check(&self) {
        assert_eq!(self.0["schemaVersion"], SCHEMA);
        assert!(self.0.get("id").is_none(), "an id belongs to one installation");
        let names: Vec<_> = self.variables().iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["datasource", "cache", "fragment"]);
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in self.panels() {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: the id of another panel");
            let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{title} does not fit");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(taken.insert((x, y)), "{title} lies on another panel");
                }
            }
            if panel["type"] == "row" {
                continue;
            }
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{title} asks nothing");
            for asks in std::iter::once(panel).chain(targets) {
                assert_eq!(asks["datasource"]["uid"], "${datasource}", "{title}");
            }
        }
        assert!(ids.len() > 20);
    }
}

/// What a query asks for. `by (…)` is of the metric that follows.
pub(crate) fn selectors(query: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = query[from..].find("minijinja_cache_").map(|at| at + from) {
        let end =
            query[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(query.len(), |end| at + end);
        let mut labels = BTreeSet::new();
        if query[end..].starts_with('{') {
            labels.extend(labels_of(&query[at..]));
        }
        if let Some(by) = query[from..at].rfind("by (") {
            let by = &query[from + by + 4..at];
            let by = &by[..by.find(')').unwrap()];
            labels.extend(by.split(',').map(|label| label.trim().to_owned()));
        }
        // What Prometheus adds by itself.
        labels.remove("instance");
        found.push(Selector { metric: query[at..end].to_owned(), labels });
        from = end;
    }
    found
}

/// The names of the labels in the first braces of a line.
pub(crate) fn labels_of(line: &str) -> Vec<String> {
    let Some(open) = line.find('{') else { return Vec::new() };
    let mut labels = Vec::new();
    let mut rest = &line[open + 1..];
    while let Some(equals) = rest.find('=') {
        labels.push(rest[..equals].trim_start_matches([',', ' ']).to_owned());
        let value = rest[equals..].find('"').map(|quote| &rest[equals + quote + 1..]).unwrap();
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        rest = &value[end.unwrap() + 1..];
        if rest.starts_with('}') {
            break;
        }
    }
    labels
}
