//! The updater's settings.

use std::path::PathBuf;

use nacre_shared::{
    definitions::{database::DatabaseName, trust_anchor::TrustAnchors},
    settings::{SettingError, Settings},
};

/// The updater's settings, read once at cold start.
#[derive(Clone, Debug)]
pub struct Config {
    /// `AV_DEFINITION_S3_BUCKET`, required: the definitions bucket.
    pub definitions_bucket: String,
    /// `AV_DEFINITION_S3_PREFIX`, default `clamav_defs`: the flat, freshclam-compatible prefix.
    pub flat_prefix: String,
    /// `NACRE_DEFINITIONS_MIRROR`, default `https://database.clamav.net`: where databases come from.
    pub mirror: String,
    /// `NACRE_DATABASES`, default `main,daily,bytecode`: which databases, sorted, each once.
    pub databases: Vec<DatabaseName>,
    /// `NACRE_TRUST_ANCHORS`, default ClamAV's: the keys that databases must be signed by.
    pub trust_anchors: TrustAnchors,
    /// `NACRE_DEFINITIONS_TOPIC_ARN`, required: where a new generation is announced.
    pub topic_arn: String,
    /// `NACRE_ENGINE_PATH`, default `nacre-engine` beside this program.
    pub engine_path: Option<PathBuf>,
    /// `NACRE_SCRATCH_PATH`, default `/tmp`: where definitions are proven.
    pub scratch_path: PathBuf,
}

impl Config {
    /// Reads the settings through `variable`.
    ///
    /// # Errors
    /// [`SettingError`], which names the variable.
    pub fn from_vars(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let settings = Settings::new(variable);
        let mirror = settings.parsed("NACRE_DEFINITIONS_MIRROR", |value| {
            let url = value.trim_end_matches('/');
            let is_http = url.starts_with("https://") || url.starts_with("http://");
            if is_http { Ok(url.to_owned()) } else { Err("an http:// or https:// address") }
        })?;
        let databases = settings.parsed("NACRE_DATABASES", database_names)?;
        Ok(Self {
            definitions_bucket: settings.required("AV_DEFINITION_S3_BUCKET", "the definitions bucket's name")?,
            flat_prefix: settings.or("AV_DEFINITION_S3_PREFIX", "clamav_defs").trim_matches('/').to_owned(),
            mirror: mirror.unwrap_or_else(|| "https://database.clamav.net".to_owned()),
            databases: match databases {
                Some(databases) => databases,
                None => database_names("main,daily,bytecode").unwrap_or_default(),
            },
            trust_anchors: settings
                .parsed("NACRE_TRUST_ANCHORS", TrustAnchors::from_json)?
                .unwrap_or_else(TrustAnchors::clamav),
            topic_arn: settings
                .required("NACRE_DEFINITIONS_TOPIC_ARN", "the ARN of the topic that announces generations")?,
            engine_path: settings.optional("NACRE_ENGINE_PATH").map(PathBuf::from),
            scratch_path: settings.or("NACRE_SCRATCH_PATH", "/tmp").into(),
        })
    }
}

/// Names of databases, separated by commas.
fn database_names(list: &str) -> Result<Vec<DatabaseName>, String> {
    let parse = |name: &str| {
        DatabaseName::new(name.trim()).map_err(|error| format!("database names separated by commas ({error})"))
    };
    let mut names = list.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(set: &[(&str, &str)]) -> Result<Config, SettingError> {
        let required =
            [("AV_DEFINITION_S3_BUCKET", "definitions"), ("NACRE_DEFINITIONS_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:t")];
        Config::from_vars(|name| {
            set.iter().chain(&required).find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn defaults_are_clamavs_and_the_predecessors() {
        let config = config(&[]).unwrap();
        assert_eq!(config.flat_prefix, "clamav_defs");
        assert_eq!(config.mirror, "https://database.clamav.net");
        let names: Vec<_> = config.databases.iter().map(DatabaseName::as_str).collect();
        assert_eq!(names, ["bytecode", "daily", "main"]);
        assert!(config.trust_anchors.is_clamav());
    }

    #[test]
    fn a_missing_or_malformed_setting_is_named() {
        for (name, wrong) in [
            ("AV_DEFINITION_S3_BUCKET", ""),
            ("NACRE_DEFINITIONS_TOPIC_ARN", ""),
            ("NACRE_DEFINITIONS_MIRROR", "ftp://mirror"),
            ("NACRE_DATABASES", "main,../daily"),
            ("NACRE_TRUST_ANCHORS", "{}"),
        ] {
            assert!(config(&[(name, wrong)]).unwrap_err().to_string().starts_with(name), "{name}");
        }
    }
}
