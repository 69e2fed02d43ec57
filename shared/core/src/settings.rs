//! Reads settings once, through a function, so that tests never touch the process's environment.

use std::{cell::RefCell, fmt};

/// A setting that is missing or wrong; names the variable and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// It is required.
    #[error("{variable} is not set: set it to {expected}")]
    Missing {
        /// The variable.
        variable: &'static str,
        /// Valid values.
        expected: &'static str,
    },
    /// It has an invalid value.
    #[error("{variable} is set to {value:?}: set it to {expected}")]
    Invalid {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// Valid values.
        expected: String,
    },
    /// The predecessor took it, and we do not.
    #[error("{variable} is set, and Nacre does not take it: {reason}")]
    Refused {
        /// The variable.
        variable: &'static str,
        /// The reason and the remedy.
        reason: &'static str,
    },
}

/// A setting, declared once: programs read its default from here, and `docs/configuration.md` is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// Its value when unset, in backticks or digits; anything else describes it, such as `required`.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// Makes the rows of a table of settings.
#[macro_export]
macro_rules! settings_table {
    ($($variable:literal, $default:literal, $meaning:literal;)*) => {
        &[$($crate::settings::Setting { variable: $variable, default: $default, meaning: $meaning },)*]
    };
}

/// A setting of the predecessor that is not taken: its effect would harm, or means nothing here. Starting as if it had
/// been taken would be worse than not starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedSetting {
    /// The environment variable.
    pub variable: &'static str,
    /// The reason and the remedy.
    pub reason: &'static str,
    /// Whether it may be there with the value of "no".
    pub may_be_false: bool,
}

/// The settings of the predecessor, its fork and its upstream that are not taken.
pub const REFUSED: [RefusedSetting; 8] = [
    RefusedSetting {
        variable: "AV_UPDATE_METADATA",
        reason: "rewriting an object's metadata copies it onto itself, which makes a new version, loses its ACL and encryption, and \
                 sets off another scan; the tags say the same, so unset it",
        may_be_false: false,
    },
    RefusedSetting {
        variable: "AV_PROCESS_ORIGINAL_VERSION_ONLY",
        reason: "every version is scanned, tagged and recorded as itself, so that none needs to be refused; unset it",
        may_be_false: true,
    },
    RefusedSetting {
        variable: "CLAMAVLIB_PATH",
        reason: "the engine finds its library as the system does (LD_LIBRARY_PATH); unset it",
        may_be_false: false,
    },
    RefusedSetting {
        variable: "CLAMSCAN_PATH",
        reason: "no clamscan is run; NACRE_ENGINE_PATH names the engine, so unset it",
        may_be_false: false,
    },
    RefusedSetting {
        variable: "FRESHCLAM_PATH",
        reason: "the updater runs the freshclam that is beside it in its package, or else on PATH; NACRE_FETCHER says when, so unset it",
        may_be_false: false,
    },
    RefusedSetting {
        variable: "LD_PATH",
        reason: "the predecessor did not use it either; unset it",
        may_be_false: false,
    },
    RefusedSetting {
        variable: "DATADOG_API_KEY",
        reason: "metrics are written to the log in CloudWatch's embedded format, from which Datadog's own integration reads them; unset it",
        may_be_false: false,
    },
    RefusedSetting {
        variable: "LAMBDA_ENDPOINT",
        reason: "no function calls another; AWS_ENDPOINT_URL and its kind name endpoints, so unset it",
        may_be_false: false,
    },
];

/// The settings of one program.
pub struct Settings<F> {
    table: &'static [Setting],
    variable: F,
    warnings: RefCell<Vec<String>>,
}

impl<F: Fn(&str) -> Option<String>> Settings<F> {
    /// Reads the variables of a table through `variable`. An empty value is the same as none: CloudFormation cannot leave one out.
    pub fn new(table: &'static [Setting], variable: F) -> Self {
        Self { table, variable, warnings: RefCell::default() }
    }

    /// The default of a variable, where the table has one.
    fn default_of(&self, variable: &str) -> Option<&'static str> {
        let default = self.table.iter().find(|setting| setting.variable == variable)?.default;
        let quoted = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
        quoted.or_else(|| default.bytes().all(|byte| byte.is_ascii_digit()).then_some(default))
    }

    /// Refuses the predecessor's settings that are not taken.
    ///
    /// # Errors
    /// [`SettingError::Refused`].
    pub fn refuse(&self) -> Result<(), SettingError> {
        for RefusedSetting { variable, reason, may_be_false } in REFUSED {
            let harmless = may_be_false && matches!(self.parsed(variable, switch), Ok(Some(false)));
            if self.optional(variable).is_some() && !harmless {
                return Err(SettingError::Refused { variable, reason });
            }
        }
        Ok(())
    }

    /// The value of a variable that may be missing.
    pub fn optional(&self, variable: &'static str) -> Option<String> {
        (self.variable)(variable).filter(|value| !value.is_empty())
    }

    /// The name that a renamed setting is set by: its own, or else its former name, which [`Settings::warnings`] then reports.
    pub fn renamed(&self, variable: &'static str, former: &'static str) -> &'static str {
        // Both are read, so that a test can compare what is read with what is documented.
        let (own, former_value) = (self.optional(variable), self.optional(former));
        if former_value.is_none() || own.is_some() {
            return variable;
        }
        self.warnings.borrow_mut().push(format!("{former} is the former name of {variable}: rename it"));
        former
    }

    /// Settings that are taken and should be changed, with the remedy: for the log, once.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.borrow().clone()
    }

    /// The value of a variable, or its default.
    ///
    /// # Errors
    /// [`SettingError::Missing`] when the table has no default for it.
    pub fn text(&self, variable: &'static str) -> Result<String, SettingError> {
        let value = self.optional(variable).or_else(|| self.default_of(variable).map(str::to_owned));
        value.ok_or(SettingError::Missing { variable, expected: "a value" })
    }

    /// The value of a variable that must be there.
    ///
    /// # Errors
    /// [`SettingError::Missing`].
    pub fn required(&self, variable: &'static str, expected: &'static str) -> Result<String, SettingError> {
        self.optional(variable).ok_or(SettingError::Missing { variable, expected })
    }

    /// A whole number of at least 1; `None` when it is neither set nor has a default.
    ///
    /// # Errors
    /// [`SettingError::Invalid`].
    pub fn positive(&self, variable: &'static str) -> Result<Option<u64>, SettingError> {
        self.parsed(variable, positive)
    }

    /// A whole number of at least 1 that has a default.
    ///
    /// # Errors
    /// [`SettingError`].
    pub fn number(&self, variable: &'static str) -> Result<u64, SettingError> {
        self.positive(variable)?.ok_or(SettingError::Missing { variable, expected: "a whole number of at least 1" })
    }

    /// A switch that has a default, in the words that the predecessor accepts (Python's `strtobool`).
    ///
    /// # Errors
    /// [`SettingError`].
    pub fn switch(&self, variable: &'static str) -> Result<bool, SettingError> {
        self.parsed(variable, switch)?.ok_or(SettingError::Missing { variable, expected: "True or False" })
    }

    /// A value with a form of its own, or its default; `parse` returns the valid values when it has another.
    ///
    /// # Errors
    /// [`SettingError::Invalid`].
    pub fn parsed<T, E: fmt::Display>(
        &self,
        variable: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, SettingError> {
        let value = self.optional(variable).or_else(|| self.default_of(variable).map(str::to_owned));
        let Some(value) = value else { return Ok(None) };
        match parse(&value) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(expected) => Err(SettingError::Invalid { variable, value, expected: expected.to_string() }),
        }
    }
}

fn positive(value: &str) -> Result<u64, &'static str> {
    value.parse().ok().filter(|number| *number > 0).ok_or("a whole number of at least 1")
}

fn switch(value: &str) -> Result<bool, &'static str> {
    match value.to_ascii_lowercase().as_str() {
        "y" | "yes" | "t" | "true" | "on" | "1" => Ok(true),
        "n" | "no" | "f" | "false" | "off" | "0" => Ok(false),
        _ => Err("True or False"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_predecessor_took_and_we_do_not_is_refused_with_a_reason() {
        let refused = |name: &str, value: &str| {
            let error = Settings::new(&[], |variable| (variable == name).then(|| value.to_owned())).refuse().err();
            error.map(|error| error.to_string()).unwrap_or_default()
        };
        for RefusedSetting { variable, reason, .. } in REFUSED {
            assert_eq!(refused(variable, "True"), format!("{variable} is set, and Nacre does not take it: {reason}"));
            assert_eq!(refused(variable, ""), "");
        }
        assert_eq!(refused("AV_PROCESS_ORIGINAL_VERSION_ONLY", "False"), "");
        // With the predecessor its presence was enough.
        assert_ne!(refused("AV_UPDATE_METADATA", "False"), "");
    }

    const TABLE: &[Setting] = settings_table![
        "SET", "none", "a setting without a default";
        "TEXT", "`default`", "a setting with a default";
        "NUMBER", "72", "a number with a default";
        "ON", "`True`", "a switch with a default";
    ];

    fn settings(value: &'static str) -> Settings<impl Fn(&str) -> Option<String>> {
        Settings::new(TABLE, move |name| (name == "SET").then(|| value.to_owned()))
    }

    #[test]
    fn a_missing_setting_is_named_with_its_remedy() {
        let error = settings("x").required("AV_DEFINITION_S3_BUCKET", "the definitions bucket's name").unwrap_err();
        assert_eq!(error.to_string(), "AV_DEFINITION_S3_BUCKET is not set: set it to the definitions bucket's name");
    }

    #[test]
    fn an_empty_setting_is_a_missing_one() {
        assert!(settings("").required("SET", "something").is_err());
        assert_eq!(settings("").text("TEXT").unwrap(), "default");
        assert_eq!(settings("x").text("SET").unwrap(), "x");
        assert!(settings("").text("SET").is_err());
    }

    #[test]
    fn a_former_name_is_taken_with_a_warning() {
        for (set, name, value, warnings) in [
            (&[][..], "NEW", None, 0),
            (&[("NEW", "2")], "NEW", Some(2), 0),
            (&[("OLD", "1")], "OLD", Some(1), 1),
            (&[("OLD", "1"), ("NEW", "2")], "NEW", Some(2), 0),
            (&[("OLD", "1"), ("NEW", "")], "OLD", Some(1), 1),
        ] {
            let find = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            let settings = Settings::new(&[], find);
            let found = settings.renamed("NEW", "OLD");
            assert_eq!((found, settings.positive(found).unwrap()), (name, value), "{set:?}");
            assert_eq!(settings.warnings(), vec!["OLD is the former name of NEW: rename it"; warnings], "{set:?}");
        }
    }

    #[test]
    fn switches_are_the_predecessors() {
        for (value, expected) in
            [("True", true), ("ON", true), ("1", true), ("no", false), ("False", false), ("0", false)]
        {
            assert_eq!(settings(value).switch("SET").unwrap(), expected, "{value}");
        }
        assert!(settings("x").switch("ON").unwrap());
        let error = settings("maybe").switch("SET").unwrap_err();
        assert_eq!(error.to_string(), "SET is set to \"maybe\": set it to True or False");
    }

    #[test]
    fn numbers_are_positive() {
        assert_eq!(settings("25000000").positive("SET").unwrap(), Some(25_000_000));
        assert_eq!(settings("x").positive("UNSET").unwrap(), None);
        assert_eq!(settings("x").number("NUMBER").unwrap(), 72);
        for wrong in ["0", "-1", "many"] {
            let error = settings(Box::leak(wrong.into())).positive("SET").unwrap_err();
            assert_eq!(error.to_string(), format!("SET is set to \"{wrong}\": set it to a whole number of at least 1"));
        }
    }
}
