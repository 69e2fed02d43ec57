//! The statements by which a bucket's policy keeps verdicts: as the template gives them to a bucket that it makes. Pure.

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

/// The names of the statements.
const NAMES: [&str; 3] = ["DenyReading", "DenyRetaggingInfectedObjects", "DenyForgedVerdicts"];

/// Keys of tags that are verdicts.
const VERDICT_TAGS: [&str; 6] =
    ["av-status", "av-signature", "av-timestamp", "nacre-reason", "GuardDutyMalwareScanStatus", "scan-status"];

/// Which objects others than the scanner may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReadAccess {
    /// All but infected ones.
    DenyInfected,
    /// Only those whose scan found them clean.
    OnlyClean,
}

impl ReadAccess {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DenyInfected => "deny-infected",
            Self::OnlyClean => "only-clean",
        }
    }

    /// By the parameter of the template.
    pub(crate) fn of_parameter(value: Option<&str>) -> Self {
        if value == Some("OnlyClean") { Self::OnlyClean } else { Self::DenyInfected }
    }
}

/// The scanner's role: its ARN, and that of its sessions, by which some compatible services know it.
fn scanner(role: &str) -> Value {
    let sessions = role.split_once(":role/").map(|(account, name)| {
        let (account, name) = (account.replacen(":iam:", ":sts:", 1), name.rsplit('/').next().unwrap_or(name));
        format!("{account}:assumed-role/{name}/*")
    });
    json!(std::iter::once(role.to_owned()).chain(sessions).collect::<Vec<_>>())
}

/// The statements for a bucket.
pub(crate) fn statements(arn: &str, role: &str, read_access: ReadAccess) -> [Value; 3] {
    let deny = |name: &str, actions: Value, operator: &str, key: &str, values: Value| {
        let exempt = ("ArnNotLike".to_owned(), json!({ "aws:PrincipalArn": scanner(role) }));
        let condition = Value::Object([exempt, (operator.to_owned(), json!({ key: values }))].into_iter().collect());
        json!({ "Sid": name, "Effect": "Deny", "Principal": "*", "Action": actions, "Resource": format!("{arn}/*"), "Condition": condition })
    };
    let status = "s3:ExistingObjectTag/av-status";
    let [reading, retagging, forging] = NAMES;
    let (operator, value) = match read_access {
        ReadAccess::DenyInfected => ("StringEquals", "INFECTED"),
        ReadAccess::OnlyClean => ("StringNotEquals", "CLEAN"),
    };
    let tagging = [
        "s3:PutObjectTagging",
        "s3:PutObjectVersionTagging",
        "s3:DeleteObjectTagging",
        "s3:DeleteObjectVersionTagging",
    ];
    [
        deny(reading, json!(["s3:GetObject", "s3:GetObjectVersion"]), operator, status, json!(value)),
        deny(retagging, json!(tagging), "StringEquals", status, json!("INFECTED")),
        deny(
            forging,
            json!(["s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectVersionTagging"]),
            "ForAnyValue:StringLike",
            "s3:RequestObjectTagKeys",
            json!(VERDICT_TAGS),
        ),
    ]
}

/// Whether a statement is one that this stack gave: by its name, and by the scanner's role that it exempts.
pub(crate) fn is_of(role: &str, statement: &Value) -> bool {
    let named = statement.get("Sid").and_then(Value::as_str).is_some_and(|sid| NAMES.contains(&sid));
    let exempt = statement.pointer("/Condition/ArnNotLike/aws:PrincipalArn");
    let exempts = exempt
        .is_some_and(|exempt| exempt == role || exempt.as_array().is_some_and(|all| all.iter().any(|one| one == role)));
    named && exempts
}

/// What a policy with our statements lets others read; `None` when it has none.
pub(crate) fn read_access(role: &str, statements: &[Value]) -> Option<ReadAccess> {
    let reading = statements.iter().find(|it| it.get("Sid").is_some_and(|sid| sid == NAMES[0]) && is_of(role, it))?;
    let only_clean = reading.pointer("/Condition/StringNotEquals").is_some();
    Some(if only_clean { ReadAccess::OnlyClean } else { ReadAccess::DenyInfected })
}

/// What a bucket of another account must allow the scanner besides.
pub(crate) fn allowance(arn: &str, role: &str, removes: bool) -> [Value; 2] {
    let mut actions = vec![
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:GetObjectTagging",
        "s3:GetObjectVersionTagging",
        "s3:PutObjectTagging",
        "s3:PutObjectVersionTagging",
    ];
    if removes {
        actions.extend(["s3:DeleteObject", "s3:DeleteObjectVersion"]);
    }
    let allow = |name: &str, actions: Value, resource: String| json!({ "Sid": name, "Effect": "Allow", "Principal": { "AWS": role }, "Action": actions, "Resource": resource });
    [
        allow("ScannerReadsAndTags", json!(actions), format!("{arn}/*")),
        allow("ScannerTellsMissing", json!(["s3:ListBucket", "s3:ListBucketVersions"]), arn.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::210987654321:role/nacre/scanner";

    /// What an operator without this program applies by hand is the output of the template.
    #[test]
    fn they_are_those_of_the_templates_output() {
        let template = include_str!("../../../infra/template.yaml");
        let output = template.split_once("Description: For aws s3api put-bucket-policy").unwrap().1;
        let text = output.lines().find(|line| line.trim_start().starts_with("{\"Version\"")).unwrap().trim();
        for (read_access, readers) in [
            (ReadAccess::DenyInfected, r#""StringEquals":{"s3:ExistingObjectTag/av-status":"INFECTED"}"#),
            (ReadAccess::OnlyClean, r#""StringNotEquals":{"s3:ExistingObjectTag/av-status":"CLEAN"}"#),
        ] {
            assert!(output.contains(readers));
            let text = [
                ("${AWS::Partition}", "aws"),
                ("${ScannedBucketName}", "uploads"),
                ("${ScannerRole.Arn}", ROLE),
                ("${AWS::AccountId}", "210987654321"),
                ("${ScannerRole}", "scanner"),
                ("${Readers}", readers),
            ]
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
            let policy: Value = serde_json::from_str(&text).unwrap();
            let ours = statements("arn:aws:s3:::uploads", ROLE, read_access);
            assert_eq!(policy["Statement"], json!(ours));
            assert!(ours.iter().all(|it| is_of(ROLE, it) && !is_of("arn:aws:iam::1:role/other", it)));
            assert_eq!(super::read_access(ROLE, &ours), Some(read_access));
        }
    }
}
