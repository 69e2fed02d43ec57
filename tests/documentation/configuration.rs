//! `docs/configuration.md` says what the functions read, no more and no less.

use std::{cell::RefCell, collections::BTreeSet, fs, path::Path};

use nacre_core::settings::{REFUSED, Setting, SettingError};

/// What every function needs to start.
const REQUIRED: [(&str, &str); 6] = [
    ("AV_DEFINITION_S3_BUCKET", "definitions"),
    ("NACRE_RECORDS_TABLE", "records"),
    ("NACRE_TRIGGER_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:trigger"),
    ("NACRE_DEFINITIONS_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:definitions"),
    ("NACRE_PASS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/pass"),
    ("AWS_REGION", "eu-west-1"),
];

const INTRODUCTION: &str = "\
# Configuration

What each function reads from its environment. All is read once, at cold start. A setting that is
missing, malformed or refused stops the function, and is named with the remedy. An empty value is
the same as none. `infra/template.yaml` sets what it has parameters for.

Settings that begin with `AV_` are the predecessor's, with its meanings. This page is made from the
code: `make test` fails when they differ, and says where the right page is.
";

fn table(title: &str, settings: &[Setting]) -> String {
    let rows = settings
        .iter()
        .map(|Setting { variable, default, meaning }| format!("| `{variable}` | {default} | {meaning} |\n"));
    format!("\n## {title}\n\n| setting | default | what |\n|---|---|---|\n{}", rows.collect::<Vec<_>>().concat())
}

fn page() -> String {
    let refused = REFUSED.iter().map(|refused| {
        let unless = if refused.may_be_false { " (`False` is taken)" } else { "" };
        format!("| `{}`{unless} | {} |\n", refused.variable, refused.reason)
    });
    let refused = refused.collect::<Vec<_>>().concat();
    let refused = format!(
        "\n## Refused\n\nThe predecessor took these, and starting as if they had been taken would be worse than not\nstarting.\n\n\
         | setting | why, and what to do |\n|---|---|\n{refused}"
    );
    let updater = table("Updater", nacre_updater::config::SETTINGS);
    let scanner = table("Scanner", nacre_scanner::config::SETTINGS);
    let rescanner = table("Rescanner", nacre_rescanner::config::SETTINGS);
    [INTRODUCTION, &updater, &scanner, &rescanner, &refused].concat()
}

/// Every variable that a function reads.
fn read(start: impl FnOnce(&dyn Fn(&str) -> Option<String>) -> Result<(), SettingError>) -> BTreeSet<String> {
    let read = RefCell::new(BTreeSet::new());
    start(&|name| {
        read.borrow_mut().insert(name.to_owned());
        REQUIRED.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
    .unwrap();
    read.into_inner()
}

#[test]
fn every_setting_that_is_read_is_documented_and_every_documented_one_is_read() {
    let refused = || REFUSED.iter().map(|refused| refused.variable.to_owned());
    let documented = |settings: &'static [Setting]| settings.iter().map(|setting| setting.variable.to_owned());
    let updater = read(|find| nacre_updater::config::Config::from_vars(find).map(drop));
    assert_eq!(updater, documented(nacre_updater::config::SETTINGS).chain(refused()).collect());
    let scanner = read(|find| nacre_scanner::config::Config::from_vars(find).map(drop));
    assert_eq!(scanner, documented(nacre_scanner::config::SETTINGS).chain(refused()).collect());
    let rescanner = read(|find| nacre_rescanner::config::Config::from_vars(find).map(drop));
    assert_eq!(rescanner, documented(nacre_rescanner::config::SETTINGS).collect());
}

#[test]
fn the_page_is_what_the_code_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (page, kept) = (page(), fs::read_to_string(root.join("docs/configuration.md")).unwrap_or_default());
    if page != kept {
        let right = Path::new(env!("CARGO_TARGET_TMPDIR")).join("configuration.md");
        fs::write(&right, &page).unwrap();
        panic!("docs/configuration.md is not what the code says: cp {} docs/", right.display());
    }
}

#[test]
fn the_template_sets_nothing_that_no_function_reads() {
    let template = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/template.yaml")).unwrap();
    let all =
        [nacre_updater::config::SETTINGS, nacre_scanner::config::SETTINGS, nacre_rescanner::config::SETTINGS].concat();
    let set = template.lines().filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name);
    let set: Vec<_> = set.filter(|name| name.starts_with("AV_") || name.starts_with("NACRE_")).collect();
    assert!(set.len() > 20, "{set:?}");
    for name in set {
        assert!(all.iter().any(|setting| setting.variable == name), "{name}");
    }
}
