//! The KMS keys of the stack's parameters: whether they are there, and let the functions' roles use them.

use serde_json::Value;

use super::{
    super::snapshot::{Key, KeyPolicy, Need, Snapshot},
    Finding,
};

/// A remedy.
const ALLOW: &str = "let the role in by a statement of the key's policy, as docs/encryption.md shows it";

pub(super) fn keys(found: &Snapshot, findings: &mut Vec<Finding>) {
    for key in &found.keys {
        let parameter = key.parameter;
        let mut push = |name, cause: String, remedy: String| findings.push(Finding::new(name, &key.arn, cause, remedy));
        match &key.policy {
            KeyPolicy::Missing => push(
                "key_missing",
                format!("{parameter} names it, and there is no such key"),
                format!("run `nacre deploy --parameter {parameter}=…` with the keys that there are"),
            ),
            KeyPolicy::Disabled(state) => push(
                "key_disabled",
                format!("its state is {state}: what it encrypts cannot be read"),
                "enable the key, or cancel its deletion".into(),
            ),
            KeyPolicy::Unreadable(error) => push(
                "key_unreadable",
                format!("its policy cannot be checked: {error}"),
                "let these credentials call kms:DescribeKey and kms:GetKeyPolicy".into(),
            ),
            // Its owner's to check.
            KeyPolicy::OfAnotherAccount => {}
            KeyPolicy::Read(policy) => refusals(key, policy, &mut push),
        }
    }
}

fn refusals(key: &Key, policy: &Value, push: &mut impl FnMut(&'static str, String, String)) {
    for need in &key.needs {
        let refused: Vec<&str> = need.calls.iter().copied().filter(|call| !lets(policy, need, call)).collect();
        if !refused.is_empty() {
            let (calls, role) = (refused.join(", "), &need.role);
            push(
                "key_refuses",
                format!("its policy does not let {role} call {calls} by {}", need.service),
                ALLOW.into(),
            );
        }
    }
}

/// Whether a key's policy lets a role make a call by a service. The role's own permissions are the template's.
///
/// Of conditions only `kms:ViaService` is judged. A statement with others counts where it allows and not where it denies, so that what
/// cannot be known from outside is no fault.
fn lets(policy: &Value, need: &Need, call: &str) -> bool {
    let statements = one_or_more(policy.get("Statement"));
    let concerns = |statement: &&Value, effect: &str| {
        statement.get("Effect").is_some_and(|it| it == effect)
            && has_call(statement, call)
            && has_role(statement, &need.role)
    };
    let is_denied = statements.iter().any(|it| concerns(it, "Deny") && it.get("Condition").is_none());
    !is_denied && statements.iter().any(|it| concerns(it, "Allow") && is_by(it, need.service))
}

fn has_call(statement: &Value, call: &str) -> bool {
    let is = |pattern: &&str| is_like(pattern.as_bytes(), call.as_bytes());
    match statement.get("NotAction") {
        Some(not) => !texts(Some(not)).iter().any(is),
        None => texts(statement.get("Action")).iter().any(is),
    }
}

/// Whether an action is one of a pattern's, in which `*` stands for any letters and `?` for one.
fn is_like(pattern: &[u8], call: &[u8]) -> bool {
    match (pattern.split_first(), call.split_first()) {
        (None, left) => left.is_none(),
        (Some((b'*', rest)), None) => is_like(rest, call),
        (Some((b'*', rest)), Some((_, less))) => is_like(rest, call) || is_like(pattern, less),
        (Some((letter, rest)), Some((own, less))) => {
            (*letter == b'?' || letter.eq_ignore_ascii_case(own)) && is_like(rest, less)
        }
        (Some(_), None) => false,
    }
}

/// Whether a statement is about a role: by its ARN, by its sessions, by its account, or about everybody. One about all but an account is
/// about that account's roles.
fn has_role(statement: &Value, role: &str) -> bool {
    let account = role.split(':').nth(4).unwrap_or_default();
    let name = role.rsplit('/').next().unwrap_or_default();
    let is_role = |principal: &str| {
        principal == "*" || principal == role || principal.contains(&format!(":sts::{account}:assumed-role/{name}/"))
    };
    let is_account = |principal: &str| principal == account || principal.ends_with(&format!(":iam::{account}:root"));
    match (statement.get("Principal"), statement.get("NotPrincipal")) {
        (Some(principals), _) => named(principals).into_iter().any(|it| is_role(it) || is_account(it)),
        (None, Some(principals)) => !named(principals).into_iter().any(is_role),
        (None, None) => false,
    }
}

fn named(principals: &Value) -> Vec<&str> {
    match principals {
        Value::Object(by_kind) => texts(by_kind.get("AWS")),
        all => texts(Some(all)),
    }
}

/// Whether a statement is about calls by this service, as far as its condition says.
fn is_by(statement: &Value, service: &str) -> bool {
    let conditions = statement.get("Condition").and_then(Value::as_object);
    let mut services = conditions.into_iter().flatten().filter_map(|(operator, keys)| {
        let positive = ["StringEquals", "StringLike"].iter().any(|it| operator.starts_with(it));
        keys.get("kms:ViaService").filter(|_| positive)
    });
    services.all(|values| {
        texts(Some(values)).iter().any(|it| it.starts_with(&format!("{service}.")) || it.starts_with('*'))
    })
}

/// One string or a list of them.
fn texts(value: Option<&Value>) -> Vec<&str> {
    one_or_more(value).into_iter().filter_map(Value::as_str).collect()
}

fn one_or_more(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(values)) => values.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ROLE: &str = "arn:aws:iam::1:role/nacre-ScannerRole-1AB2CD3EF4GH";

    fn is_let(statements: &Value) -> bool {
        let need = Need { role: ROLE.into(), service: "s3", calls: &["kms:Decrypt"] };
        lets(&json!({ "Statement": statements }), &need, "kms:Decrypt")
    }

    fn statement(effect: &str, principal: &Value, action: &Value) -> Value {
        json!({ "Effect": effect, "Principal": principal, "Action": action, "Resource": "*" })
    }

    fn via(mut statement: Value, service: &Value) -> Value {
        statement["Condition"] = json!({ "StringEquals": { "kms:ViaService": service } });
        statement
    }

    #[test]
    fn a_role_is_let_in_by_its_name_its_account_or_with_everybody() {
        for principal in [
            json!("*"),
            json!({ "AWS": ROLE }),
            json!({ "AWS": ["arn:aws:iam::2:root", "arn:aws:iam::1:root"] }),
            json!({ "AWS": "1" }),
            json!({ "AWS": "arn:aws:sts::1:assumed-role/nacre-ScannerRole-1AB2CD3EF4GH/session" }),
        ] {
            for action in [json!("kms:*"), json!(["kms:Encrypt", "kms:decrypt"]), json!("kms:De*"), json!("*")] {
                let one = statement("Allow", &principal, &action);
                assert!(is_let(&json!([one])) && is_let(&one), "{one}");
                let denied = statement("Deny", &principal, &json!("kms:Decrypt"));
                assert!(!is_let(&json!([one, denied])), "{denied}");
            }
        }
    }

    #[test]
    fn a_role_that_is_not_named_is_refused() {
        for principal in [
            json!({ "AWS": "AROAEXAMPLE" }),
            json!({ "AWS": "arn:aws:iam::1:role/nacre-ScannerRole-ZZ2CD3EF4GHa" }),
            json!({ "AWS": "arn:aws:iam::2:root" }),
            json!({ "Service": "s3.amazonaws.com" }),
        ] {
            assert!(!is_let(&statement("Allow", &principal, &json!("kms:*"))), "{principal}");
        }
        assert!(!is_let(&statement("Allow", &json!("*"), &json!(["kms:Encrypt", "kms:Describe*"]))));
        assert!(!is_let(&json!([])));
    }

    #[test]
    fn a_denial_of_all_others_spares_the_role_only_where_it_is_named() {
        let all = statement("Allow", &json!("*"), &json!("kms:*"));
        let denied = |spared: &Value| json!([all, { "Effect": "Deny", "NotPrincipal": spared, "Action": "kms:*" }]);
        assert!(!is_let(&denied(&json!({ "AWS": "arn:aws:iam::1:root" }))));
        assert!(is_let(&denied(&json!({ "AWS": ["arn:aws:iam::1:root", ROLE] }))));
    }

    #[test]
    fn actions_are_named_by_patterns() {
        for (pattern, is_meant) in [
            ("kms:*crypt", true),
            ("KMS:De?rypt", true),
            ("*", true),
            ("kms:Decrypt*", true),
            ("kms:Decrypt?", false),
            ("kms:*Key", false),
            ("kms:Decryp", false),
            ("", false),
        ] {
            assert_eq!(is_let(&statement("Allow", &json!("*"), &json!(pattern))), is_meant, "{pattern}");
        }
    }

    #[test]
    fn a_service_that_is_named_is_the_only_one() {
        let all = || statement("Allow", &json!("*"), &json!("kms:*"));
        assert!(is_let(&via(all(), &json!("s3.eu-west-1.amazonaws.com"))));
        assert!(is_let(&via(all(), &json!(["sns.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"]))));
        assert!(!is_let(&via(all(), &json!("sns.eu-west-1.amazonaws.com"))));
        let denied = via(statement("Deny", &json!("*"), &json!("kms:*")), &json!("s3.eu-west-1.amazonaws.com"));
        assert!(is_let(&json!([all(), denied])), "whether a refusal with a condition holds is not known");
    }

    proptest! {
        /// Statements about others change nothing, wherever they stand.
        #[test]
        fn a_statement_about_others_changes_nothing(effect in "(Allow|Deny)", account in 2_u32..99, first: bool, lets: bool) {
            let other = statement(&effect, &json!({ "AWS": format!("arn:aws:iam::{account}:root") }), &json!("kms:*"));
            let own = statement(if lets { "Allow" } else { "Deny" }, &json!({ "AWS": ROLE }), &json!("kms:*"));
            let both = if first { json!([other, own]) } else { json!([own, other]) };
            prop_assert_eq!(is_let(&both), lets);
        }
    }
}
