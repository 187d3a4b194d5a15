//! Parameters: JSON in, a typed struct or one clear sentence out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// For a strategy without parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

/// Reads parameters; the error names the parameter and what is wrong with it.
pub(crate) fn parse<P: DeserializeOwned>(json: &str) -> Result<P, String> {
    let json = if json.trim().is_empty() { "{}" } else { json };
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|error| format!("the parameters are not JSON: {error}"))?;
    serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    })
}

/// JSON Schema of a parameter struct.
pub(crate) fn schema<P: JsonSchema>() -> String {
    schemars::schema_for!(P).as_value().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    struct Parameters {
        sample_size: u32,
    }

    impl Default for Parameters {
        fn default() -> Self {
            Self { sample_size: 25 }
        }
    }

    #[test]
    fn absent_parameters_take_their_defaults() {
        assert_eq!(parse::<Parameters>("").unwrap().sample_size, 25);
        assert_eq!(parse::<Parameters>("{}").unwrap().sample_size, 25);
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for (json, part) in [
            (r#"{"sample-size": "many"}"#, "sample-size: invalid type"),
            (r#"{"sample-sise": 3}"#, "unknown field `sample-sise`, expected `sample-size`"),
            ("{", "not JSON"),
        ] {
            let error = parse::<Parameters>(json).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn the_schema_tells_names_and_defaults() {
        let schema: serde_json::Value = serde_json::from_str(&schema::<Parameters>()).unwrap();
        assert_eq!(schema["properties"]["sample-size"]["default"], 25);
        assert_eq!(schema["additionalProperties"], false);
    }
}
