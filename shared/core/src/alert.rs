//! Messages for people, on a topic of their own: in the form that AWS's chat service shows, and as a text for e-mail. Pure.
//!
//! The chat service drops without a word what is not in its schema ("Custom notifications" of the Amazon Q Developer in chat applications
//! Administrator Guide), so nothing else is published as the topic's default.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use crate::{object::ObjectId, port::TopicMessage, scan_record::ScanRecord};

/// The schema's bounds, in characters.
const MAX_TITLE: usize = 250;
const MAX_DESCRIPTION: usize = 8_000;

/// SNS's bound of a subject.
const MAX_SUBJECT: usize = 100;

/// Most characters of a key or a name; a key may have 1,024 bytes, each of them three characters here.
const MAX_NAME: usize = 400;

/// Most signatures that a message names.
const MAX_SIGNATURES: usize = 10;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What it is about, without line breaks.
    pub title: String,
    /// The subject of the mail, which has no name that somebody else chose.
    pub subject: String,
    /// A fact each: a name and a value, or a line without a name.
    pub facts: Vec<(&'static str, String)>,
    /// What to do, a step each.
    pub next_steps: Vec<String>,
    /// Messages of one thread are shown together.
    pub thread: String,
}

impl Alert {
    /// An infected object; `becomes` says what becomes of it.
    pub fn infected(record: &ScanRecord, becomes: &str) -> Self {
        Self {
            title: format!("INFECTED: {}", address(&record.object)),
            subject: format!("Nacre: INFECTED object in {}", record.object.bucket),
            facts: [("signatures", signatures(record)), ("outcome", becomes.to_owned())]
                .into_iter()
                .chain(facts(record))
                .collect(),
            next_steps: vec![
                "Find out who uploaded it (CloudTrail, server access logs), and who read it before.".into(),
            ],
            thread: thread(&record.object),
        }
    }

    /// An object that was infected and is clean by newer definitions.
    pub fn cleared(record: &ScanRecord) -> Self {
        Self {
            title: format!("Cleared: {}", address(&record.object)),
            subject: format!("Nacre: object in {} is clean after all", record.object.bucket),
            facts: [(
                "",
                "It was INFECTED and is CLEAN now: its signatures no longer match, or it was overwritten.".to_owned(),
            )]
            .into_iter()
            .chain(facts(record))
            .collect(),
            next_steps: Vec::new(),
            thread: thread(&record.object),
        }
    }

    /// The message as it is published: one body for the chat service and all others, one for e-mail.
    pub fn message(&self) -> TopicMessage {
        let fact = |(name, value): &(&'static str, String), bold: &str| match *name {
            "" => value.clone(),
            name => format!("{bold}{name}{bold}: {value}"),
        };
        let lines = |bold: &str| self.facts.iter().map(|line| fact(line, bold)).collect::<Vec<_>>().join("\n");
        let chat = json!({
            "version": "1.0",
            "source": "custom",
            "content": {
                "textType": "client-markdown",
                "title": bounded(&self.title, MAX_TITLE),
                "description": bounded(&lines("*"), MAX_DESCRIPTION),
                "nextSteps": self.next_steps,
            },
            "metadata": { "threadId": self.thread, "summary": bounded(&self.subject, MAX_TITLE) },
        });
        let mut mail = format!("{}\n\n{}\n", self.title, lines(""));
        for step in &self.next_steps {
            // A string takes all that is written to it.
            let _ = writeln!(mail, "\n{step}");
        }
        TopicMessage {
            subject: Some(bounded(&self.subject, MAX_SUBJECT)),
            body: json!({ "default": chat.to_string(), "email": mail }).to_string(),
            attributes: Vec::new(),
            per_protocol: true,
        }
    }
}

fn facts(record: &ScanRecord) -> Vec<(&'static str, String)> {
    let version = record.object.version_id.as_deref().map_or_else(|| "none".to_owned(), harmless);
    vec![
        ("version", version),
        ("size", format!("{} bytes", record.size)),
        ("generation", record.generation.0.to_string()),
        ("scanned", instant(record.scanned_at)),
    ]
}

fn signatures(record: &ScanRecord) -> String {
    let all = record.verdict.signatures();
    let named: Vec<String> = all.iter().take(MAX_SIGNATURES).map(|name| harmless(name)).collect();
    let more = all.len().saturating_sub(MAX_SIGNATURES);
    if more > 0 { format!("{} and {more} more", named.join(", ")) } else { named.join(", ") }
}

/// The object as people write it, with all that its uploader could deceive by encoded.
pub fn address(object: &ObjectId) -> String {
    format!("s3://{}/{}", object.bucket, harmless(&object.key))
}

fn thread(object: &ObjectId) -> String {
    format!("{}/{}", object.bucket, harmless(&object.key))
}

/// A time as messages have it.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A name with every character encoded as in a URL but letters, digits and a few that mean nothing.
///
/// Attack: a key that is a link, mentions a channel, sets text in bold, turns the writing direction, or breaks the line.
pub fn harmless(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if text.chars().count() >= MAX_NAME {
            text.push('…');
            break;
        }
        if c.is_alphanumeric() || "/.-+=, ()".contains(c) {
            text.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // As above.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

fn bounded(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((at, _)) if text.chars().count() > most => format!("{}…", text.get(..at).unwrap_or_default()),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{builder::record, verdict::Verdict};

    fn bodies(alert: &Alert) -> (Value, String) {
        let message = alert.message();
        assert!(message.per_protocol && message.subject.as_ref().unwrap().is_ascii());
        let bodies: Value = serde_json::from_str(&message.body).unwrap();
        let chat = serde_json::from_str(bodies["default"].as_str().unwrap()).unwrap();
        (chat, bodies["email"].as_str().unwrap().to_owned())
    }

    #[test]
    fn an_infected_object_is_a_card_of_the_chat_service_and_a_mail() {
        let verdict = Verdict::Infected { signatures: vec!["Win.Test.EICAR-1".into()] };
        let record = ScanRecord { verdict, ..record("uploads", "a b.com") };
        let (chat, mail) = bodies(&Alert::infected(&record, "it stays, and is refused to readers"));
        assert_eq!((&chat["version"], &chat["source"]), (&json!("1.0"), &json!("custom")));
        assert_eq!(chat["content"]["textType"], "client-markdown");
        assert_eq!(chat["content"]["title"], "INFECTED: s3://uploads/a b.com");
        let description = chat["content"]["description"].as_str().unwrap();
        assert!(description.starts_with("*signatures*: Win.Test.EICAR-1\n*outcome*: it stays"), "{description}");
        assert!(mail.starts_with("INFECTED: s3://uploads/a b.com\n\nsignatures: Win.Test.EICAR-1\n"), "{mail}");
    }

    #[test]
    fn a_key_can_neither_link_nor_mention_nor_format_nor_break_lines() {
        for key in [
            "<!channel>",
            "<https://evil|bank>",
            "*x*_y_`z`~",
            "a\nINFECTED: b",
            "\u{202e}cod.exe",
            "http://evil",
            "a%2Fb",
        ] {
            let verdict = Verdict::Infected { signatures: vec![key.to_owned()] };
            let record = ScanRecord { verdict, ..record("uploads", key) };
            let (chat, mail) = bodies(&Alert::infected(&record, "x"));
            let title = chat["content"]["title"].as_str().unwrap();
            assert!(!title.contains(['<', '>', '*', '_', '`', '~', '|', '\n', '\u{202e}']), "{title}");
            assert!(!title["INFECTED: s3://".len()..].contains("://"), "{title}");
            assert!(!mail.contains(key), "{mail}");
        }
    }

    #[test]
    fn every_part_is_within_its_bound() {
        let verdict = Verdict::Infected { signatures: vec!["x".repeat(300); 5_000] };
        let record = ScanRecord { verdict, ..record("uploads", &"ß<".repeat(340)) };
        let message = Alert::infected(&record, "x").message();
        assert!(message.body.len() < 64 << 10 && message.subject.as_ref().unwrap().len() <= 100);
        let (chat, _) = bodies(&Alert::infected(&record, "x"));
        assert!(chat["content"]["title"].as_str().unwrap().chars().count() <= MAX_TITLE);
        assert!(chat["content"]["description"].as_str().unwrap().chars().count() <= MAX_DESCRIPTION);
    }
}
