//! The text of a bucket's policy, changed where our statements are and nowhere else: what others wrote keeps every byte, so that a
//! bucket that is attached and detached has the policy that it had. Pure.

use std::ops::Range;

use serde_json::Value;

/// Why a policy cannot be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("the bucket's policy is not JSON")]
    NotJson(#[source] serde_json::Error),
    #[error("the bucket's policy has not exactly one Statement, which is a list or an object")]
    NoStatements,
    #[error(
        "the bucket's policy has a statement {0} that is not of this stack: rename or remove it, or detach the bucket from the other stack"
    )]
    NotOurs(String),
}

/// Where the statements are in a policy.
#[derive(Debug)]
struct Statements {
    /// The whole value.
    value: Range<usize>,
    is_list: bool,
    each: Vec<(Range<usize>, Value)>,
}

/// The statements of a policy.
pub(crate) fn statements(text: &str) -> Result<Vec<Value>, PolicyError> {
    Ok(found(text)?.each.into_iter().map(|(_, statement)| statement).collect())
}

/// The policy with these statements and no others that are ours. It stays as it is when it has them already.
///
/// # Errors
/// [`PolicyError`]; [`PolicyError::NotOurs`] when a name is taken.
pub(crate) fn with(
    text: Option<&str>,
    wanted: &[Value],
    is_ours: impl Fn(&Value) -> bool,
) -> Result<String, PolicyError> {
    let joined = wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let Some(text) = text else {
        return Ok(format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{joined}]}}"));
    };
    let has = found(text)?;
    let (ours, foreign): (Vec<_>, Vec<_>) = has.each.iter().map(|(_, it)| it).partition(|it| is_ours(it));
    let name = |statement: &Value| statement.get("Sid").and_then(Value::as_str).map(str::to_owned);
    let taken =
        foreign.iter().filter_map(|it| name(it)).find(|it| wanted.iter().any(|mine| name(mine).as_ref() == Some(it)));
    if let Some(taken) = taken {
        return Err(PolicyError::NotOurs(taken));
    }
    if ours.len() == wanted.len() && wanted.iter().all(|mine| ours.contains(&mine)) {
        return Ok(text.to_owned());
    }
    let mut text = cut(text, &has, &is_ours);
    let left = found(&text)?;
    let comma = if left.each.is_empty() { "" } else { "," };
    if left.is_list {
        let at = left.each.last().map_or(left.value.start + 1, |(range, _)| range.end);
        text.insert_str(at, &format!("{comma}{joined}"));
    } else {
        text.insert_str(left.value.end, &format!(",{joined}]"));
        text.insert(left.value.start, '[');
    }
    Ok(text)
}

/// The policy without the statements that are ours; `None` when there is no other.
///
/// # Errors
/// [`PolicyError`].
pub(crate) fn without(text: &str, is_ours: impl Fn(&Value) -> bool) -> Result<Option<String>, PolicyError> {
    let has = found(text)?;
    if has.each.iter().any(|(_, it)| is_ours(it)) && has.each.iter().all(|(_, it)| is_ours(it)) {
        return Ok(None);
    }
    Ok(Some(cut(text, &has, &is_ours)))
}

/// Cuts statements out, each with the comma before it; those at the beginning with the comma after it.
fn cut(text: &str, has: &Statements, is_ours: &impl Fn(&Value) -> bool) -> String {
    let ranges = || has.each.iter().map(|(range, _)| range.clone());
    let first_kept = has.each.iter().position(|(_, it)| !is_ours(it));
    let mut cuts = Vec::new();
    match first_kept {
        Some(kept) if kept > 0 => cuts.extend(ranges().next().zip(ranges().nth(kept)).map(|(a, b)| a.start..b.start)),
        Some(_) => {}
        None => cuts.extend(ranges().next().zip(ranges().next_back()).map(|(a, b)| a.start..b.end)),
    }
    let pairs = ranges().zip(ranges().skip(1)).zip(has.each.iter().skip(1)).enumerate();
    let later = pairs.filter(|(number, (_, (_, it)))| first_kept.is_some_and(|kept| *number >= kept) && is_ours(it));
    cuts.extend(later.map(|(_, ((before, this), _))| before.end..this.end));
    let mut text = text.to_owned();
    for range in cuts.into_iter().rev() {
        text.replace_range(range, "");
    }
    text
}

fn found(text: &str) -> Result<Statements, PolicyError> {
    serde_json::from_str::<Value>(text).map_err(PolicyError::NotJson)?;
    let members = members(text);
    let mut named = members.into_iter().filter(|(name, _)| name == "Statement").map(|(_, value)| value);
    let (Some(value), None) = (named.next(), named.next()) else { return Err(PolicyError::NoStatements) };
    let is_list = text.get(value.clone()).is_some_and(|text| text.starts_with('['));
    let ranges = if is_list { elements(text, value.clone()) } else { vec![value.clone()] };
    let parsed = ranges.into_iter().filter_map(|range| {
        let parsed = serde_json::from_str(text.get(range.clone())?).ok()?;
        Some((range, parsed))
    });
    let each: Vec<(Range<usize>, Value)> = parsed.collect();
    if each.iter().all(|(_, statement)| statement.is_object()) {
        Ok(Statements { value, is_list, each })
    } else {
        Err(PolicyError::NoStatements)
    }
}

/// The members of the object that a valid JSON text is: names, and where their values are.
fn members(text: &str) -> Vec<(String, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = after_space(bytes, 0) + 1;
    while bytes.get(after_space(bytes, at)) == Some(&b'"') {
        let start = after_space(bytes, at);
        let end = after_value(bytes, start);
        let name = text.get(start..end).and_then(|name| serde_json::from_str(name).ok()).unwrap_or_default();
        // After the colon.
        let start = after_space(bytes, after_space(bytes, end) + 1);
        let end = after_value(bytes, start);
        found.push((name, start..end));
        at = after_space(bytes, end) + 1;
    }
    found
}

/// Where the elements of a list in a valid JSON text are.
fn elements(text: &str, list: Range<usize>) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = after_space(bytes, list.start + 1);
    while at + 1 < list.end {
        let end = after_value(bytes, at);
        found.push(at..end);
        at = after_space(bytes, after_space(bytes, end) + 1);
    }
    found
}

fn after_space(bytes: &[u8], at: usize) -> usize {
    let space = bytes.iter().skip(at).take_while(|byte| byte.is_ascii_whitespace()).count();
    at + space
}

/// Where the value ends that begins here.
fn after_value(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    in_string = false;
                    if depth == 0 {
                        return at + 1;
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 1 => depth -= 1,
            b'}' | b']' if depth == 1 => return at + 1,
            b'}' | b']' | b',' if depth == 0 => return at,
            byte if depth == 0 && byte.is_ascii_whitespace() => return at,
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn is_ours(statement: &Value) -> bool {
        statement["Condition"] == "ours"
    }

    fn ours() -> [Value; 2] {
        ["DenyReading", "DenyForgedVerdicts"].map(|sid| json!({ "Sid": sid, "Condition": "ours" }))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_others_wrote_keeps_every_byte(
            names in prop::collection::vec("[^\"\\\\\u{0}-\u{1f}]{0,8}", 1..4), space in "[ \n\t]{0,3}", id in prop::bool::ANY,
        ) {
            let written = |name: &String| format!("{{{space}\"Resource\" :\t[\"a,]}}{name}\", {{\"x\\\"[\":1}}],\"Effect\":\"Deny\"{space}}}");
            let list = names.iter().map(written).collect::<Vec<_>>().join(&format!("{space},{space}"));
            let (before, after) = if id { ("\"Id\":\"}[\",", "") } else { ("", ",\"Version\":\"2008-10-17\"") };
            let policy = format!("{space}{{{before}{space}\"Statement\"{space}:{space}[{space}{list}{space}]{after}{space}}}");
            let attached = with(Some(&policy), &ours(), is_ours).unwrap();
            prop_assert_eq!(statements(&attached).unwrap().len(), names.len() + 2);
            prop_assert_eq!(&with(Some(&attached), &ours(), is_ours).unwrap(), &attached);
            prop_assert_eq!(without(&attached, is_ours).unwrap(), Some(policy.clone()));
            prop_assert_eq!(without(&policy, is_ours).unwrap(), Some(policy));
        }

        #[test]
        fn statements_of_ours_are_taken_out_wherever_they_are(which in prop::collection::vec(prop::bool::ANY, 1..7)) {
            let all: Vec<_> = which.iter().enumerate().map(|(number, mine)| json!({ "Id": number, "Condition": if *mine { "ours" } else { "" } })).collect();
            let foreign: Vec<_> = all.iter().filter(|it| !is_ours(it)).cloned().collect();
            let left = without(&json!({ "Statement": all }).to_string(), is_ours).unwrap();
            let expected = (!foreign.is_empty()).then(|| json!({ "Statement": foreign }).to_string());
            prop_assert_eq!(left, expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:\\\\a ]{0,30}") {
            let _ = with(Some(&text), &ours(), is_ours);
        }
    }

    #[test]
    fn a_policy_of_one_statement_becomes_a_list_and_none_is_deleted_again() {
        let one = r#"{"Statement":{"Sid":"Theirs"}}"#;
        let attached = with(Some(one), &ours(), is_ours).unwrap();
        assert_eq!(without(&attached, is_ours).unwrap().unwrap(), r#"{"Statement":[{"Sid":"Theirs"}]}"#);
        let alone = with(None, &ours(), is_ours).unwrap();
        assert_eq!((statements(&alone).unwrap(), without(&alone, is_ours).unwrap()), (ours().to_vec(), None));
    }

    #[test]
    fn a_name_that_is_taken_is_not_overwritten() {
        let theirs = json!({ "Statement": [{ "Sid": "DenyReading", "Condition": "theirs" }] }).to_string();
        assert!(
            matches!(with(Some(&theirs), &ours(), is_ours), Err(PolicyError::NotOurs(name)) if name == "DenyReading")
        );
        for bad in ["", "[]", "{}", r#"{"Statement":1}"#, r#"{"Statement":[1]}"#, r#"{"Statement":[],"Statement":[]}"#]
        {
            assert!(with(Some(bad), &ours(), is_ours).is_err(), "{bad}");
        }
    }
}
