//! One network, whose recipe and sizes are what is searched: plain hyper-parameter tuning.
//!
//! A parameter's name is the key that it sets: `recipe.learning-rate`, `recipe.augmentation.flip` of the recipe,
//! `space.stack.channels` of the network's space.

use nasd_network::SpaceDefinition;
use nasd_protocol::trainer::Recipe;
use nasd_space::{Architecture, Domain, Gene, SearchSpace};
use serde_json::{Map, Value, json};

/// The network.
pub struct FixedMethod {
    /// Its space, set to the task's input and classes.
    pub definition: SpaceDefinition,
    /// Its architecture, in the space's notation.
    pub architecture: String,
}

/// The values of an architecture's active genes by their decisions' names.
fn values<'a>(space: &'a SearchSpace, architecture: &'a Architecture) -> impl Iterator<Item = (&'a str, Value)> {
    space.decisions.iter().zip(architecture).filter_map(|(decision, gene)| {
        let value = match (gene, &decision.domain) {
            (Gene::Integer(value), _) => json!(value),
            (Gene::Real(value), _) => json!(value),
            (Gene::Choice(option), Domain::Levels(levels)) => match *levels.get(*option as usize)? {
                // A key that takes whole numbers takes no `32.0`; one that takes any takes `32`.
                level if level.fract() == 0.0 && level.abs() < 9e15 => json!(level as i64),
                level => json!(level),
            },
            // A text, whatever it looks like: `3.10` is a version.
            (Gene::Choice(option), Domain::Choice(options)) => json!(options.get(*option as usize)?),
            _ => return None,
        };
        Some((decision.name.as_str(), value))
    })
}

/// An option for a place that holds `replaced`: where that is no text, `true`, `3` and `0.5` are what they look like.
fn typed(value: Value, replaced: &Value) -> Value {
    let parsed = value.as_str().filter(|_| !replaced.is_string()).and_then(|text| serde_json::from_str(text).ok());
    parsed.filter(|parsed: &Value| !parsed.is_object() && !parsed.is_array()).unwrap_or(value)
}

/// All parameters as one JSON object: options of a choice as texts, everything else as numbers.
pub fn json(space: &SearchSpace, architecture: &Architecture) -> Value {
    Value::Object(values(space, architecture).map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

impl FixedMethod {
    /// The recipe that an architecture sets, over `base`.
    pub fn recipe(&self, space: &SearchSpace, base: &Recipe, architecture: &Architecture) -> Result<Recipe, String> {
        let mut recipe = serde_json::to_value(base).map_err(|error| error.to_string())?;
        for (name, value) in values(space, architecture) {
            let Some(path) = name.strip_prefix("recipe.") else { continue };
            let mut place = &mut recipe;
            for key in path.split('.') {
                let inner = place.as_object_mut().and_then(|table| table.get_mut(key));
                place = inner.ok_or_else(|| format!("parameter `{name}`: a recipe has no `{key}`"))?;
            }
            *place = typed(value, place);
        }
        let recipe: Recipe = serde_json::from_value(recipe).map_err(|error| format!("the recipe it sets: {error}"))?;
        crate::configuration::task::check_recipe(&recipe).map_err(|(_, message)| message)?;
        Ok(recipe)
    }

    /// The network's space and architecture with the sizes that an architecture sets.
    pub fn network(
        &self,
        space: &SearchSpace,
        architecture: &Architecture,
    ) -> Result<(SpaceDefinition, Architecture), String> {
        let mut definition = self.definition.clone();
        for (name, value) in values(space, architecture) {
            if let Some(path) = name.strip_prefix("space.") {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                definition = definition.set(path, &text).map_err(|error| error.to_string())?;
            } else if !name.starts_with("recipe.") {
                return Err(format!("parameter `{name}`: name it `recipe.KEY` or `space.KEY` after what it sets"));
            }
        }
        let architecture = definition.parse_architecture(&self.architecture).map_err(|error| error.to_string())?;
        Ok((definition, architecture))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_choice_reach_a_program_as_they_are_written() {
        for option in ["3.10", "null", "1e3", "true", "rbf"] {
            let text = format!(
                "name = \"one\"\nfamily = \"parameters\"\n[[parameter]]\nname = \"a\"\nkind = \"choice\"\noptions = [\"{option}\"]\n[[parameter]]\nname = \"b\"\nkind = \"levels\"\noptions = [0.5, 3]\n"
            );
            let definition = SpaceDefinition::parse(&text, "space.toml").unwrap();
            let architecture = definition.parse_architecture(&format!("a={option}, b=3")).unwrap();
            assert_eq!(super::json(definition.space(), &architecture), json!({ "a": option, "b": 3 }));
        }
    }

    #[test]
    fn a_setting_takes_the_type_of_what_it_replaces() {
        let cases = [
            ("true", json!(false), json!(true)),
            ("0.5", json!(1.0), json!(0.5)),
            ("cosine", json!("constant"), json!("cosine")),
            ("3", json!("constant"), json!("3")),
            ("[1]", json!(1), json!("[1]")),
        ];
        for (option, replaced, expected) in cases {
            assert_eq!(typed(json!(option), &replaced), expected, "{option} over {replaced}");
        }
    }
}
