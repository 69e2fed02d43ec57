//! The crates depend on each other as ARCHITECTURE.md says, and no program that is deployed links the test kit.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

const FUNCTIONS: [&str; 3] = ["nacre-updater", "nacre-rescanner", "nacre-scanner"];

/// What only tests link.
const TEST_KIT: [&str; 5] = ["nacre-testing", "nacre-tests", "proptest", "axum", "rcgen"];

/// Names of packages, and the names of their normal dependencies: neither those of tests nor those of build scripts.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn graph() -> Graph {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let output = Command::new(cargo)
        .args(["metadata", "--locked", "--all-features", "--format-version", "1"])
        // Of other platforms nothing need be there, and nothing is linked.
        .args(["--filter-platform", &format!("{}-unknown-linux-gnu", env::consts::ARCH), "--manifest-path"])
        .arg(manifest)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let names: BTreeMap<&str, &str> = packages.map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let mut graph = Graph::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let dependencies = node["deps"].as_array().unwrap().iter().filter(|dependency| is_normal(dependency));
        // Two versions of a package are one here.
        let known = graph.entry(names[text(&node["id"])].to_owned()).or_default();
        known.extend(dependencies.map(|dependency| names[text(&dependency["pkg"])].to_owned()));
    }
    graph
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn is_normal(dependency: &Value) -> bool {
    dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
}

/// Every package that a program of this package links, each with the package that depends on it.
fn reached<'g>(graph: &'g Graph, package: &'g str) -> BTreeMap<&'g str, &'g str> {
    let (mut reached, mut left) = (BTreeMap::new(), vec![package]);
    while let Some(by) = left.pop() {
        for dependency in &graph[by] {
            if !reached.contains_key(dependency.as_str()) {
                reached.insert(dependency.as_str(), by);
                left.push(dependency);
            }
        }
    }
    reached
}

/// What the table of the page says, by the names of the packages.
fn documented(page: &str) -> Graph {
    let section = page.split_once("\n## Crates\n").expect("ARCHITECTURE.md has a section `## Crates`").1;
    let section = section.split("\n## ").next().unwrap();
    let name = |name: &str| format!("nacre-{}", name.trim().trim_matches('`'));
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let columns: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [package, _, _, dependencies] = columns[..] else { panic!("a row has four columns: {row}") };
        let dependencies = dependencies.split(',').filter(|dependency| *dependency != "-").map(name);
        (name(package), dependencies.collect())
    })
    .collect()
}

#[test]
fn programs_that_are_deployed_link_no_test_kit_and_no_other_function() {
    let graph = graph();
    for program in FUNCTIONS.into_iter().chain(["nacre-cli"]) {
        let reached = reached(&graph, program);
        assert!(reached.contains_key("nacre-core"), "{program}: {reached:?}");
        // `nacre console` is a server.
        let is_allowed = |unwanted: &&str| program == "nacre-cli" && *unwanted == "axum";
        for unwanted in TEST_KIT.into_iter().chain(FUNCTIONS).filter(|it| !is_allowed(it)) {
            let by = reached.get(unwanted);
            assert_eq!(by, None, "{program} links {unwanted}, by the package that is named");
        }
    }
    // The names above are right: the demo links all of them.
    let demo = reached(&graph, "nacre-tests");
    for name in TEST_KIT.into_iter().filter(|name| *name != "nacre-tests").chain(FUNCTIONS) {
        assert!(demo.contains_key(name), "{name}");
    }
}

#[test]
fn the_crates_depend_on_each_other_as_the_page_says() {
    let ours = |name: &String| name.starts_with("nacre-");
    let actual = graph().into_iter().filter(|(name, _)| ours(name));
    let actual: Graph = actual.map(|(name, all)| (name, all.into_iter().filter(ours).collect())).collect();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md")).unwrap();
    assert_eq!(actual, documented(&page), "left: Cargo.toml; right: ARCHITECTURE.md, `## Crates`");
}
