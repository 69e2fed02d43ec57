//! The text of `freshclam.conf`. Pure.

use std::path::Path;

use nacre_clamav::database::DatabaseName;

use super::FreshclamError;

/// The databases that freshclam updates unless they are excluded.
const STANDARD: [&str; 3] = ["daily", "main", "bytecode"];

/// The databases that freshclam updates when they are named; any other name it refuses.
const OPTIONAL: [&str; 3] = ["safebrowsing", "test", "valhalla"];

/// Most bytes of a value: freshclam reads lines of at most 1023 bytes, and takes the rest for the next.
const MAX_VALUE_BYTES: usize = 900;

/// What a run of freshclam is to do.
#[derive(Clone, Debug)]
pub struct Configuration<'a> {
    /// The mirrors, in the order in which they are asked.
    pub mirrors: Vec<&'a str>,
    /// Whether they are private mirrors, which may have CLDs.
    pub private: bool,
    /// The TXT record of the newest versions; `None` asks the mirrors.
    pub dns_record: Option<&'a str>,
    /// The databases to update.
    pub databases: Vec<&'a DatabaseName>,
    /// Whether whole CVDs are wanted, and no CDIFFs.
    pub whole_cvds: bool,
    /// Most bytes of a file that it writes.
    pub max_database_bytes: usize,
}

/// Whether freshclam updates databases of this name.
pub(crate) fn is_known(database: &DatabaseName) -> bool {
    STANDARD.contains(&database.as_str()) || OPTIONAL.contains(&database.as_str())
}

impl Configuration<'_> {
    /// The file's text.
    ///
    /// # Errors
    /// [`FreshclamError::Value`].
    pub(super) fn text(&self, databases: &Path, attempts: u32) -> Result<String, FreshclamError> {
        let mut text = Text::default();
        text.add("DatabaseDirectory", &databases.to_string_lossy())?;
        // Whom it changes to when root starts it. It stays who it is, or it could not enter its directory.
        text.add("DatabaseOwner", "root")?;
        let mirror = if self.private { "PrivateMirror" } else { "DatabaseMirror" };
        for address in &self.mirrors {
            text.add(mirror, address)?;
        }
        if let Some(record) = self.dns_record {
            text.add("DNSDatabaseInfo", record)?;
        }
        let is_wanted = |name: &str| self.databases.iter().any(|database| database.as_str() == name);
        for excluded in STANDARD.iter().filter(|name| !is_wanted(name)) {
            text.add("ExcludeDatabase", excluded)?;
        }
        for extra in self.databases.iter().filter(|name| !STANDARD.contains(&name.as_str())) {
            text.add("ExtraDatabase", extra.as_str())?;
        }
        let scripted = if self.whole_cvds { "no" } else { "yes" };
        for (name, value) in [
            ("ScriptedUpdates", scripted),
            // The whole set is tested by the engine that will scan with it.
            ("TestDatabases", "no"),
            ("CompressLocalDatabase", "no"),
            ("MaxAttempts", &attempts.to_string()),
            ("ConnectTimeout", "30"),
            ("ReceiveTimeout", "60"),
        ] {
            text.add(name, value)?;
        }
        Ok(text.0)
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    /// Adds a line. The file knows no escapes, so that a value with a line break would be two settings, and one of them a
    /// command to run (`OnUpdateExecute`); `#` begins a comment, and a quote a quoted value.
    fn add(&mut self, name: &'static str, value: &str) -> Result<(), FreshclamError> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#' && byte != b'"';
        if value.is_empty() || value.len() > MAX_VALUE_BYTES || !value.bytes().all(is_plain) {
            let setting = match name {
                "DatabaseDirectory" => "NACRE_SCRATCH_PATH",
                "DNSDatabaseInfo" => "NACRE_DNS_DATABASE_INFO",
                "ExtraDatabase" => "NACRE_DATABASES",
                _ => "NACRE_DEFINITIONS_MIRROR",
            };
            return Err(FreshclamError::Value { setting, name });
        }
        self.0.extend([name, " ", value, "\n"]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<DatabaseName> {
        names.iter().map(|name| DatabaseName::new(*name).unwrap()).collect()
    }

    fn configuration(databases: &[DatabaseName]) -> Configuration<'_> {
        Configuration {
            mirrors: vec!["https://database.clamav.net"],
            private: false,
            dns_record: Some("current.cvd.clamav.net"),
            databases: databases.iter().collect(),
            whole_cvds: false,
            max_database_bytes: 1 << 20,
        }
    }

    fn text(configuration: &Configuration<'_>) -> Result<String, FreshclamError> {
        configuration.text(Path::new("/tmp/nacre-update-1/freshclam/databases"), 2)
    }

    #[test]
    fn the_defaults_are_written_in_full() {
        let databases = names(&["bytecode", "daily", "main"]);
        let expected = "DatabaseDirectory /tmp/nacre-update-1/freshclam/databases\n\
            DatabaseOwner root\n\
            DatabaseMirror https://database.clamav.net\n\
            DNSDatabaseInfo current.cvd.clamav.net\n\
            ScriptedUpdates yes\n\
            TestDatabases no\n\
            CompressLocalDatabase no\n\
            MaxAttempts 2\n\
            ConnectTimeout 30\n\
            ReceiveTimeout 60\n";
        assert_eq!(text(&configuration(&databases)).unwrap(), expected);
    }

    #[test]
    fn what_is_not_wanted_is_excluded_and_what_is_not_standard_added() {
        let databases = names(&["daily", "test"]);
        let configuration = Configuration {
            mirrors: vec!["http://one", "http://two"],
            private: true,
            dns_record: None,
            whole_cvds: true,
            ..configuration(&databases)
        };
        let text = text(&configuration).unwrap();
        let expected = [
            "PrivateMirror http://one\nPrivateMirror http://two\n",
            "ExcludeDatabase main\nExcludeDatabase bytecode\nExtraDatabase test\nScriptedUpdates no\n",
        ];
        assert!(expected.iter().all(|lines| text.contains(lines)), "{text}");
        assert!(!text.contains("DNSDatabaseInfo") && !text.contains("DatabaseMirror"), "{text}");
    }

    #[test]
    fn no_value_makes_a_second_setting() {
        let databases = names(&["daily"]);
        let long = format!("http://{}", "a".repeat(MAX_VALUE_BYTES));
        for address in
            ["http://a\nOnUpdateExecute rm", "http://a b", "http://a#b", "http://\"a\"", "http://\u{e9}", "", &long]
        {
            let configuration = Configuration { mirrors: vec![address], ..configuration(&databases) };
            let error = text(&configuration).unwrap_err().to_string();
            assert!(error.starts_with("NACRE_DEFINITIONS_MIRROR cannot be given"), "{address:?}: {error}");
        }
        let error = configuration(&databases).text(Path::new("/tmp/with blank"), 2).unwrap_err().to_string();
        assert!(error.starts_with("NACRE_SCRATCH_PATH"), "{error}");
    }

    proptest! {
        #[test]
        fn there_are_as_many_lines_as_settings(address in "\\PC{0,60}|[\\x00-\\x7f]{0,60}") {
            let databases = names(&["bytecode", "daily", "main"]);
            let lines = |address| {
                let configuration = Configuration { mirrors: vec![address], ..configuration(&databases) };
                text(&configuration).ok().map(|text| text.split(['\n', '\r', '\0']).count())
            };
            prop_assert!(lines(&address).is_none_or(|count| Some(count) == lines("http://a")));
        }
    }
}
