//! Architectures of every preset under sampling, variation and notation; graphs of shared weights beside
//! stand-alone networks of the same settings.
#![allow(clippy::unwrap_used)]

use nasd_network::{SpaceDefinition, costs, parameters, shapes, simplify, specialize};
use nasd_space::{Architecture, Prepared, StreamRandom, architecture_digest};

fn presets() -> Vec<SpaceDefinition> {
    SpaceDefinition::preset_names().map(|name| SpaceDefinition::preset(name).unwrap()).collect()
}

/// The preset with the settings of its graph of shared weights for stand-alone networks too.
fn with_shared_settings(name: &str) -> SpaceDefinition {
    let settings: &[(&str, &str)] = match name {
        "darts-cnn" => &[
            ("channels", "16"),
            ("layers", "8"),
            ("affine", "false"),
            ("pool-batch-norm", "true"),
            ("auxiliary", "false"),
            ("drop-path", "false"),
        ],
        "enas-macro" => &[("dropout", "0.1"), ("skips", "sum")],
        "enas-micro" => &[
            ("auxiliary", "false"),
            ("style", "enas-search"),
            ("channels", "20"),
            ("layers", "6"),
            ("dropout", "0.1"),
            ("drop-path", "false"),
        ],
        "one-shot" => &[("channels", "16")],
        "nasnet" => &[("layers", "8"), ("auxiliary", "false"), ("drop-path", "false")],
        "spos" => &[("affine", "false")],
        _ => &[],
    };
    let mut space = SpaceDefinition::preset(name).unwrap();
    if name == "enas-macro" {
        for unit in ["conv_3x3", "sep_conv_3x3", "conv_5x5", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"] {
            space = space.set(&format!("unit.{unit}.relu"), "after").unwrap();
        }
        for (key, value) in [
            ("unit.sep_conv_3x3.inner", "separable"),
            ("unit.sep_conv_5x5.inner", "separable"),
            ("stage.layers2.channels", "36"),
            ("stage.layers3.channels", "36"),
        ] {
            space = space.set(key, value).unwrap();
        }
    }
    settings.iter().fold(space, |space, (key, value)| space.set(&format!("stack.{key}"), value).unwrap())
}

#[test]
fn what_comes_of_architectures_obeys_the_space_and_can_be_written_and_read() {
    for space in presets() {
        let prepared = Prepared::new(space.space()).unwrap();
        let mut random = StreamRandom::new(5, "varying");
        let check = |genes: &Architecture| {
            space.space().check(genes).unwrap();
            let written = space.notation(genes);
            assert_eq!(&space.parse_architecture(&written).unwrap(), genes, "{written}");
            assert_eq!(space.notation(&space.parse_architecture(&written).unwrap()), written);
        };
        for _ in 0..20 {
            let first = space.space().sample(&mut random).unwrap();
            let second = space.space().sample(&mut random).unwrap();
            check(&first);
            check(&prepared.mutate(&mut random, &first, 1, &[]).unwrap());
            check(&prepared.crossover(&mut random, &first, &second).unwrap());
            let neighbours = prepared.neighbours(&first, &[]).unwrap();
            assert!(!neighbours.is_empty());
            for neighbour in neighbours.iter().step_by(1 + neighbours.len() / 10) {
                check(neighbour);
                assert_ne!(architecture_digest(neighbour), architecture_digest(&first));
            }
        }
    }
}

#[test]
fn reading_a_file_twice_gives_one_digest_and_a_seed_one_architecture() {
    for name in SpaceDefinition::preset_names() {
        let spaces = [SpaceDefinition::preset(name).unwrap(), SpaceDefinition::preset(name).unwrap()];
        let [first, second] = spaces.map(|space| {
            let genes = space.space().sample(&mut StreamRandom::new(9, "digests")).unwrap();
            (space.space().digest(), architecture_digest(&genes), space.identity(&genes).unwrap())
        });
        assert_eq!(first, second, "{name}");
    }
}

#[test]
fn a_path_of_the_shared_graph_is_the_stand_alone_network_node_for_node() {
    // Widths of shared weights are masks, those of stand-alone networks are widths.
    for name in SpaceDefinition::preset_names().filter(|name| *name != "spos-channels") {
        let space = with_shared_settings(name);
        let mut random = StreamRandom::new(6, "paths");
        assert!(space.one_shot().unwrap() == space.stand_alone().unwrap(), "{name}");
        for _ in 0..5 {
            let genes = space.space().sample(&mut random).unwrap();
            let path = specialize(space.one_shot().unwrap(), &genes).unwrap();
            assert!(path == space.network(&genes).unwrap(), "{name}");
        }
    }
}

/// Settings for a small machine: CIFAR-10's images, few channels, few blocks.
const SMALL: &[(&str, &[(&str, &str)])] = &[
    ("darts-cnn", &[("stack.channels", "8"), ("stack.layers", "5"), ("one-shot.channels", "4")]),
    (
        "enas-micro",
        &[("stack.channels", "8"), ("stack.layers", "3"), ("one-shot.channels", "4"), ("one-shot.layers", "3")],
    ),
    (
        "enas-macro",
        &[
            ("stack.width", "0.25"),
            ("stack.divisor", "4"),
            ("stage.layers1.blocks", "2"),
            ("stage.layers2.blocks", "2"),
            ("stage.layers3.blocks", "1"),
        ],
    ),
    ("one-shot", &[("stack.channels", "8"), ("stack.stages", "[1, 1, 1]"), ("one-shot.channels", "4")]),
    (
        "spos",
        &[
            ("stack.input", "3x32x32"),
            ("stack.classes", "10"),
            ("stack.width", "0.25"),
            ("stage.stem.stride", "1"),
            ("stage.stage1.stride", "1"),
            ("stage.stage1.blocks", "2"),
            ("stage.stage2.blocks", "2"),
            ("stage.stage3.blocks", "4"),
            ("stage.stage4.blocks", "2"),
            ("stage.last.channels", "512"),
        ],
    ),
];

#[test]
fn small_settings_build_and_count_alike_on_the_template_and_on_networks() {
    for (name, settings) in SMALL {
        let space = SpaceDefinition::preset(name).unwrap();
        let space = settings.iter().fold(space, |space, (key, value)| space.set(key, value).unwrap());
        let mut random = StreamRandom::new(8, "small");
        shapes(space.one_shot().unwrap()).unwrap();
        for _ in 0..20 {
            let genes = space.space().sample(&mut random).unwrap();
            let network = space.network(&genes).unwrap();
            let counted = space.costs(&genes).unwrap();
            assert_eq!(counted, costs(&network, space.counting()).unwrap(), "{name}");
            let trained = parameters(&simplify(&network)).unwrap();
            let trained: u64 = trained.iter().filter(|spec| spec.kind.is_trained()).map(|spec| spec.elements()).sum();
            assert_eq!(trained, counted.params + counted.auxiliary_params, "{name}");
            assert!(counted.params < 1_000_000, "{name}: {counted:?}");
            specialize(space.one_shot().unwrap(), &genes).unwrap();
        }
    }
}
