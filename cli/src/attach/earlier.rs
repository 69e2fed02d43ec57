//! What an earlier stack of the same name left in a bucket that outlived it. Pure.

use aws_sdk_s3::types::NotificationConfiguration;
use serde_json::Value;

use super::statements::{ReadAccess, statements};

/// Fewest characters of what CloudFormation appends to a name.
const SHORTEST_SUFFIX: usize = 8;

/// Whether an ARN is that of the same resource in an earlier stack of this name.
///
/// CloudFormation names a resource `STACK-RESOURCE-SUFFIX`, with another suffix in each stack. A region of an account has one stack of a
/// name, and a bucket's events reach stacks of its own region only: what has the name and is not the current one is of a deleted stack.
fn is_of_earlier(resource: &str, current: &str, other: &str) -> bool {
    let stem = |arn: &str| {
        let (stem, suffix) = arn.rsplit_once('-')?;
        let made_up = suffix.len() >= SHORTEST_SUFFIX && suffix.chars().all(|c| c.is_ascii_alphanumeric());
        (made_up && stem.ends_with(&format!("-{resource}"))).then(|| stem.to_owned())
    };
    current != other && stem(current).is_some() && stem(current) == stem(other)
}

/// Whether a statement is one of ours in every word, but for the role, which is an earlier scanner's. One that somebody changed is not.
pub(super) fn is_statement(arn: &str, role: &str, statement: &Value) -> bool {
    let exempt = statement.pointer("/Condition/ArnNotLike/aws:PrincipalArn/0").and_then(Value::as_str);
    let Some(earlier) = exempt.filter(|it| is_of_earlier("ScannerRole", role, it)) else { return false };
    [ReadAccess::DenyInfected, ReadAccess::OnlyClean]
        .into_iter()
        .any(|access| statements(arn, earlier, access).contains(statement))
}

/// The notifications without those to an earlier stack's topic, which is gone: they would keep ours out, and reach nobody.
pub(super) fn without_topics(notification: &NotificationConfiguration, trigger: &str) -> NotificationConfiguration {
    let mut left = notification.clone();
    if let Some(topics) = &mut left.topic_configurations {
        topics.retain(|configured| !is_of_earlier("ScannerTrigger", trigger, configured.topic_arn()));
    }
    left.topic_configurations = left.topic_configurations.filter(|topics| !topics.is_empty());
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::1:role/nacre-ScannerRole-1AB2CD3EF4GH";
    const BUCKET: &str = "arn:aws:s3:::uploads";

    #[test]
    fn an_earlier_stacks_resource_has_its_name_and_another_suffix() {
        assert!(is_of_earlier("ScannerRole", ROLE, "arn:aws:iam::1:role/nacre-ScannerRole-ZZ2CD3EF4GHa"));
        for other in [
            ROLE,
            "arn:aws:iam::2:role/nacre-ScannerRole-ZZ2CD3EF4GHa",
            "arn:aws:iam::1:role/other-ScannerRole-ZZ2CD3EF4GHa",
            "arn:aws:iam::1:role/nacre-UpdaterRole-ZZ2CD3EF4GHa",
            "arn:aws:iam::1:role/nacre-ScannerRole-*",
            "arn:aws:iam::1:role/nacre-ScannerRole",
        ] {
            assert!(!is_of_earlier("ScannerRole", ROLE, other), "{other}");
        }
        let named = "arn:aws:iam::1:role/nacre-scanner1";
        assert!(!is_of_earlier("ScannerRole", named, "arn:aws:iam::1:role/nacre-scanner2"));
    }

    #[test]
    fn a_statement_that_somebody_changed_is_theirs() {
        let earlier = "arn:aws:iam::1:role/nacre-ScannerRole-ZZ2CD3EF4GHa";
        for access in [ReadAccess::DenyInfected, ReadAccess::OnlyClean] {
            for mut statement in statements(BUCKET, earlier, access) {
                assert!(is_statement(BUCKET, ROLE, &statement) && !is_statement("arn:aws:s3:::b", ROLE, &statement));
                statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"][1] = "arn:aws:iam::1:user/admin".into();
                assert!(!is_statement(BUCKET, ROLE, &statement));
            }
        }
        assert!(
            !is_statement(BUCKET, ROLE, &statements(BUCKET, ROLE, ReadAccess::DenyInfected)[0]),
            "the current ones"
        );
    }
}
