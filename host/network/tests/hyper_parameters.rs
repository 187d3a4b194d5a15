//! Spaces of hyper-parameters alone.
#![allow(clippy::unwrap_used)]

use nasd_network::{NetworkError, SpaceDefinition};
use nasd_space::{Condition, Domain, Gene, StreamRandom};

const SVM: &str = r#"name = "svm"
family = "parameters"

[[parameter]]
name = "kernel"
kind = "choice"
options = ["linear", "rbf"]

[[parameter]]
name = "gamma"
kind = "real"
low = 1e-4
high = 1.0
log = true
when = { parameter = "kernel", options = ["rbf"] }

[[parameter]]
name = "folds"
kind = "integer"
low = 2
high = 10

[[parameter]]
name = "c"
kind = "levels"
options = [0.1, 1, 10]

[[forbidden]]
kernel = ["linear"]
c = [10]
"#;

fn svm() -> SpaceDefinition {
    SpaceDefinition::parse(SVM, "svm.toml").unwrap()
}

#[test]
fn parameters_become_decisions_with_conditions_and_rules() {
    let svm = svm();
    let space = svm.space();
    let names: Vec<&str> = space.decisions.iter().map(|decision| decision.name.as_str()).collect();
    assert_eq!(names, ["kernel", "gamma", "folds", "c"]);
    assert_eq!(space.decisions[1].active_when, [Condition { decision: 0, options: vec![1] }]);
    assert!(matches!(&space.decisions[1].domain, Domain::Real(range) if range.log_scale && range.low == 1e-4));
    assert!(matches!(&space.decisions[2].domain, Domain::Integer(range) if (range.low, range.high) == (2, 10)));
    assert_eq!(
        space.forbidden,
        [vec![Condition { decision: 3, options: vec![2] }, Condition { decision: 0, options: vec![0] }]]
    );
}

#[test]
fn architectures_are_written_as_named_values_and_read_back() {
    let svm = svm();
    for seed in 0..200 {
        let genes = svm.space().sample(&mut StreamRandom::new(seed, "test")).unwrap();
        let text = svm.notation(&genes);
        assert_eq!(text.contains("gamma"), genes[0] == Gene::Choice(1), "{text}");
        assert_eq!(svm.parse_architecture(&text).unwrap(), genes, "{text}");
    }
}

#[test]
fn there_are_no_networks_and_the_error_says_so() {
    let svm = svm();
    assert!(!svm.has_networks());
    assert!(SpaceDefinition::preset("nas-bench-201").unwrap().has_networks());
    let genes = svm.space().sample(&mut StreamRandom::new(1, "test")).unwrap();
    assert_eq!(svm.costs(&genes), Err(NetworkError::NoNetwork { space: "svm".into() }));
    assert!(svm.outline(&genes).is_empty());
}

#[test]
fn without_networks_equal_genes_are_what_is_identical() {
    let svm = svm();
    let sample = |seed| svm.space().sample(&mut StreamRandom::new(seed, "test")).unwrap();
    assert_eq!(svm.identity(&sample(1)).unwrap(), svm.identity(&sample(1)).unwrap());
    assert_ne!(svm.identity(&sample(1)).unwrap(), svm.identity(&sample(2)).unwrap());
}

#[test]
fn errors_name_line_parameter_and_remedy() {
    let cases = [
        ("kind = \"integer\"\nlow = 2", "kind = \"integer\"\nlow = 2.5", "svm.toml:18: parameter `folds`: low = 2.5"),
        ("high = 10\n", "", "svm.toml:18: parameter `folds`: give `low` and `high`"),
        ("options = [\"linear\", \"rbf\"]", "", "svm.toml:5: parameter `kernel`: give `options`"),
        ("options = [0.1, 1, 10]", "options = [0.1, \"x\"]", "parameter `c`: the options of `levels` are numbers"),
        (
            "options = [\"rbf\"]",
            "options = [\"poly\"]",
            "svm.toml:10: parameter `gamma`: parameter `kernel` has no option",
        ),
        ("parameter = \"kernel\"", "parameter = \"c\"", "there is no parameter `c` before it"),
        ("high = 1.0", "high = 1e-5", "gamma"),
        ("kind = \"real\"", "kind = \"float\"", "svm.toml:11:"),
        ("log = true", "scale = 1", "svm.toml:14: parameter[1].scale: unknown field `scale`"),
    ];
    for (from, to, expected) in cases {
        let changed = SVM.replacen(from, to, 1);
        assert_ne!(changed, SVM, "{from}");
        let error = SpaceDefinition::parse(&changed, "svm.toml").unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}\n  is not  {expected}");
    }
}
