//! Every function beside a second implementation in Python (tests/peers/functions.py), its known minimum, and its
//! space file.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside the tests themselves

use nasd_functions::{EvaluationError, Function, Value, all, classic, find};
use nasd_space::{Condition, Domain, Gene, SearchSpace, StreamRandom};
use serde_json::Value as Json;

fn function(name: &str) -> &'static Function {
    find(name).unwrap_or_else(|| panic!("no function {name}"))
}

fn evaluate(name: &str, values: &Json) -> f64 {
    let look = |decision: &str| match values.get(decision)? {
        Json::String(option) => Some(Value::Option(option)),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Some(Value::Integer(whole)),
            None => number.as_f64().map(Value::Real),
        },
        _ => None,
    };
    function(name).evaluate(&look).unwrap()
}

#[test]
fn values_equal_those_of_the_second_implementation() {
    let golden: serde_json::Map<String, Json> =
        serde_json::from_str(include_str!("../../../tests/golden/functions.json")).unwrap();
    assert_eq!(golden.len(), classic().len());
    for (name, points) in &golden {
        for point in points.as_array().unwrap() {
            let (found, expected) = (evaluate(name, &point["values"]), point["loss"].as_f64().unwrap());
            assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{name}: {found}, not {expected}");
        }
    }
}

#[test]
fn the_known_minimum_is_met_at_a_known_place() {
    let repeated = |x: f64, n: usize| (1..=n).map(|idx| (format!("x{idx}"), x)).collect::<Vec<_>>();
    let listed = |x: &[f64]| x.iter().zip(1..).map(|(x, idx)| (format!("x{idx}"), *x)).collect::<Vec<_>>();
    let hartmann6 = [
        0.201_689_509_093_657_46,
        0.150_010_693_546_111_38,
        0.476_873_972_925_099_78,
        0.275_332_427_522_078_2,
        0.311_652_161_723_956_9,
        0.657_300_534_553_670_2,
    ];
    let michalewicz =
        [2.202905517464696, 1.5707963305046575, 1.2849915685703142, 1.923058469814382, 1.7204697732773235];
    for (name, place) in [
        ("branin", listed(&[std::f64::consts::PI, 2.275])),
        ("six-hump-camel", listed(&[0.08984200893527233, -0.712656403019058])),
        ("hartmann6", listed(&hartmann6)),
        ("ackley", repeated(0.0, 5)),
        ("rosenbrock", repeated(1.0, 4)),
        ("rastrigin", repeated(0.0, 4)),
        ("levy", repeated(1.0, 4)),
        ("styblinski-tang", repeated(-2.903534027771177, 5)),
        ("michalewicz", listed(&michalewicz)),
    ] {
        let values = place.into_iter().map(|(name, x)| (name, Json::from(x))).collect();
        let (found, known) = (evaluate(name, &Json::Object(values)), function(name).minimum);
        assert!((found - known).abs() < 1e-10, "{name}: {found}, not {known}");
    }
    for (name, text) in [
        (
            "two-choices",
            r#"{"first": "six-hump-camel", "second": "six-hump-camel", "x1": 0.044921004, "x2": -0.712656403}"#,
        ),
        ("tree", r#"{"root": "left", "root/left": "left", "leaf/left/left": 0.0, "shared/left": 0.0}"#),
        (
            "tuning",
            r#"{"optimizer": "adam", "rate": 0.001, "forgetting": 0.001, "batch": 128, "layers": 5, "decay": 0.0001,
                "schedule": "cosine"}"#,
        ),
    ] {
        let (found, known) = (evaluate(name, &serde_json::from_str(text).unwrap()), function(name).minimum);
        assert!((found - known).abs() < 1e-10, "{name}: {found}, not {known}");
    }
}

#[test]
fn no_sample_lies_below_the_minimum_and_every_sample_has_a_loss() {
    for function in all() {
        let space = function.space();
        space.validate().unwrap_or_else(|errors| panic!("{}: {errors:?}", function.name));
        assert_eq!(space.name, function.name);
        let mut random = StreamRandom::new(1, function.name);
        for _ in 0..2_000 {
            let genes = space.sample(&mut random).unwrap();
            let loss = function.evaluate_architecture(&space, &genes).unwrap();
            assert!(loss.is_finite() && loss >= function.minimum, "{}: {loss}", function.name);
        }
    }
}

#[test]
fn twelve_functions_are_compared_and_names_are_unique() {
    assert_eq!(classic().len(), 12);
    let mut names: Vec<_> = all().iter().map(|function| function.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all().len());
}

#[test]
fn a_missing_or_odd_value_is_named() {
    let branin = function("branin");
    let missing = branin.evaluate(&|name| (name == "x1").then_some(Value::Real(1.0))).unwrap_err();
    assert!(matches!(&missing, EvaluationError::Missing { decision, .. } if decision == "x2"), "{missing}");
    let odd = branin.evaluate(&|_| Some(Value::Option("left"))).unwrap_err();
    assert!(odd.to_string().contains("the option `left` for `x1`"), "{odd}");
    let unknown = function("tree").evaluate(&|_| Some(Value::Option("up"))).unwrap_err();
    assert!(unknown.to_string().contains("one of left, right"), "{unknown}");
}

#[test]
fn an_inactive_decision_is_no_value() {
    let tree = function("tree");
    let space = tree.space();
    let genes = vec![Gene::Inactive; space.decisions.len()];
    let error = tree.evaluate_architecture(&space, &genes).unwrap_err();
    assert!(matches!(error, EvaluationError::Missing { .. }), "{error}");
}

/// Reads a space file by its agreed words alone: the crate that reads them in earnest is not among those below this one.
fn space_file(name: &str, text: &str) -> SearchSpace {
    let file: toml::Table = text.parse().unwrap();
    assert_eq!(file["name"].as_str(), Some(name));
    assert_eq!(file["family"].as_str(), Some("parameters"));
    let mut space = function(name).space();
    let parameters = file["parameter"].as_array().unwrap();
    assert_eq!(parameters.len(), space.decisions.len(), "{name}");
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
    let texts = |list: &toml::Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut domains: Vec<Domain> = Vec::new();
    for (decision, parameter) in space.decisions.iter_mut().zip(parameters) {
        decision.name = parameter["name"].as_str().unwrap().to_owned();
        let log_scale = parameter.get("log").is_some_and(|log| log.as_bool().unwrap());
        let domain = match parameter["kind"].as_str().unwrap() {
            "real" => Domain::Real(nasd_space::RealRange {
                low: parameter["low"].as_float().unwrap(),
                high: parameter["high"].as_float().unwrap(),
                log_scale,
            }),
            "integer" => Domain::Integer(nasd_space::IntegerRange {
                low: parameter["low"].as_integer().unwrap(),
                high: parameter["high"].as_integer().unwrap(),
                log_scale,
            }),
            _ => Domain::Choice(texts(&parameter["options"])),
        };
        let conditions = match parameter.get("when") {
            Some(toml::Value::Array(list)) => list.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        };
        decision.active_when = conditions
            .iter()
            .map(|condition| {
                let parent = names.iter().position(|name| *name == condition["parameter"].as_str().unwrap()).unwrap();
                let Domain::Choice(known) = &domains[parent] else { panic!("{name}: a condition on no choice") };
                let option = |text: &String| known.iter().position(|known| known == text).unwrap() as u32;
                Condition {
                    decision: parent as u32,
                    options: texts(&condition["options"]).iter().map(option).collect(),
                }
            })
            .collect();
        domains.push(domain.clone());
        decision.domain = domain;
    }
    space
}

#[test]
fn the_space_files_say_the_same_as_the_code() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/spaces/functions");
    for function in all() {
        let path = format!("{folder}/{}.toml", function.name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(space_file(function.name, &text), function.space(), "{}", function.name);
    }
}
